"""The audit log: one entry for each change, inside the transaction of that change."""

from __future__ import annotations

import json
from datetime import datetime

from cerber.audit.models import AuditEntry
from cerber.db.engines import db


def note(at: datetime, actor: str, action: str, payment_pk: int | None = None, **details: object) -> AuditEntry:
    """Adds an entry to the caller's transaction. Details hold no secrets."""
    text = json.dumps(details, ensure_ascii=False)
    entry = AuditEntry(at=at, actor=actor[:80], action=action, payment_id=payment_pk, details=text)
    db.session.add(entry)
    return entry


def amend(entry_pk: int, **details: object) -> None:
    """Writes the details of an entry anew, where one work takes several transactions."""
    db.session.get_one(AuditEntry, entry_pk).details = json.dumps(details, ensure_ascii=False)
