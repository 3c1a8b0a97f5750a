"""What a snapshot must not bring back to life where it is put: workers, sessions, claims, and old news."""

from __future__ import annotations

import secrets
from datetime import datetime

from sqlalchemy import Connection, delete, func, select, update

from cerber.backups.models import Silence
from cerber.operators.models import Operator, OperatorSession
from cerber.webhooks.kinds import WebhookState
from cerber.webhooks.models import Webhook, Worker


def settle(snapshot: Connection, at: datetime, *, deliver: bool) -> int:
    """Ends what was alive. Without `deliver` the events that were on their way are given up: the original may have
    delivered them since, and they wait until somebody sends them again. How many there were."""
    snapshot.execute(delete(Worker))
    snapshot.execute(delete(Silence))
    snapshot.execute(delete(OperatorSession))
    for pk in snapshot.scalars(select(Operator.id)).all():
        snapshot.execute(update(Operator).where(Operator.id == pk).values(session_key=secrets.token_hex(16)))
    snapshot.execute(update(Webhook).where(Webhook.lease.is_not(None)).values(lease=None, due_at=at, scheduled_at=at))
    waiting = Webhook.state == WebhookState.DUE
    count = snapshot.scalar(select(func.count()).select_from(Webhook).where(waiting)) or 0
    if not deliver:
        snapshot.execute(update(Webhook).where(waiting).values(state=WebhookState.GIVEN_UP, closed_at=at))
    snapshot.commit()
    return count
