"""A merchant and its secrets."""

from __future__ import annotations

import secrets
from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from cerber.db.tables import MYSQL_TABLE, Base, BigId

LONGEST_NAME = 100


def _first_version() -> int:
    return secrets.randbelow(2**30)


class Merchant(Base):
    """`version` rises with each change to the secrets, and to who may ask and from where, so that every process sees
    a rotation or a block at its next request. It begins anywhere: SQLite gives the id of a deleted merchant out
    again, and what a process keeps of that one must not pass for the new one's.

    `networks` are those that requests may come from, separated by blanks; None for any. `most_open` is how many
    payments may be open, None for what CERBER_OPEN_PAYMENTS says, 0 for any number. `balances_sent` counts the
    balance webhooks of the hour from `balances_since` on.
    """

    __tablename__ = "merchants"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    merch_id: Mapped[str] = mapped_column(String(64), unique=True)
    name: Mapped[str] = mapped_column(String(LONGEST_NAME), default="")
    version: Mapped[int] = mapped_column(default=_first_version)
    blocked_at: Mapped[datetime | None]
    v2_only: Mapped[bool] = mapped_column(default=False)
    networks: Mapped[str | None] = mapped_column(Text)
    most_open: Mapped[int | None]
    balances_since: Mapped[datetime | None]
    balances_sent: Mapped[int] = mapped_column(default=0)
    created_at: Mapped[datetime]


class Gate(Base):
    """What is locked while a payment of the merchant is opened, where there is a cap: near it they are counted and
    opened one after the other. Nobody else locks it, unlike the merchant's row, which all that refers to it shares.
    """

    __tablename__ = "merchant_gates"

    merchant_id: Mapped[int] = mapped_column(BigId, ForeignKey("merchants.id"), primary_key=True, autoincrement=False)


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
