"""What the pages show: the queue, and all there is to know of one payment. Reads only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session, joinedload

from cerber.audit.models import AuditEntry
from cerber.context import now
from cerber.db import paging, transactions
from cerber.db.paging import FIRST, Listing, Page, Place, Start
from cerber.merchants.models import Merchant
from cerber.payments import rivals
from cerber.payments.listing import Found, Wanted, statement
from cerber.payments.models import Payment, Transfer
from cerber.payments.states import OPEN, Status
from cerber.wallets.models import Wallet
from cerber.webhooks import queries
from cerber.webhooks.models import Breaker, Webhook
from cerber.webhooks.queries import Attempts

ALL = "all"
STATUSES = (*Status, ALL)
LONGEST_TYPED = 100  # characters, which is more than any column holds that is searched


@dataclass(frozen=True, slots=True)
class Filters:
    """What a list of payments is narrowed down to; an empty one to nothing.

    `status` is one of STATUSES, `merchant` a merchant's id. The period is that of the opening, both ends included.
    `q` is a payment id or how it begins, a payer's wallet or how it begins, in any spelling, the number of a wallet
    of ours, the reference of a transfer, or a sum as people write it.
    """

    status: str = ""
    merchant: str = ""
    q: str = ""
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Details:
    """One payment and what belongs to it, each in the order in which it happened. `rivals` are those for which the
    same transfer might be.

    `breaker` is that of the endpoint to which its webhooks go, where that fails.
    """

    payment: Payment
    transfers: Sequence[Transfer]
    webhooks: Sequence[tuple[Webhook, Attempts]]
    breaker: Breaker | None
    audit: Sequence[AuditEntry]
    rivals: Sequence[Payment]


def search(filters: Filters, start: Start = FIRST) -> Page[Payment]:
    """The payments that fit all of the filters, with their merchants and wallets.

    Without a status: the open ones, the longest waiting first; but `q` then looks everywhere. With one: the newest
    first. A payment with just the id that `q` is stands on the first page, whatever its age.
    """
    listing = Listing(start, newest_first=bool(filters.status or filters.q))
    with transactions.reading() as session:
        wanted = _wanted(session, filters)
        rows = session.execute(statement(wanted, listing)).all() if wanted else []
        places = [Place(row.opened_at, row.id) for row in rows if row.what != Found.MORE]
        page = listing.page(places, more=len(places) < len(rows))
        if listing.turned and page.back is None and len(page.rows) < paging.SIZE:
            return search(filters)  # it is the beginning of the list, of which only a part lay before the place
        lead = {row.id for row in rows if row.what == Found.EXACT} - set(page.rows)
        return page.showing(_payments(session, [*sorted(lead), *page.rows]))


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
            rivals.of(session, payment, now()) if payment.status != Status.ACCEPT else (),
        )


def _wanted(session: Session, filters: Filters) -> Wanted | None:
    """The filters with the keys of what they name. None where nothing can fit."""
    if len(filters.q) > LONGEST_TYPED:
        return None
    statuses = _statuses(filters)
    wanted = Wanted(statuses, None, filters.since, filters.until, filters.q, None)
    if not (filters.merchant or filters.q):
        return wanted
    merchant = select(Merchant.id).where(Merchant.merch_id == filters.merchant).scalar_subquery()
    wallet = select(Wallet.id).where(Wallet.number == filters.q).scalar_subquery()
    found = session.execute(select(merchant, wallet)).one()
    return replace(wanted, merchant=found[0], wallet=found[1]) if found[0] or not filters.merchant else None


def _statuses(filters: Filters) -> tuple[Status, ...]:
    if filters.status:
        return () if filters.status == ALL else (Status(filters.status),)
    return () if filters.q else OPEN


def _payments(session: Session, keys: Sequence[int]) -> list[Payment]:
    """In the order of the keys."""
    query = select(Payment).options(joinedload(Payment.merchant), joinedload(Payment.wallet))
    found = {payment.id: payment for payment in session.scalars(query.where(Payment.id.in_(keys)))} if keys else {}
    return [found[pk] for pk in keys if pk in found]


def _webhooks(session: Session, payment_pk: int) -> list[tuple[Webhook, Attempts]]:
    webhooks = session.scalars(select(Webhook).where(Webhook.payment_id == payment_pk).order_by(Webhook.id)).all()
    return [(webhook, queries.attempts(session, webhook.id)) for webhook in webhooks]
