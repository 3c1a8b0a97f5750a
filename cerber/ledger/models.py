"""The ledger's entries and their sums, in qəpik.

No account stands alone: the database refuses an entry, and a sum, that does not add up to zero, so all of them
together add up to zero at every commit.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, SmallInteger, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from cerber.db.tables import MYSQL_TABLE, Base, BigId
from cerber.ledger.hours import Hour

_ZERO = "ordered + expected + received + written_off + cancelled + overpaid = 0"


class _Accounts:
    """A column for each account of `accounts.Accounts`."""

    ordered: Mapped[int] = mapped_column(BigInteger)
    expected: Mapped[int] = mapped_column(BigInteger)
    received: Mapped[int] = mapped_column(BigInteger)
    written_off: Mapped[int] = mapped_column(BigInteger)
    cancelled: Mapped[int] = mapped_column(BigInteger)
    overpaid: Mapped[int] = mapped_column(BigInteger)


class LedgerEntry(_Accounts, Base):
    """What one change of one payment moved. Its merchant and its wallet are the payment's.

    `version` is the payment's after the change: no change is entered twice. `hour` is that of the payment's
    `create_time`: to its sums the entry goes. `unfolded_merchant_id` is the payment's merchant until the entry is
    in the sums, and NULL from then on.
    """

    __tablename__ = "ledger_entries"
    __table_args__ = (
        UniqueConstraint("payment_id", "version"),
        Index(
            "ix_ledger_entries_unfolded_merchant_id",
            "unfolded_merchant_id",
            sqlite_where=text("unfolded_merchant_id IS NOT NULL"),
        ),
        CheckConstraint(_ZERO, name="zero"),
        MYSQL_TABLE,
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    payment_id: Mapped[int] = mapped_column(BigId, ForeignKey("payments.id"))
    version: Mapped[int]
    at: Mapped[datetime]
    hour: Mapped[datetime] = mapped_column(Hour)
    unfolded_merchant_id: Mapped[int | None] = mapped_column(BigId)


class LedgerSum(_Accounts, Base):
    """The folded entries of one merchant's payments whose `create_time` lies within `width` hours from `start` on."""

    __tablename__ = "ledger_sums"
    __table_args__ = (CheckConstraint(_ZERO, name="zero"), MYSQL_TABLE | {"sqlite_with_rowid": False})

    merchant_id: Mapped[int] = mapped_column(BigId, ForeignKey("merchants.id"), primary_key=True)
    width: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False)
    start: Mapped[datetime] = mapped_column(Hour, primary_key=True)
