"""Everything that is sealed at rest: whether the keys open it, and sealing it anew under the first one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from cryptography.fernet import InvalidToken
from sqlalchemy import ColumnElement, Table, or_, select, update

from cerber.audit import trail
from cerber.context import now, vault
from cerber.db import transactions
from cerber.db.engines import db
from cerber.db.tables import Base
from cerber.errors import Unavailable
from cerber.merchants.models import MerchantSecret
from cerber.operators.models import Operator

AT_ONCE = 200
_COLUMNS = ((MerchantSecret, "sealed"), (Operator, "totp_sealed"))
_SEALED = tuple((Base.metadata.tables[model.__tablename__], name) for model, name in _COLUMNS)


@dataclass(frozen=True, slots=True)
class Sealed:
    """How many secrets there are; how many no key opens, and how many an older key than the first does."""

    count: int
    shut: int
    older: int


def look() -> Sealed:
    """Opens every secret there is; one whose overlap has ended is none any more."""
    fits = [_fit(sealed) for table, name in _SEALED for _, sealed in _rows(table, name, live=True)]
    return Sealed(len(fits), fits.count(None), fits.count(False))


def reseal() -> int:
    """Seals anew under the first key what an older one has sealed, in batches that each are committed: so it can be
    stopped and run again. How many it sealed. Raises Unavailable, and changes nothing, where a secret can't be
    opened: its key would be taken for one that may go."""
    if shut := look().shut:
        raise Unavailable(
            f"{shut} can't be opened: first put the key that sealed them at the end of CERBER_ENCRYPTION_KEYS."
        )
    return sum(_reseal_table(table, name) for table, name in _SEALED)


def _reseal_table(table: Table, name: str) -> int:
    older = [pk for pk, sealed in _rows(table, name) if _fit(sealed) is False]
    return sum(_reseal_rows(table, name, older[at : at + AT_ONCE]) for at in range(0, len(older), AT_ONCE))


@transactions.transaction
def _reseal_rows(table: Table, name: str, pks: list[int]) -> int:
    """Rows that were changed meanwhile, by a rotation of the merchant's secret, are under the first key already."""
    column: ColumnElement[str] = table.c[name]
    found = db.session.execute(select(table.c.id, column).where(table.c.id.in_(pks)).with_for_update()).all()
    older = [row for row in found if row[1] is not None and _fit(row[1]) is False]
    for pk, sealed in older:
        fresh = vault().seal(vault().open(sealed))
        db.session.execute(update(table).where(table.c.id == pk, column == sealed).values({name: fresh}))
    if older:
        trail.note(now(), "cli", "secrets_resealed", table=table.name, rows=len(older))
    return len(older)


def _rows(table: Table, name: str, *, live: bool = False) -> Iterator[tuple[int, str]]:
    query = select(table.c.id, table.c[name]).where(table.c[name].is_not(None))
    if live and "valid_until" in table.c:
        query = query.where(or_(table.c.valid_until.is_(None), table.c.valid_until > now()))
    with transactions.reading() as session:
        yield from ((row[0], row[1]) for row in session.execute(query))


def _fit(sealed: str) -> bool | None:
    """Whether the first key opens it; None where no key does."""
    try:
        return vault().is_under_first_key(sealed)
    except InvalidToken:
        return None
