"""How a change of money is entered: in the transaction that makes it."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import insert

from cerber.db.engines import db
from cerber.ledger import periods
from cerber.ledger.accounts import NOTHING, Accounts
from cerber.ledger.models import LedgerEntry

# Built once: building a statement costs more than SQLite takes to run it.
_INSERT = insert(LedgerEntry.__table__)  # type: ignore[arg-type]


def post(
    payment_pk: int, merchant_pk: int | None, create_time: datetime, version: int, at: datetime, moved: Accounts
) -> None:
    """Enters what a change moved in the caller's transaction; where it moved nothing, nothing.

    One row more, and no lock on a row that others wait for: the sums follow when the entry is folded. One without a
    merchant never is.
    """
    if moved == NOTHING:
        return
    row = {
        "payment_id": payment_pk,
        "version": version,
        "at": at,
        "hour": periods.floor(create_time),
        "unfolded_merchant_id": merchant_pk,
        **moved._asdict(),
    }
    db.session.connection().execute(_INSERT, row)
