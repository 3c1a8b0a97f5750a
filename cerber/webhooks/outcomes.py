"""What came of an attempt: a status, a kind of failure, or both; and the one text that the database keeps of it."""

from __future__ import annotations

from dataclasses import dataclass

from cerber.webhooks.client.failures import Failure


@dataclass(frozen=True, slots=True)
class Outcome:
    """`status` is there if headers came whole, the receiver's or our proxy's; `failure` if it was not delivered."""

    status: int | None
    failure: Failure | None
    unknown: str = ""  # a failure's name that a newer version wrote, and this one can't tell more of

    @classmethod
    def read(cls, text: str) -> Outcome:
        """What `str` wrote."""
        if not text.isdecimal():
            known = text in Failure.__members__
            return cls(None, Failure(text)) if known else cls(None, None, text)
        status = int(text)
        if 200 <= status < 300:
            return cls(status, None)
        return cls(status, Failure.redirect if 300 <= status < 400 else Failure.status)

    def __str__(self) -> str:
        """The receiver's status; where there is none, the failure's name."""
        return str(self.status) if self.answered else self.unknown or str(self.failure)

    @property
    def answered(self) -> bool:
        """Whether the receiver did, whatever it said."""
        return self.status is not None and not self.ours

    @property
    def ours(self) -> bool:
        """Whether it failed on our own side, which tells nothing of the endpoint."""
        return self.failure is not None and self.failure.ours

    @property
    def group(self) -> str:
        """The class of the receiver's status, such as `5xx`; where there is none, the failure's name."""
        return f"{str(self)[0]}xx" if self.answered else str(self)
