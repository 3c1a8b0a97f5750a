"""What is kept for a while and then thrown away, by the workers: the one place where that is done.

A batch of each kind at a time, in a transaction of its own, so nobody waits for long. Figures and the counts of
requests are none of it: a table with a row for each of few names, and a file of fixed size.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import delete, exists, func, select

from cerber.context import now, settings
from cerber.db.engines import db
from cerber.db.transactions import NO_SYNC, transaction
from cerber.operators import attempts as log_ins
from cerber.webhooks import endpoints
from cerber.webhooks.models import PAYMENTS, Breaker, Endpoint, Webhook, WebhookAttempt, Worker

AT_ONCE = 500  # rows of a kind
WORKERS_KEPT = timedelta(days=1)  # since the last heartbeat
ENDPOINTS_KEPT = timedelta(days=90)


def prune() -> bool:
    """Throws away what is too old, a batch of each kind. Whether there is more."""
    batches = [_attempts(), _failed_log_ins(), _workers(), _endpoints()]
    return max(batches) >= AT_ONCE


@transaction
def _attempts() -> int:
    """The oldest of the log: their ids rise with time, so no index of their times is needed."""
    oldest = select(WebhookAttempt.id, WebhookAttempt.at).order_by(WebhookAttempt.id).limit(AT_ONCE)
    long_ago = now() - timedelta(days=settings().attempt_days)
    return _delete(WebhookAttempt, [row.id for row in db.session.execute(oldest) if row.at < long_ago])


@transaction
def _failed_log_ins() -> int:
    return log_ins.prune(now(), AT_ONCE)


@transaction
def _workers() -> int:
    """Those not seen for a day, but for the one seen last: doctor tells of it."""
    last = db.session.scalar(select(func.max(Worker.heartbeat_at)))
    if last is None:
        return 0
    gone = select(Worker.id).where(Worker.heartbeat_at < now() - WORKERS_KEPT, Worker.heartbeat_at < last)
    return _delete(Worker, db.session.scalars(gone.order_by(Worker.heartbeat_at).limit(AT_ONCE)).all())


@transaction
def _endpoints() -> int:
    """Those that were named long ago, of which no event is known, and to which no open payment will send one."""
    unused = (
        select(Endpoint.id, Endpoint.merchant_id, Endpoint.origin)
        .where(Endpoint.created_at < now() - ENDPOINTS_KEPT, *_never_used())
        .order_by(Endpoint.id)
        .limit(AT_ONCE)
    )
    rows = db.session.execute(unused).all()
    waited_for = _named_by_open_payments({row.merchant_id for row in rows})
    old = [row.id for row in rows if (row.merchant_id, row.origin) not in waited_for]
    return _delete(Endpoint, old, *_never_used())


def _never_used() -> tuple[Any, ...]:
    """Asked again by the DELETE: an event may have come meanwhile."""
    return (
        ~exists().where(Webhook.endpoint_id == Endpoint.id),
        ~exists().where(Breaker.endpoint_id == Endpoint.id),
    )


def _named_by_open_payments(merchants: Collection[int]) -> set[tuple[int, str]]:
    columns = PAYMENTS.c
    named = select(columns.merchant_id, columns.callback_url).distinct()
    is_open = (columns.merchant_id.in_(sorted(merchants)), columns.status.in_(("pending", "confirming")))
    return {
        (row.merchant_id, endpoints.origin(row.callback_url)) for row in db.session.execute(named.where(*is_open))
    }


def _delete(model: Any, keys: Sequence[int], *still: Any) -> int:
    if keys:
        db.session.execute(delete(model).where(model.id.in_(keys), *still), execution_options=NO_SYNC)
    return len(keys)
