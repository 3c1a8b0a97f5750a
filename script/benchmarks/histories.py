"""Databases with a long and with a short history of the same traffic, kept for another run where that is wished."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import column, create_engine, delete, func, table
from sqlalchemy.exc import OperationalError

from benchmarks import places
from benchmarks.places import ROOT, Place
from benchmarks.shop import app_on
from cerber.db.engines import db
from cerber.db.tables import Base

A_DAY = 2740  # payments: a million in a year
MERCHANTS = 3


@dataclass(frozen=True)
class History:
    """A place with so many payments in it, and the secrets of the first merchant."""

    at: Place
    payments: int
    merchant: dict[str, str]


@contextmanager
def history(kind: str, payments: int, keep: Path | None) -> Iterator[History]:
    """With a folder, it is looked for there, and made there where it is not. On MariaDB the folder holds its keys."""
    if keep is None:
        with places.place(kind) as at:
            yield History(at, payments, _seeded(at, payments))
        return
    keep.mkdir(parents=True, exist_ok=True)
    known = keep / f"{kind}-{payments}.json"
    kept = json.loads(known.read_text()) if known.exists() else {}
    at = places.kept(kind, str(keep.resolve() / f"{kind}-{payments}.db"), f"cerber_kept_{payments}", kept.get("env"))
    if not kept:
        kept = {"env": {name: at.env[name] for name in places.KEPT}, "merchant": _seeded(at, payments)}
        known.write_text(json.dumps(kept))
    yield History(at, payments, kept["merchant"])


def _seeded(at: Place, payments: int) -> dict[str, str]:
    arguments = ("--payments", str(payments), "--merchants", str(MERCHANTS), "--days", f"{payments / A_DAY:.2f}")
    env = at.env | {"PYTHONPATH": f"{ROOT / 'script'}{os.pathsep}{ROOT}"}
    command = [sys.executable, "-m", "seeding", *arguments]
    told = subprocess.run(command, cwd=ROOT, env=env, stdout=subprocess.PIPE, text=True, check=False)
    if told.returncode:
        sys.exit("bench: the history could not be seeded")
    return dict(json.loads(told.stdout.splitlines()[0]))


def know(at: Place, *, statistics: bool) -> None:
    """Gives the database statistics of all tables, or takes them."""
    if at.kind == "mariadb":
        _know_on_mariadb(at.env["CERBER_DATABASE_URL"], statistics=statistics)
        return
    with app_on(at), db.engine.connect() as connection:
        with suppress(OperationalError):  # there was never a table for them
            connection.exec_driver_sql("DELETE FROM sqlite_stat1")
        if statistics:
            connection.exec_driver_sql("ANALYZE")
        connection.commit()


def _know_on_mariadb(url: str, *, statistics: bool) -> None:
    """On a connection that waits: it takes longer than the app's own would."""
    with create_engine(url).connect() as connection:
        for kept in ("table_stats", "column_stats", "index_stats"):
            ours = column("db_name") == func.database()
            connection.execute(delete(table(kept, column("db_name"), schema="mysql")).where(ours))
        connection.commit()
        connection.exec_driver_sql("FLUSH TABLES")
        for name in Base.metadata.tables if statistics else ():
            connection.exec_driver_sql(f"ANALYZE TABLE {name} PERSISTENT FOR ALL").all()
