"""A merchant's balance: contract section 4.

It comes out of the ledger: the sums of whole periods, and the entries that are not folded into them yet. Of hours
that the interval cuts, the payments themselves are added up. All of it is one statement, which sees one moment.
"""

from __future__ import annotations

import hashlib
import json
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from sqlalchemy import ColumnElement, CompoundSelect, Select, and_, bindparam, case, func, literal, select, union_all

from cerber.context import now
from cerber.db.tables import UTCDateTime
from cerber.db.transactions import read_connection
from cerber.ledger import periods, sums
from cerber.ledger.hours import Hour
from cerber.payments.entries import STANDING
from cerber.payments.models import Payment
from cerber.webhooks import bodies, outbox


def body(merchant_pk: int, start: datetime | None, end: datetime | None) -> str:
    """The balance of payments whose `create_time` lies from `start` to `end`, both included; None is open."""
    after_end = end + timedelta(microseconds=1) if end else periods.LAST
    return bodies.balance_body(*_totals(merchant_pk, start or periods.FIRST, after_end))


def send(merchant_pk: int, start: datetime | None, end: datetime | None, url: str, text: str) -> None:
    """Sends that balance to `url` as a webhook too; equal requests within 60 s send one."""
    asked = json.dumps([merchant_pk, str(start), str(end), url]).encode()
    outbox.enqueue_balance(merchant_pk, url, text, hashlib.sha256(asked).hexdigest())


def _totals(merchant_pk: int, start: datetime, end: datetime) -> tuple[int, int, int]:
    """The cancelled, the confirmed and the pending sum, in qəpik; `end` is not part of the interval."""
    cuts, runs = periods.cover(start, end)
    asked: dict[str, Any] = {"merchant": merchant_pk, "at": now(), "start": start, "end": end}
    if runs:
        asked |= {"first": min(run.start for run in runs), "last": max(run.end for run in runs)}
    for number, run in enumerate((*cuts, *runs)):
        asked |= {f"{name}_{number}": value for name, value in run._asdict().items()}
    with read_connection() as connection:
        rows = connection.execute(_statement(len(cuts), len(runs)), asked).all()
    cancelled, confirmed, pending = (sum(int(part or 0) for part in column) for column in zip(*rows, strict=True))
    return cancelled, confirmed, pending


@cache
def _statement(cuts: int, runs: int) -> CompoundSelect[Any]:
    """Built once for each number of cuts and runs: building it costs more than SQLite takes to run it."""
    merchant: ColumnElement[int] = bindparam("merchant")
    parts = [_due(merchant)]
    parts += [_cut(merchant, *_bounds(number, UTCDateTime())) for number in range(cuts)]
    for number in range(cuts, cuts + runs):
        parts.append(sums.folded(merchant, bindparam(f"width_{number}"), *_bounds(number, Hour())))
    if runs:
        parts.append(sums.unfolded(merchant, bindparam("first", type_=Hour()), bindparam("last", type_=Hour())))
    return union_all(*parts)


def _bounds(number: int, kind: Any) -> tuple[ColumnElement[datetime], ColumnElement[datetime]]:
    return bindparam(f"start_{number}", type_=kind), bindparam(f"end_{number}", type_=kind)


def _cut(
    merchant: ColumnElement[int], start: ColumnElement[datetime], end: ColumnElement[datetime]
) -> Select[*tuple[Any, ...]]:
    """The payments of a part of an hour."""
    within = (Payment.merchant_id == merchant, Payment.create_time >= start, Payment.create_time < end)
    return select(*sums.shown(**STANDING)).where(*within)


def _due(merchant: ColumnElement[int]) -> Select[*tuple[Any, ...]]:
    """What the payments that are due move from the pending to the cancelled sum: nothing has come for them.

    Found by when they were due alone, and then chosen: else a database may read all of a merchant's history for them.
    """
    at, start, end = (bindparam(name, type_=UTCDateTime()) for name in ("at", "start", "end"))
    asked = and_(Payment.merchant_id == merchant, Payment.create_time >= start, Payment.create_time < end)
    due = func.sum(case((asked, Payment.sum), else_=0))
    return select(due, literal(0), -due).where(Payment.due(at))
