"""How what `books` finds is mended: what is lacking is added, under a lock that keeps two from adding it twice."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import select, update

from cerber import money
from cerber.audit import trail
from cerber.context import now
from cerber.db.engines import db
from cerber.db.transactions import NO_SYNC, transaction
from cerber.ledger import folding, periods, posting
from cerber.ledger.accounts import NOTHING, Accounts
from cerber.payments import books, changes
from cerber.payments.books import Key, Kind, Wrong
from cerber.wallets.models import Wallet


@transaction
def mend(wrong: Wrong, actor: str) -> bool:
    """Mends it, unless that has been done meanwhile, and tells the audit log. Whether it is right now: what a payment
    received is not mended, since only a person can know whether it or its transfers are right."""
    if wrong.kind is Kind.TRANSFERS:
        return False
    {Kind.PAYMENT: _payment, Kind.WALLET: _wallet}.get(wrong.kind, _sum)(wrong.key, actor, now())
    return True


def _payment(key: Key, actor: str, at: datetime) -> None:
    """Enters what is lacking, as a change of the payment that moves no more than that. Its sums are looked at by
    themselves: they may hold it already."""
    payment = changes.locked(key.pk)
    found, _ = books.payments(db.session.connection(), 0, only=key.pk)
    for lacks in _still(found, Kind.PAYMENT, key):
        payment.version += 1
        changes.save(payment)
        posting.post(payment.id, None, payment.create_time, payment.version, at, lacks)
        trail.note(at, actor, "mend_ledger", payment.id, **told(lacks))


def _sum(key: Key, actor: str, at: datetime) -> None:
    """One that is not there becomes a row of zeros first: it has to be locked before it is looked at."""
    sum_key = (key.pk, key.width, key.start)
    folding.add({sum_key: NOTHING})
    kind = Kind.HOUR if key.width == periods.WIDTHS[0] else Kind.PERIOD
    look = books.lacking_hours if kind is Kind.HOUR else books.lacking_periods
    found = look(db.session.connection(), key.pk, key.start, periods.end_of(key.start, key.width))
    for lacks in _still(found, kind, key):
        folding.add({sum_key: lacks})
        about = {"merchant": key.pk, "start": f"{key.start:%Y-%m-%dT%H}Z", "hours": key.width}
        trail.note(at, actor, "mend_sum", None, **about, **told(lacks))


def _wallet(key: Key, actor: str, at: datetime) -> None:
    db.session.execute(select(Wallet.id).where(Wallet.id == key.pk).with_for_update())
    for lacks in _still(books.wallets(db.session.connection(), only=key.pk), Kind.WALLET, key):
        more = update(Wallet).where(Wallet.id == key.pk).values(expected=Wallet.expected + lacks.expected)
        db.session.execute(more, execution_options=NO_SYNC)
        trail.note(at, actor, "mend_wallet", None, wallet=key.pk, **told(lacks))


def _still(found: list[Wrong], kind: Kind, key: Key) -> list[Accounts]:
    """What is lacking there now, under the lock, if anything is."""
    return [wrong.lacks for wrong in found if (wrong.kind, wrong.key) == (kind, key)]


def told(lacks: Accounts) -> dict[str, object]:
    """In manat, with their signs."""
    return {name: money.signed(qepik) for name, qepik in lacks._asdict().items() if qepik}
