"""What waits at the operators' desk. Each list is read along one index, and all of it in a number of statements that
does not depend on how much waits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from functools import cache
from typing import Any

from sqlalchemy import Connection, bindparam, func, literal, select, union_all
from sqlalchemy.orm import Session, aliased, joinedload

from cerber.audit.models import AuditEntry
from cerber.db.hints import by_index
from cerber.db.tables import UTCDateTime
from cerber.db.transactions import read_connection, reading
from cerber.payments.models import Payment
from cerber.payments.states import BY_OPERATOR, OPEN, Cause, Event, Status

SIZE = 50  # of a section
LATE_FOR = timedelta(hours=24)  # after the time-to-live: what comes later is found by a search
LAST_ENTRIES = 60  # of the audit log, among which the last decisions are


class Section(StrEnum):
    """`LATE` are payments that expired: their money may still come."""

    CHECK = "check"
    UNPAID = "unpaid"
    LATE = "late"


@dataclass(frozen=True, slots=True)
class Standing:
    """A row: which payment, in which version. Two looks with equal rows show the same."""

    section: str
    pk: int
    version: int


@dataclass(frozen=True, slots=True)
class Twins:
    """How many other open payments could be meant by the same transfer: of this sum on this wallet, of this payer."""

    same_sum: int = 0
    same_payer: int = 0


@dataclass(frozen=True, slots=True)
class Desk:
    """`more`: which sections have more than they show. `twins` by the payments' keys."""

    sections: Mapping[Section, Sequence[Payment]]
    more: frozenset[Section]
    twins: Mapping[int, Twins]
    decided: Sequence[AuditEntry]


def standing(at: datetime) -> list[Standing]:
    """What the desk shows now, cheaply: one statement that reads the beginning of three indexes."""
    with read_connection() as connection:
        return _standing(connection, at)


def look(rows: Sequence[Standing]) -> Desk:
    """The payments of those rows, with all that is shown of them."""
    with reading() as session:
        found = _payments(session, [row.pk for row in rows])
        by_section = {section: [row.pk for row in rows if row.section == section] for section in Section}
        sections = {section: [found[pk] for pk in keys[:SIZE] if pk in found] for section, keys in by_section.items()}
        more = frozenset(section for section, keys in by_section.items() if len(keys) > SIZE)
        shown = [payment.id for section in (Section.CHECK, Section.UNPAID) for payment in sections[section]]
        return Desk(sections, more, _twins(session, shown), _decided(session))


def twins(payment_pk: int) -> Twins:
    """Of one payment."""
    with reading() as session:
        return _twins(session, [payment_pk]).get(payment_pk, Twins())


def _standing(connection: Connection, at: datetime) -> list[Standing]:
    rows = connection.execute(_statement(), {"at": at, "since": at - LATE_FOR})
    return [Standing(*row) for row in rows]


@cache
def _statement() -> Any:
    at, since = bindparam("at", type_=UTCDateTime()), bindparam("since", type_=UTCDateTime())
    expired = (Payment.due_at <= at, Payment.due_at > since, Payment.cancel_cause == Cause.EXPIRED.value)
    return union_all(
        _part(Section.CHECK, Status.CONFIRMING, "checking_since", Payment.checking_since, Payment.id),
        _part(Section.UNPAID, Status.PENDING, "opened_at", Payment.opened_at, Payment.id),
        _part(Section.LATE, Status.CANCEL, "due_at", Payment.due_at.desc(), Payment.id.desc(), *expired),
    )


def _part(section: Section, status: Status, column: str, first: Any, then: Any, *where: Any) -> Any:
    query = by_index(select(Payment.id, Payment.version), Payment, f"ix_payments_status_{column}")
    few = query.where(Payment.status == status, *where).order_by(first, then).limit(SIZE + 1).subquery()
    return select(literal(section.value), few.c.id, few.c.version)


def _payments(session: Session, keys: Sequence[int]) -> dict[int, Payment]:
    query = select(Payment).options(joinedload(Payment.merchant), joinedload(Payment.wallet))
    return {payment.id: payment for payment in session.scalars(query.where(Payment.id.in_(keys)))} if keys else {}


def _twins(session: Session, keys: Sequence[int]) -> dict[int, Twins]:
    if not keys:
        return {}
    same_sum = _others("ix_payments_sum_status_opened_at_id_merchant_id", Payment.sum, Payment.wallet_id)
    same_payer = _others("ix_payments_user_wallet_digits_status", Payment.user_wallet_digits)
    rows = session.execute(select(Payment.id, same_sum, same_payer).where(Payment.id.in_(keys)))
    return {pk: Twins(*counts) for pk, *counts in rows}


def _others(index: str, *same: Any) -> Any:
    """How many other open payments have the same. Each status is asked for by itself: of a list of them MySQL uses
    the first column of the index alone, and reads all that ever had the same."""
    return sum((_of_status(status, index, same) for status in OPEN), literal(0))


def _of_status(status: Status, index: str, same: Sequence[Any]) -> Any:
    other = aliased(Payment)
    counted = by_index(select(func.count()).select_from(other), other, index).where(other.status == status.value)
    alike = (getattr(other, column.key) == column for column in same)
    return counted.where(other.id != Payment.id, *alike).correlate(Payment).scalar_subquery()


def _decided(session: Session) -> list[AuditEntry]:
    """The last decisions, the newest first: they tell who decided a row that has gone."""
    last = select(AuditEntry).order_by(AuditEntry.id.desc())
    closing = {*BY_OPERATOR, Event.MERCHANT_CANCEL, Event.EXPIRE}
    return [entry for entry in session.scalars(last.limit(LAST_ENTRIES)) if entry.action in closing]
