"""The audit log: one entry for each change, inside the transaction of that change."""

from __future__ import annotations

import json
from datetime import datetime

from sqlalchemy import insert

from cerber.audit.models import AuditEntry
from cerber.db.engines import db

# Built once, and no business of the ORM's, which takes several times as long: each change writes one.
_INSERT = insert(AuditEntry.__table__)  # type: ignore[arg-type]


def note(at: datetime, actor: str, action: str, payment_pk: int | None = None, **details: object) -> int:
    """Writes an entry in the caller's transaction, and gives its key. Details hold no secrets."""
    text = json.dumps(details, ensure_ascii=False)
    row = {"at": at, "actor": actor[:80], "action": action, "payment_id": payment_pk, "details": text}
    return int(db.session.connection().execute(_INSERT, row).lastrowid)


def amend(entry_pk: int, **details: object) -> None:
    """Writes the details of an entry anew, where one work takes several transactions."""
    db.session.get_one(AuditEntry, entry_pk).details = json.dumps(details, ensure_ascii=False)
