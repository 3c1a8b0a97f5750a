"""Walks all the books, part by part: in bounded memory, and from any place on, so that it may be stopped."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import Connection, func, select

from cerber.db.transactions import read_connection
from cerber.ledger import periods
from cerber.merchants.models import Merchant
from cerber.payments import books, mending
from cerber.payments.books import Kind, Wrong
from cerber.payments.models import Payment
from cerber.wallets.models import Wallet

Found = tuple[list[Wrong], int | None]


class Place(NamedTuple):
    """How far a walk has come: its stage, the merchant's key where the stage goes by merchants, and what was reached:
    a payment's key, or an hour since 1970."""

    stage: str = "payments"
    owner: int = 0
    reached: int = 0

    def __str__(self) -> str:
        return ":".join(map(str, self))

    @classmethod
    def parse(cls, text: str) -> Place:
        """Raises ValueError for what no walk has printed."""
        stage, owner, reached = text.split(":")
        if stage not in _STAGES:
            raise ValueError(f"there is no stage {stage}")
        return cls(stage, int(owner), int(reached))


@dataclass(frozen=True, slots=True)
class Part:
    """One part of the books, where it begins, and what is wrong in it."""

    place: Place
    wrong: list[Wrong]


@dataclass(frozen=True, slots=True)
class Description:
    """What is wrong, where, and what it lacks on each account: sums in manat with a sign."""

    wrong: str
    where: dict[str, object]
    lacks: dict[str, object]

    def __str__(self) -> str:
        where = ", ".join(f"{name} {value}" for name, value in self.where.items())
        lacks = ", ".join(f"{text} {account.replace('_', ' ')}" for account, text in self.lacks.items())
        return f"{self.wrong} ({where}) lacks {lacks}"


def walk(since: Place) -> Iterator[Part]:
    """Looks at all there is from a place on: the payments first, then the hours of each merchant, the longer periods
    and the wallets. So what is mended on the way is right for what comes after it."""
    for place in _beginnings(since):
        reached: int | None = place.reached
        while reached is not None:
            with read_connection() as connection:
                wrong, after = _STAGES[place.stage](connection, place.owner, reached)
            yield Part(place._replace(reached=reached), wrong)
            reached = after


def sample() -> list[Wrong]:
    """A look that costs little however much there is: at the newest payments and at some others, at the sums around
    them, and at the wallets."""
    with read_connection() as connection:
        newest = connection.scalar(select(func.max(Payment.id))) or 0
        wrong = books.wallets(connection)
        for after in (max(newest - books.AT_ONCE, 0), random.randint(0, newest)):  # noqa: S311 - it guards nothing
            wrong += books.payments(connection, after)[0]
            wrong += _around(connection, after + 1)
    return wrong


def described(wrong: Wrong) -> Description:
    """What is wrong, by the names that people know."""
    return Description(wrong.kind.value, _named(wrong), mending.told(wrong.lacks))


def _named(wrong: Wrong) -> dict[str, object]:
    key = wrong.key
    with read_connection() as connection:
        if wrong.kind is Kind.WALLET:
            return {"number": connection.scalar(select(Wallet.number).where(Wallet.id == key.pk))}
        if wrong.kind in (Kind.HOUR, Kind.PERIOD):
            merch_id = connection.scalar(select(Merchant.merch_id).where(Merchant.id == key.pk))
            return {"merch_id": merch_id, "start": f"{key.start:%Y-%m-%dT%H}:00Z", "hours": key.width}
        named = select(Merchant.merch_id, Payment.payment_id).join(Payment, Payment.merchant_id == Merchant.id)
        return dict(connection.execute(named.where(Payment.id == key.pk)).one()._mapping)


def _around(connection: Connection, payment_pk: int) -> list[Wrong]:
    """The sums around the time of a payment."""
    found = connection.execute(
        select(Payment.merchant_id, Payment.create_time).where(Payment.id >= payment_pk).order_by(Payment.id).limit(1)
    ).first()
    if found is None:
        return []
    hours, _ = books.hours(connection, found.merchant_id, periods.floor(found.create_time))
    block, _ = books.block(connection, found.merchant_id, periods.floor(found.create_time, periods.WIDTHS[-1]))
    return hours + block


def _beginnings(since: Place) -> Iterator[Place]:
    """The place itself, and where each stage after it begins: for each merchant, where a stage goes by merchants."""
    yield since
    with read_connection() as connection:
        merchants = connection.scalars(select(Merchant.id).order_by(Merchant.id)).all()
    stages = list(_STAGES)
    for stage in stages[stages.index(since.stage) :]:
        by_merchant = stage in ("hours", "periods")
        for owner in merchants if by_merchant else (0,):
            if stage != since.stage or owner > since.owner:
                yield Place(stage, owner, periods.hours(periods.FIRST) if by_merchant else 0)


def _hours(connection: Connection, owner: int, reached: int) -> Found:
    wrong, end = books.hours(connection, owner, periods.hour(reached))
    return wrong, None if end is None else periods.hours(end)


def _blocks(connection: Connection, owner: int, reached: int) -> Found:
    wrong, end = books.block(connection, owner, periods.hour(reached))
    return wrong, None if end is None else periods.hours(end)


_STAGES: dict[str, Callable[[Connection, int, int], Found]] = {
    "payments": lambda connection, _, reached: books.payments(connection, reached),
    "hours": _hours,
    "periods": _blocks,
    "wallets": lambda connection, *_: (books.wallets(connection), None),
}
