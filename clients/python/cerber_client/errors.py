"""What can go wrong, all of it a CerberError. Wrong arguments are ValueError or TypeError, as everywhere."""

from __future__ import annotations

from collections.abc import Sequence


class CerberError(Exception):
    """The gateway refused, did not answer, or a webhook is not its own."""

    may_pass = False


class Unreachable(CerberError):
    """No whole answer came in time. Whether the request arrived is unknown; repeating it is safe."""

    may_pass = True


class ApiError(CerberError):
    """The gateway's refusal.

    `status`: of HTTP. `code`: stable, such as `payment_closed`; `unexpected` where something else answered in the
    gateway's place. `detail`: for people. `errors`: pairs of field and message. `payment_status`: what the payment
    now is, where the refusal is about one. `retry_after`: seconds, where the gateway named some.
    """

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        errors: Sequence[tuple[str, str]] = (),
        payment_status: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        told = "; ".join(f"{field} {message}" for field, message in errors)
        super().__init__(f"{status} {code}: {detail}" + (f" ({told})" if told else ""))
        self.status = status
        self.code = code
        self.detail = detail
        self.errors = list(errors)
        self.payment_status = payment_status
        self.retry_after = retry_after

    @property
    def may_pass(self) -> bool:  # type: ignore[override]
        """Whether the same request may succeed later: a limit, a failure of the gateway's, or its restart."""
        return self.status == 429 or self.status >= 500 or 300 <= self.status < 400


class BadWebhook(CerberError):
    """The webhook is not the gateway's, was changed, is too old, or tells nothing that is known."""
