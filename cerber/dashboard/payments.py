"""The queue and the payment: each view reads the form, calls one service and answers."""

from __future__ import annotations

from collections.abc import Callable

from flask import abort, g, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from cerber import errors, money
from cerber.context import now, settings
from cerber.dashboard import forms
from cerber.dashboard.pages import PK, actor, pages
from cerber.operators.models import Role
from cerber.payments import decisions, listing, queries
from cerber.payments.models import Payment
from cerber.payments.states import Event, is_seen, possible
from cerber.timestamps import parse_end, parse_start
from cerber.webhooks import queries as webhooks


@pages.get("/")
def home() -> ResponseReturnValue:
    return redirect(url_for("pages.queue_page"), 303)


@pages.get("/payments/")
def queue_page() -> ResponseReturnValue:
    wanted = {name: request.args.get(name, "").strip() for name in ("status", "merchant", "q", "since", "until")}
    if wanted["status"] and wanted["status"] not in queries.STATUSES:
        abort(400, f"The status must be one of: {', '.join(queries.STATUSES)}.")
    start = forms.start(request.args)
    found = queries.search(_filters(**wanted), start)
    held = webhooks.held_count()
    return render_template(
        "queue.html", found=found, wanted=wanted, start=start, hits=listing.HITS, held_endpoints=held
    )


@pages.get(f"/payments/<{PK}:pk>")
def payment_page(pk: int) -> ResponseReturnValue:
    return _show(pk)


@pages.post(f"/payments/<{PK}:pk>/accept")
def accept(pk: int) -> ResponseReturnValue:
    return _change(pk, lambda version: decisions.accept(pk, version, actor()))


@pages.post(f"/payments/<{PK}:pk>/cancel")
def cancel(pk: int) -> ResponseReturnValue:
    return _change(pk, lambda version: decisions.cancel(pk, version, actor()))


@pages.post(f"/payments/<{PK}:pk>/settle")
def settle(pk: int) -> ResponseReturnValue:
    return _change(pk, lambda version: decisions.settle(pk, version, actor()))


@pages.post(f"/payments/<{PK}:pk>/transfer")
def transfer(pk: int) -> ResponseReturnValue:
    def record(version: int) -> None:
        came = forms.transfer(request.form)
        decisions.record_transfer(pk, version, actor(), came.amount, came.reference)

    return _change(pk, record)


@pages.post(f"/payments/<{PK}:pk>/transfers/<{PK}:transfer_pk>/void")
def void(pk: int, transfer_pk: int) -> ResponseReturnValue:
    if not _may_void():
        abort(403, "Only an admin may void a transfer.")

    def void_it(version: int) -> None:
        decisions.void_transfer(pk, transfer_pk, version, actor(), forms.reason(request.form))

    return _change(pk, void_it)


def _filters(status: str, merchant: str, q: str, since: str, until: str) -> queries.Filters:
    """The period in any of the forms that merchants may use, by CERBER_TIMEZONE where it has no zone."""
    zone = settings().timezone
    try:
        period = (since and parse_start(since, zone), until and parse_end(until, zone))
    except ValueError as error:
        abort(400, f"The period can't be read: a time {error}.")
    return queries.Filters(status, merchant, q, period[0] or None, period[1] or None)


def _change(pk: int, change: Callable[[int], None]) -> ResponseReturnValue:
    version = forms.version(request.form)
    if version is None:
        abort(400, "The form didn't say which version of the payment it showed. Open the payment again.")
    try:
        change(version)
    except forms.BadForm as error:
        return _show_again(pk, str(error), version)
    except errors.NotFound as error:
        abort(404, error.message)
    except (errors.VersionChanged, errors.NotPossible, errors.ReferenceUsed) as error:
        return _show(pk, error.message, 409)
    return redirect(url_for("pages.payment_page", pk=pk), 303)


def _show_again(pk: int, mistake: str, version: int) -> ResponseReturnValue:
    """The form to be corrected, if the payment still is what it was filled in for: else what was typed may be
    recorded already."""
    found = queries.details(pk)
    if found is not None and not _is_seen(found.payment, version):
        return _show(pk, errors.CHANGED, 409)
    return _show(pk, mistake, 422)


def _is_seen(payment: Payment, version: int) -> bool:
    """Only sums and reasons are ever corrected, and both are about money that came."""
    return is_seen(Event.TRANSFER, version, version=payment.version, paid_version=payment.paid_version)


def _show(pk: int, refusal: str | None = None, status: int = 200) -> ResponseReturnValue:
    found = queries.details(pk)
    if found is None:
        abort(404, "There is no such payment.")
    actions = _Actions(found, keep_typed=status == 422)
    return render_template("payment.html", found=found, actions=actions, refusal=refusal), status


def _may_void() -> bool:
    return bool(g.operator.role is Role.ADMIN)


class _Actions:
    """What the payment's state allows, and with which sums."""

    def __init__(self, found: queries.Details, *, keep_typed: bool) -> None:
        payment = found.payment
        allowed = possible(payment.facts(ever_received=bool(found.transfers)), now())
        self.missing = payment.sum - payment.received
        self.accept = Event.OPERATOR_ACCEPT in allowed
        self.settle = Event.SETTLE in allowed
        self.cancel = Event.OPERATOR_CANCEL in allowed
        self.void = Event.VOID in allowed and _may_void()
        # after a 409 the money may be recorded already, so only what has to be corrected is kept
        kept = request.form if keep_typed else {}
        self.typed_sum = kept.get("sum", money.text(self.missing) if self.accept else "")
        self.typed_reference = kept.get("reference", "")
