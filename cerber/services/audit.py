"""The audit log: one entry for each change, inside the transaction of that change."""

from __future__ import annotations

import json
from datetime import datetime

from cerber.database import db
from cerber.models import AuditEntry


def note(at: datetime, actor: str, action: str, payment_pk: int | None = None, **details: object) -> None:
    """Adds an entry to the caller's transaction. Details hold no secrets."""
    text = json.dumps(details, ensure_ascii=False)
    db.session.add(AuditEntry(at=at, actor=actor[:80], action=action, payment_id=payment_pk, details=text))
