"""A merchant and its secrets."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from cerber.db.tables import MYSQL_TABLE, Base, BigId

LONGEST_NAME = 100


class Merchant(Base):
    """`version` rises with each change to the secrets, so that every process sees a rotation at its next request."""

    __tablename__ = "merchants"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    merch_id: Mapped[str] = mapped_column(String(64), unique=True)
    name: Mapped[str] = mapped_column(String(LONGEST_NAME), default="")
    version: Mapped[int] = mapped_column(default=1)
    blocked_at: Mapped[datetime | None]
    created_at: Mapped[datetime]


class MerchantSecret(Base):
    """One secret. Slot 0 is the current one, slot 1 the one before it, valid until the overlap ends.

    `sealed` is encrypted; `fingerprint` (SHA-256 of 32 random bytes and so no help to a thief) keeps two merchants
    from sharing a secret, which would let each sign for the other.
    """

    __tablename__ = "merchant_secrets"
    __table_args__ = (
        UniqueConstraint("merchant_id", "kind", "slot"),
        CheckConstraint("kind IN ('payment', 'balance')", name="kind"),
        CheckConstraint("slot IN (0, 1)", name="slot"),
        CheckConstraint("slot = 0 OR valid_until IS NOT NULL", name="old_ends"),
        MYSQL_TABLE,
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    merchant_id: Mapped[int] = mapped_column(BigId, ForeignKey("merchants.id"))
    kind: Mapped[str] = mapped_column(String(16))
    slot: Mapped[int] = mapped_column(default=0)
    sealed: Mapped[str] = mapped_column(String(400))
    fingerprint: Mapped[str] = mapped_column(String(64), unique=True)
    valid_until: Mapped[datetime | None]
    first_used_at: Mapped[datetime | None]
    created_at: Mapped[datetime]
