"""A merchant's balance: contract section 4."""

from __future__ import annotations

import hashlib
import json
from datetime import datetime

from sqlalchemy import ColumnElement, case, func, or_, select

from cerber.context import now
from cerber.db.transactions import reading
from cerber.payments.models import Payment
from cerber.webhooks import bodies, outbox


def body(merchant_pk: int, start: datetime | None, end: datetime | None) -> str:
    """The balance of payments whose `create_time` lies from `start` to `end`, both included; None is open."""
    within = [Payment.merchant_id == merchant_pk]
    within += [Payment.create_time >= start] if start else []
    within += [Payment.create_time <= end] if end else []
    with reading() as session:
        row = session.execute(select(*map(_total, _parts(now()))).where(*within)).one()
    return bodies.balance_body(*map(int, row))


def send(merchant_pk: int, start: datetime | None, end: datetime | None, url: str, text: str) -> None:
    """Sends that balance to `url` as a webhook too; equal requests within 60 s send one."""
    asked = json.dumps([merchant_pk, str(start), str(end), url]).encode()
    outbox.enqueue_balance(merchant_pk, url, text, hashlib.sha256(asked).hexdigest())


def _parts(at: datetime) -> tuple[ColumnElement[int], ...]:
    """What each payment adds to the cancelled, the confirmed and the pending sum."""
    cancelled = or_(Payment.status == "cancel", Payment.due(at))
    missing = case((Payment.sum > Payment.received, Payment.sum - Payment.received), else_=0)
    return (
        case((cancelled, Payment.sum), (Payment.status == "accept", missing), else_=0),
        case((cancelled, 0), else_=Payment.received),
        case((cancelled, 0), (Payment.status == "accept", 0), else_=missing),
    )


def _total(part: ColumnElement[int]) -> ColumnElement[int]:
    return func.coalesce(func.sum(part), 0)
