"""A payment and the transfers recorded on it. Sums in qəpik."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    BindParameter,
    CheckConstraint,
    ColumnElement,
    ForeignKey,
    Index,
    String,
    UniqueConstraint,
    and_,
)
from sqlalchemy.orm import Mapped, mapped_column, relationship

from cerber.db.tables import MYSQL_TABLE, Base, BigId
from cerber.merchants.models import Merchant
from cerber.payments import payers
from cerber.payments.states import Cause, Facts, Status
from cerber.wallets.models import Wallet


def _digits(context: Any) -> str | None:
    return payers.digits(context.get_current_parameters()["user_wallet"])


class Payment(Base):
    """One payment of one merchant.

    `version` rises with each change; `paid_version` is the one that the merchant's own accept made. `cancel_cause`
    on a confirming payment says that late money revived it.
    `checking_since`: when it became confirming, None where it is not.
    `user_wallet_digits` is the payer's number in one spelling, for the search (`payers`).
    `holds_sum_until`: until then no other payment of this sum should take the wallet (contract section 3).
    """

    __tablename__ = "payments"
    __table_args__ = (
        # payment_id first: update_status and get_status name no merchant
        UniqueConstraint("payment_id", "merchant_id"),
        Index("ix_payments_merchant_id_create_time", "merchant_id", "create_time"),
        # all that is asked of a merchant's open payments: how many there are, and their sums
        Index("ix_payments_merchant_id_status_due_at_sum", "merchant_id", "status", "due_at", "sum"),
        Index("ix_payments_status_due_at", "status", "due_at"),
        Index("ix_payments_status_opened_at", "status", "opened_at"),
        Index("ix_payments_wallet_id_sum_holds_sum_until", "wallet_id", "sum", "holds_sum_until"),
        # The lists: `listing` reads each of them by the index made for it. The key stands before the merchant: else
        # MySQL puts all that there is of a sum or a wallet in order for a page of them.
        Index("ix_payments_merchant_id_status_opened_at", "merchant_id", "status", "opened_at"),
        Index(
            "ix_payments_wallet_id_status_opened_at_id_merchant_id",
            "wallet_id",
            "status",
            "opened_at",
            "id",
            "merchant_id",
        ),
        Index("ix_payments_sum_status_opened_at_id_merchant_id", "sum", "status", "opened_at", "id", "merchant_id"),
        Index("ix_payments_merchant_id_payment_id", "merchant_id", "payment_id"),
        Index("ix_payments_user_wallet", "user_wallet"),
        Index("ix_payments_user_wallet_digits", "user_wallet_digits"),
        # The desk: what is to be checked, and what else is open of a payer.
        Index("ix_payments_status_checking_since", "status", "checking_since"),
        Index("ix_payments_user_wallet_digits_status", "user_wallet_digits", "status"),
        CheckConstraint("sum > 0", name="sum"),
        CheckConstraint("received >= 0", name="received"),
        CheckConstraint("status IN ('pending', 'confirming', 'accept', 'cancel')", name="status"),
        CheckConstraint("cancel_cause IN ('merchant', 'operator', 'expired')", name="cancel_cause"),
        CheckConstraint("status <> 'cancel' OR (cancel_cause IS NOT NULL AND received = 0)", name="cancelled"),
        CheckConstraint("status <> 'pending' OR (cancel_cause IS NULL AND received = 0)", name="pending"),
        CheckConstraint("status <> 'accept' OR received > 0", name="accepted"),
        CheckConstraint("(closed_at IS NULL) = (status IN ('pending', 'confirming'))", name="closed"),
        MYSQL_TABLE,
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    merchant_id: Mapped[int] = mapped_column(BigId, ForeignKey("merchants.id"))
    payment_id: Mapped[str] = mapped_column(String(64))
    wallet_id: Mapped[int] = mapped_column(BigId, ForeignKey("wallets.id"))
    link_version: Mapped[int] = mapped_column(default=0, server_default="0")
    user_wallet: Mapped[str] = mapped_column(String(64))
    user_wallet_digits: Mapped[str | None] = mapped_column(String(64), default=_digits)
    sum: Mapped[int] = mapped_column(BigInteger)
    received: Mapped[int] = mapped_column(BigInteger, default=0)
    status: Mapped[str] = mapped_column(String(16))
    cancel_cause: Mapped[str | None] = mapped_column(String(16))
    version: Mapped[int] = mapped_column(default=1)
    paid_version: Mapped[int | None]
    callback_url: Mapped[str] = mapped_column(String(2048))
    create_time: Mapped[datetime]
    create_time_text: Mapped[str] = mapped_column(String(64))
    create_time_read: Mapped[bool]
    opened_at: Mapped[datetime]
    due_at: Mapped[datetime | None]
    closed_at: Mapped[datetime | None]
    checking_since: Mapped[datetime | None]
    holds_sum_until: Mapped[datetime]

    merchant: Mapped[Merchant] = relationship(lazy="raise")
    wallet: Mapped[Wallet] = relationship(lazy="raise")

    @classmethod
    def due(cls, at: datetime | BindParameter[datetime]) -> ColumnElement[bool]:
        """`payment_states.is_due` in SQL: it counts as cancelled, whoever expires it later."""
        return and_(cls.status == Status.PENDING.value, cls.due_at <= at)

    def facts(self, *, ever_received: bool) -> Facts:
        """What the rules need to know of it."""
        return Facts(
            status=Status(self.status),
            sum=self.sum,
            received=self.received,
            cancel_cause=Cause(self.cancel_cause) if self.cancel_cause else None,
            ever_received=ever_received,
            due_at=self.due_at,
        )


class Transfer(Base):
    """Money that an operator saw arrive. A voided one stays, but gives its reference free (`live_reference`)."""

    __tablename__ = "transfers"
    __table_args__ = (
        UniqueConstraint("wallet_id", "live_reference"),
        Index("ix_transfers_payment_id", "payment_id"),
        Index("ix_transfers_reference", "reference"),
        CheckConstraint("sum > 0", name="sum"),
        CheckConstraint("(voided_at IS NULL) = (void_reason IS NULL)", name="voided"),
        CheckConstraint("voided_at IS NULL OR live_reference IS NULL", name="reference_freed"),
        MYSQL_TABLE,
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    payment_id: Mapped[int] = mapped_column(BigId, ForeignKey("payments.id"))
    wallet_id: Mapped[int] = mapped_column(BigId, ForeignKey("wallets.id"))
    sum: Mapped[int] = mapped_column(BigInteger)
    reference: Mapped[str | None] = mapped_column(String(64))
    live_reference: Mapped[str | None] = mapped_column(String(64))
    recorded_at: Mapped[datetime]
    recorded_by: Mapped[str] = mapped_column(String(80))
    voided_at: Mapped[datetime | None]
    voided_by: Mapped[str | None] = mapped_column(String(80))
    void_reason: Mapped[str | None] = mapped_column(String(200))
