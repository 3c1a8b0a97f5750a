"""The search and the lists of payments, held against a plain look at all rows of a seeded history."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import select, update
from sqlalchemy.orm import joinedload

from cerber.app import create_app
from cerber.db import paging
from cerber.db.engines import db
from cerber.db.paging import FIRST, NUMBERED, Place, Start
from cerber.db.transactions import reading
from cerber.payments import listing, payers, queries
from cerber.payments.models import Payment, Transfer
from cerber.payments.queries import Filters
from cerber.payments.states import OPEN
from tests.support.databases import dispose
from tests.support.seeded import Seeded, seeded

pytestmark = pytest.mark.slow

UNTIL = datetime(2026, 11, 24, 16, tzinfo=UTC)
AS_ASKED = ("--payments", "2500", "--merchants", "3", "--days", "20", "--until", UNTIL.isoformat())
SINCE, BEFORE = UNTIL - timedelta(days=9), UNTIL - timedelta(days=3)
EVERYTHING = 10_000


@pytest.fixture(scope="module", params=["sqlite", "mariadb"])
def history(
    request: pytest.FixtureRequest, sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Seeded]:
    with seeded(request.param, sqlite_template, tmp_path_factory.mktemp("search"), *AS_ASKED) as made:
        yield made


@pytest.fixture(scope="module")
def app(history: Seeded) -> Iterator[Flask]:
    app = create_app(history.env)
    with app.app_context():
        yield app
    dispose(app)


@dataclass
class Rows:
    """All payments, and what may be looked for."""

    payments: list[Payment]
    references: dict[str, int]

    def fitting(self, filters: Filters) -> list[int]:
        """What a list shows, by looking at each payment."""
        statuses = {filters.status} if filters.status not in ("", queries.ALL) else None
        if not filters.status and not filters.q:
            statuses = set(OPEN)
        found = [
            payment
            for payment in self.payments
            if (statuses is None or payment.status in statuses)
            and filters.merchant in ("", payment.merchant.merch_id)
            and (filters.since is None or payment.opened_at >= filters.since)
            and (filters.until is None or payment.opened_at <= filters.until)
            and (not filters.q or self._means(filters.q, payment))
        ]
        places = sorted(
            (Place(payment.opened_at, payment.id) for payment in found), reverse=bool(filters.status or filters.q)
        )
        return [place.pk for place in places]

    def _means(self, q: str, payment: Payment) -> bool:
        return (
            payment.payment_id.startswith(q)
            or payment.user_wallet.startswith(q)
            or any((payers.digits(payment.user_wallet) or "x").startswith(prefix) for prefix in payers.prefixes(q))
            or payment.wallet.number == q
            or self.references.get(q) == payment.id
            or SUMS.get(q) == payment.sum
        )


SUMS = {"50": 5000, "50,00": 5000, "15.00": 1500, "1000": 100_000, "30": 3000}


@pytest.fixture(scope="module")
def rows(app: Flask) -> Rows:
    joined = [joinedload(Payment.merchant), joinedload(Payment.wallet)]
    with reading() as session:
        transfers = session.scalars(select(Transfer).where(Transfer.reference.is_not(None)))
        return Rows(
            list(session.scalars(select(Payment).options(*joined))),
            {str(transfer.reference): transfer.payment_id for transfer in transfers},
        )


Q: dict[str, Callable[[Rows], str]] = {
    "nothing": lambda rows: "",
    "an id": lambda rows: rows.payments[7].payment_id,
    "the beginning of an id": lambda rows: "10012",
    "the beginning of an id in letters": lambda rows: "ORD-00001",
    "a payer's wallet": lambda rows: rows.payments[99].user_wallet,
    "the beginning of a payer's wallet": lambda rows: "9945510",
    "the beginning with a plus": lambda rows: "+994 55 10",
    "the beginning with a zero": lambda rows: "05510",
    "a wallet of ours": lambda rows: rows.payments[1].wallet.number,
    "a reference": lambda rows: next(iter(rows.references)),
    "a sum": lambda rows: "50,00",
    "a whole sum, which a number may begin with": lambda rows: "1000",
    "a sum with its qəpik": lambda rows: "15.00",
    "something else in our ids": lambda rows: "_ORD%",
    "another case": lambda rows: "ord-00001",
    "more than a column holds": lambda rows: "1" * 300,
}
PERIODS = [(None, None), (SINCE, None), (None, BEFORE), (SINCE, BEFORE)]
MERCHANTS = ["", "seed-2", "nobody"]


@pytest.mark.parametrize("what", Q)
def test_each_combination_of_filters_finds_what_a_look_at_all_rows_finds(
    app: Flask, rows: Rows, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paging, "SIZE", EVERYTHING)
    monkeypatch.setattr(listing, "HITS", EVERYTHING)
    q = Q[what](rows)
    found = 0
    for status, merchant, period in itertools.product(["", *queries.STATUSES], MERCHANTS, PERIODS):
        filters = Filters(status, merchant, q, *period)
        page = queries.search(filters)
        assert [payment.id for payment in page.rows] == rows.fitting(filters), filters
        assert (page.more, page.next, page.back) == (False, None, None)
        found += len(page.rows)
    assert (found > 0) is (what not in ("something else in our ids", "another case", "more than a column holds"))


@pytest.mark.parametrize(
    "filters",
    [
        Filters(),
        Filters("accept"),
        Filters(queries.ALL, merchant="seed-1"),
        Filters("cancel", since=SINCE, until=BEFORE),
        Filters(q="50,00"),
        Filters(q="994509000003", merchant="seed-3"),
        Filters("accept", q="9945"),
    ],
    ids=str,
)
def test_the_links_lead_through_the_whole_list_and_back(
    app: Flask, rows: Rows, filters: Filters, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paging, "SIZE", 11)
    monkeypatch.setattr(listing, "HITS", EVERYTHING)
    expected, seen, start = rows.fitting(filters), [], FIRST
    pages = []
    while start and len(seen) < 300:
        page = queries.search(filters, start)
        pages.append([payment.id for payment in page.rows])
        seen += pages[-1]
        start = Start.read(page.next) if page.next else None
    assert seen == expected[: len(seen)]
    assert (start is None) == (len(seen) == len(expected))
    for number, shown in enumerate(pages[:NUMBERED], 1):
        assert [payment.id for payment in queries.search(filters, Start(number=number)).rows] == shown
    while page.back:
        pages.pop()
        page = queries.search(filters, Start.read(page.back))
        assert [payment.id for payment in page.rows] == pages[-1]
    assert len(pages) == 1


def test_of_many_hits_the_newest_of_the_first_are_shown_and_the_page_says_so(
    app: Flask, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "HITS", 100)
    page = queries.search(Filters(q="ORD-"))
    hits = sorted(
        (payment for payment in rows.payments if payment.payment_id.startswith("ORD-")), key=lambda p: p.payment_id
    )
    newest = sorted(hits[:100], key=lambda payment: (payment.opened_at, payment.id), reverse=True)
    assert [payment.id for payment in page.rows] == [payment.id for payment in newest[:50]]
    assert page.more
    assert page.next
    rest = queries.search(Filters(q="ORD-"), Start.read(page.next))
    assert [payment.id for payment in rest.rows] == [payment.id for payment in newest[50:]]
    assert rest.more
    assert rest.next is None


def test_as_many_hits_as_are_looked_at_are_not_more(app: Flask, rows: Rows, monkeypatch: pytest.MonkeyPatch) -> None:
    hits = [payment for payment in rows.payments if payment.payment_id.startswith("ORD-00001")]
    monkeypatch.setattr(listing, "HITS", len(hits))
    assert not queries.search(Filters(q="ORD-00001")).more
    monkeypatch.setattr(listing, "HITS", len(hits) - 1)
    assert queries.search(Filters(q="ORD-00001")).more


def test_hits_are_counted_within_a_merchant(app: Flask, rows: Rows, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "HITS", 5)
    wanted = Filters(q="1000", merchant="seed-1")
    theirs = [p for p in rows.payments if p.payment_id.startswith("1000") and p.merchant.merch_id == "seed-1"]
    first = sorted(theirs, key=lambda payment: payment.payment_id)[:5]
    assert {payment.id for payment in first} <= {payment.id for payment in queries.search(wanted).rows}


def test_a_payment_with_just_this_id_is_on_the_first_page_whatever_its_age(app: Flask, rows: Rows) -> None:
    ours = [payment for payment in rows.payments if payment.payment_id.startswith("ORD-")]
    oldest = min(ours, key=lambda payment: payment.opened_at)
    with db.session.begin():
        db.session.execute(update(Payment).where(Payment.id == oldest.id).values(payment_id="ORD-"))
    try:
        page = queries.search(Filters(q="ORD-"))
        assert page.rows[0].id == oldest.id
        assert len(page.rows) == paging.SIZE + 1
        assert page.next
        assert oldest.id not in [
            payment.id for payment in queries.search(Filters(q="ORD-"), Start.read(page.next)).rows
        ]
    finally:
        with db.session.begin():
            restored = update(Payment).where(Payment.id == oldest.id).values(payment_id=oldest.payment_id)
            db.session.execute(restored)


def test_a_number_of_an_old_link_that_is_too_high_leads_to_the_first_page(app: Flask) -> None:
    first, lost = (queries.search(Filters("accept"), Start(number=number)) for number in (1, 1000))
    assert [payment.id for payment in lost.rows] == [payment.id for payment in first.rows]
    assert lost.next == first.next
