"""Whether this database's events are delivered from here: not after it was copied elsewhere."""

from __future__ import annotations

from sqlalchemy import delete, select

from cerber.audit import trail
from cerber.backups.models import Silence
from cerber.context import now
from cerber.db import schema
from cerber.db.engines import db
from cerber.db.transactions import reading, transaction
from cerber.timestamps import utc_text


def reason() -> str | None:
    """Why nothing is delivered from here; None where it is, and where the schema is too old to say so."""
    if not schema.is_current():
        return None
    with reading() as session:
        silence = session.scalars(select(Silence)).one_or_none()
    if silence is None:
        return None
    return f"{silence.why} on {utc_text(silence.since, 'seconds')}, and its webhooks go out from there"


@transaction
def begin(why: str, actor: str) -> None:
    """Nothing is delivered from now on, by workers that start from now on."""
    db.session.execute(delete(Silence))
    db.session.add(Silence(id=1, since=now(), why=why))
    trail.note(now(), actor, "delivery_stopped", why=why)


@transaction
def end(actor: str) -> None:
    """Delivers from here again."""
    db.session.execute(delete(Silence))
    trail.note(now(), actor, "delivery_goes_on")
