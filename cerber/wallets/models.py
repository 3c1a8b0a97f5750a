"""A wallet that payers send to."""

from __future__ import annotations

from datetime import date, datetime

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from cerber.db.tables import MYSQL_TABLE, Base, BigId

LONGEST_LINK = 1000
LONGEST_LABEL = 100


class Wallet(Base):
    """Sums in qəpik. `expected` is what open payments on it still wait for; `received_today` counts for the local
    day `received_on`. Both change in the transaction that changes a payment, so the daily limit is one guarded
    UPDATE away. `link_version` rises when the link is edited; each payment has that of the link that its payer was
    shown.
    """

    __tablename__ = "wallets"
    __table_args__ = (
        CheckConstraint("daily_limit IS NULL OR daily_limit > 0", name="daily_limit"),
        CheckConstraint("expected >= 0", name="expected"),
        CheckConstraint("received_today >= 0", name="received_today"),
        MYSQL_TABLE,
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    number: Mapped[str] = mapped_column(String(64), unique=True)
    link: Mapped[str] = mapped_column(String(LONGEST_LINK))
    link_version: Mapped[int] = mapped_column(default=0, server_default="0")
    label: Mapped[str] = mapped_column(String(LONGEST_LABEL), default="")
    image: Mapped[str] = mapped_column(Text)
    daily_limit: Mapped[int | None] = mapped_column(BigInteger)
    paused_at: Mapped[datetime | None]
    expected: Mapped[int] = mapped_column(BigInteger, default=0)
    received_today: Mapped[int] = mapped_column(BigInteger, default=0)
    received_on: Mapped[date | None]
    last_used_at: Mapped[datetime | None]
    created_at: Mapped[datetime]


class OldLink(Base):
    """A link that a wallet had before, for the payments that were opened with it (contract section 3)."""

    __tablename__ = "old_links"

    wallet_id: Mapped[int] = mapped_column(BigId, ForeignKey("wallets.id"), primary_key=True, autoincrement=False)
    version: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    link: Mapped[str] = mapped_column(String(LONGEST_LINK))
    image: Mapped[str] = mapped_column(Text)
