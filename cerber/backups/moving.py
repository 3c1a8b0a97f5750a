"""The use cases: a backup, its restoration, and a copy into another database."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy.engine import URL

from cerber.backups import archive, filling, settling, silence, snapshot
from cerber.backups.snapshot import Say
from cerber.context import now
from cerber.db import schema
from cerber.db.engines import db
from cerber.db.transactions import reading
from cerber.errors import NotRestored
from cerber.timestamps import utc_text
from cerber.webhooks.worker import heartbeats

Migrate = Callable[[URL], None]  # brings the database at a URL to the newest schema


@dataclass(frozen=True, slots=True)
class Restored:
    """What was put back: how many rows, made when, and how many events wait for somebody to send them again."""

    rows: int
    made_at: str
    waiting: int


def backup(file: Path, say: Say) -> int:
    """Writes the whole database, as it is at one moment, into a new file; the number of rows. Others may write on.

    Raises NotRestored, and FileExistsError for a name that is taken.
    """
    if file.exists():
        raise FileExistsError(f"{file} is there already, and nothing was written")
    _refuse_old_schema()
    made_at = now()
    with _room(file.parent) as room:
        tallies = snapshot.take(room / "snapshot", say)
        archive.write(file, room / "snapshot", _manifest(utc_text(made_at), tallies))
    return sum(tally.rows for tally in tallies.values())


def restore(file: Path, own: URL, migrate: Migrate, say: Say, *, deliver: bool) -> Restored:
    """Puts a backup in the place of all that `own`, this gateway's database, holds. Raises NotRestored.

    Killed, it is simply done again: until it is whole, the database passes for none.
    """
    _refuse_workers(own)
    with _room(file.parent) as room:
        manifest = archive.unpack(file, room / "snapshot")
        if not schema.knows(manifest["schema"]):
            raise NotRestored(f"{file} was made by a newer version of Cerber: update first.")
        migrate(URL.create("sqlite", database=str(room / "snapshot")))
        _make_ready(own, migrate)
        rows, waiting = _settled_into(own, room / "snapshot", say, deliver=deliver)
    return Restored(rows, manifest["made_at"], 0 if deliver else waiting)


def copy(target: URL, own: URL, migrate: Migrate, say: Say, actor: str) -> int:
    """Copies all rows into an empty database; how many. From its begin on nothing is delivered from here, so stop the
    web processes as well: what they take now is not copied. Raises NotRestored; killed, it is done again."""
    _refuse_old_schema()
    _refuse_workers(own)
    if holds_data_of_its_own(target):
        raise NotRestored("That database is not empty, and nothing was copied. Name one without tables.")
    _make_ready(target, migrate)
    silence.begin(f"This database was copied to {target.render_as_string(hide_password=True)}", actor)
    with tempfile.TemporaryDirectory(prefix="cerber-") as room:
        file = Path(room) / "snapshot"
        snapshot.take(file, lambda line: None)
        rows, _ = _settled_into(target, file, say, deliver=True)
    return rows


def holds_data_of_its_own(url: URL) -> bool:
    """Whether there is something that a restoration would take away. Half of an earlier one is nothing."""
    with filling.target_of(url) as connection:
        return filling.holds_data(connection) and not filling.is_unfinished(connection)


def _settled_into(url: URL, file: Path, say: Say, *, deliver: bool) -> tuple[int, int]:
    with snapshot.opened(file) as engine, engine.connect() as source, filling.target_of(url) as target:
        waiting = settling.settle(source, now(), deliver=deliver)
        return filling.fill(target, source, say), waiting


def _make_ready(url: URL, migrate: Migrate) -> None:
    """One that an earlier try has left has its tables, and says of itself that it is at no migration at all."""
    with filling.target_of(url) as connection:
        unfinished = filling.is_unfinished(connection)
    if not unfinished:
        migrate(url)


def _refuse_old_schema() -> None:
    if not schema.is_current():
        raise NotRestored("The schema is not current: run `flask db upgrade` first.")


def _refuse_workers(own: URL) -> None:
    with filling.target_of(own) as connection:
        usable = not filling.is_unfinished(connection)
    if not usable or not schema.is_current():
        return
    with reading() as session:
        alive, _ = heartbeats.alive(session, now())
    if alive:
        raise NotRestored(f"{alive} workers deliver from this database: stop them, and the web processes, first.")


def _manifest(made_at: str, tallies: dict[str, Any]) -> dict[str, Any]:
    [head] = schema.heads()
    return {
        "made_at": made_at,
        "schema": head,
        "original": db.engine.dialect.name,
        "tables": {name: tally.told() for name, tally in tallies.items()},
    }


@contextmanager
def _room(beside: Path) -> Iterator[Path]:
    """For a snapshot, as large as the database: beside the backup, since that is a disk with room."""
    with tempfile.TemporaryDirectory(prefix=".cerber-", dir=beside) as name:
        yield Path(name)
