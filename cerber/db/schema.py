"""Whether the database is at the newest migration."""

from __future__ import annotations

import re
from functools import cache

from sqlalchemy import column, inspect, select, table

from cerber.config import ROOT
from cerber.db.transactions import read_connection

_VERSION = table("alembic_version", column("version_num"))


def is_current() -> bool:
    """Whether the database is at the newest migration. Raises one of OUTAGES where there is no database."""
    with read_connection() as connection:
        if not inspect(connection).has_table(_VERSION.name):
            return False
        return set(connection.scalars(select(_VERSION.c.version_num))) == heads()


def heads() -> set[str]:
    """The newest migrations."""
    revisions, parents = _written()
    return revisions - parents


def knows(revision: str) -> bool:
    """Whether there is such a migration. A newer version of the code may have more."""
    return revision in _written()[0]


@cache
def _written() -> tuple[set[str], set[str]]:
    """All migrations, and those that others follow, read off their files: a web process needs no Alembic in its
    memory for that."""
    scripts = [path.read_text() for path in (ROOT / "migrations" / "versions").glob("*.py")]
    revisions = {match for text in scripts for match in re.findall(r"^revision = ['\"](.+)['\"]", text, re.M)}
    parents = {match for text in scripts for match in re.findall(r"^down_revision = ['\"](.+)['\"]", text, re.M)}
    return revisions, parents
