"""How many balances are sent to a merchant in an hour: CERBER_BALANCE_CALLBACKS. An hour begins with its first."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import bindparam, case, or_, select, update

from cerber.context import settings
from cerber.db.engines import db
from cerber.db.tables import UTCDateTime
from cerber.db.transactions import read_connection
from cerber.merchants.models import Merchant

HOUR = timedelta(hours=1)


def is_used_up(merchant_pk: int, at: datetime) -> bool:
    """Whether no more balances are sent now. Writes nothing, and waits for nobody."""
    if not settings().balance_callbacks:
        return False
    with read_connection() as connection:
        return connection.execute(_LEFT, _asked(merchant_pk, at)).first() is None


def spend(merchant_pk: int, at: datetime) -> bool:
    """Counts one balance in the caller's transaction. Whether there was one left."""
    if not settings().balance_callbacks:
        return True
    result: Any = db.session.connection().execute(_SPEND, _asked(merchant_pk, at))
    return bool(result.rowcount)


def _asked(merchant_pk: int, at: datetime) -> dict[str, Any]:
    return {"merchant_pk": merchant_pk, "now": at, "hour_ago": at - HOUR, "most": settings().balance_callbacks}


_OVER = or_(Merchant.balances_since.is_(None), Merchant.balances_since <= bindparam("hour_ago", type_=UTCDateTime()))
_SOME_LEFT = (Merchant.id == bindparam("merchant_pk"), or_(_OVER, Merchant.balances_sent < bindparam("most")))
_LEFT = select(Merchant.id).where(*_SOME_LEFT)

# MySQL assigns from left to right and reads what it has assigned: the beginning of the hour comes last.
_SPEND = (
    update(Merchant.__table__)  # type: ignore[arg-type]
    .where(*_SOME_LEFT)
    .ordered_values(
        (Merchant.balances_sent, case((_OVER, 1), else_=Merchant.balances_sent + 1)),
        (
            Merchant.balances_since,
            case((_OVER, bindparam("now", type_=UTCDateTime())), else_=Merchant.balances_since),
        ),
    )
)
