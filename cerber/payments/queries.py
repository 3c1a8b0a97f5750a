"""What the pages show: the queue, and all there is to know of one payment. Reads only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, or_, select
from sqlalchemy.orm import Session, joinedload

from cerber.audit.models import AuditEntry
from cerber.db import paging, transactions
from cerber.db.paging import Page
from cerber.merchants.models import Merchant
from cerber.payments.models import Payment, Transfer
from cerber.payments.states import OPEN, Status
from cerber.wallets.models import Wallet
from cerber.webhooks import queries
from cerber.webhooks.models import Breaker, Webhook
from cerber.webhooks.queries import Attempts

ALL = "all"
STATUSES = (*Status, ALL)
_LAST_CHARACTER = "\U0010ffff"


@dataclass(frozen=True, slots=True)
class Details:
    """One payment and what belongs to it, each in the order in which it happened.

    `breaker` is that of the endpoint to which its webhooks go, where that fails.
    """

    payment: Payment
    transfers: Sequence[Transfer]
    webhooks: Sequence[tuple[Webhook, Attempts]]
    breaker: Breaker | None
    audit: Sequence[AuditEntry]


def search(status: str = "", merchant: str = "", q: str = "", page: int = 1) -> Page[Payment]:
    """The payments that fit all of what is given, with their merchants and wallets.

    Without a status: the open ones, the longest waiting first; but `q` then looks everywhere. With one of STATUSES:
    the newest first. `q` is a payment id, the payer's wallet or how it begins, or the number of a wallet of ours.
    """
    query = select(Payment).options(joinedload(Payment.merchant), joinedload(Payment.wallet))
    if status or q:
        query = query.order_by(Payment.opened_at.desc(), Payment.id.desc())
    else:
        query = query.where(Payment.status.in_(OPEN)).order_by(Payment.opened_at, Payment.id)
    if status and status != ALL:
        query = query.where(Payment.status == status)
    if merchant:
        query = query.where(Payment.merchant_id.in_(select(Merchant.id).where(Merchant.merch_id == merchant)))
    if q:
        query = query.where(_found_by(q))
    with transactions.reading() as session:
        return paging.page(session.scalars(paging.limited(query, page)).all(), page)


def details(payment_pk: int) -> Details | None:
    """The payment is read first: if it changes meanwhile, the version shown is the older one, and is refused."""
    with transactions.reading() as session:
        joined = [joinedload(Payment.merchant), joinedload(Payment.wallet)]
        payment = session.get(Payment, payment_pk, options=joined)
        if payment is None:
            return None
        transfers = select(Transfer).where(Transfer.payment_id == payment_pk).order_by(Transfer.id)
        audit = select(AuditEntry).where(AuditEntry.payment_id == payment_pk).order_by(AuditEntry.id)
        webhooks = _webhooks(session, payment_pk)
        return Details(
            payment,
            session.scalars(transfers).all(),
            webhooks,
            session.get(Breaker, webhooks[0][0].endpoint_id) if webhooks else None,
            session.scalars(audit).all(),
        )


def _found_by(q: str) -> ColumnElement[bool]:
    """A range and no LIKE: it uses the index, heeds the case on every database, and knows no wildcards."""
    wallets = select(Wallet.id).where(Wallet.number == q)
    return or_(
        Payment.payment_id == q,
        Payment.user_wallet.between(q, q + _LAST_CHARACTER),
        Payment.wallet_id.in_(wallets),
    )


def _webhooks(session: Session, payment_pk: int) -> list[tuple[Webhook, Attempts]]:
    webhooks = session.scalars(select(Webhook).where(Webhook.payment_id == payment_pk).order_by(Webhook.id)).all()
    return [(webhook, queries.attempts(session, webhook.id)) for webhook in webhooks]
