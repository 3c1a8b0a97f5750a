"""The list of payments as a page: its filters, its links and what it says of how much it shows."""

from __future__ import annotations

import re
from datetime import timedelta
from html import unescape

import pytest
from flask import Flask
from sqlalchemy import select, update

from cerber.db import paging
from cerber.db.engines import db
from cerber.payments import decisions, listing
from cerber.payments.models import Payment, Transfer
from tests.support.clock import now
from tests.support.desk import Browser, Shop


def shown(page: str) -> list[str]:
    return re.findall(r'<a class="id" href="/payments/\d+">([^<]+)</a>', page)


def link(page: str, name: str) -> str:
    found = re.search(rf'href="([^"]+)">{name}</a>', page)
    assert found, f"no link {name}"
    return unescape(found[1])


def test_the_links_go_on_and_back_and_keep_the_filters(
    anna: Browser, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paging, "SIZE", 2)
    for number in range(5):
        shop.open(f"order-{number}")
    first = anna.client.get("/payments/?status=pending&merchant=shop&since=2020-01-01").text
    assert shown(first) == ["order-4", "order-3"]
    assert "← Back" not in first
    onward = link(first, "Next →")
    for kept in ("status=pending", "merchant=shop", "since=2020-01-01", "before="):
        assert kept in onward
    second = anna.client.get(onward).text
    assert shown(second) == ["order-2", "order-1"]
    third = anna.client.get(link(second, "Next →")).text
    assert shown(third) == ["order-0"]
    assert "Next →" not in third
    assert shown(anna.client.get(link(third, "← Back")).text) == shown(second)
    assert shown(anna.client.get(link(second, "← Back")).text) == shown(first)


def test_a_link_with_a_page_number_still_answers(anna: Browser, shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paging, "SIZE", 2)
    for number in range(5):
        shop.open(f"order-{number}")
    assert shown(anna.client.get("/payments/?page=2").text) == ["order-2", "order-3"]
    far = anna.client.get("/payments/?page=1000").text
    assert shown(far) == ["order-0", "order-1"]
    assert "Pages have no numbers any more" in far


def test_what_came_in_meanwhile_moves_no_row_from_one_page_to_the_next(
    anna: Browser, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paging, "SIZE", 2)
    for number in range(4):
        shop.open(f"order-{number}")
    onward = link(anna.client.get("/payments/?status=all").text, "Next →")
    shop.open("order-new")
    assert shown(anna.client.get(onward).text) == ["order-1", "order-0"]


def test_the_period_is_that_of_the_opening_with_both_days_whole(app: Flask, anna: Browser, shop: Shop) -> None:
    pk = shop.open("order-1")
    with app.app_context(), db.session.begin():
        moment = now().replace(year=2026, month=3, day=2, hour=20, minute=30)  # the 3rd in Baku
        db.session.execute(update(Payment).where(Payment.id == pk).values(opened_at=moment))
    for period, found in {
        "since=2026-03-03&until=2026-03-03": True,
        "since=03.03.2026": True,
        "until=2026-03-02": False,
        "since=2026-03-04": False,
        "since=2026-03-03T00:30:00": True,
        "since=2026-03-04&until=2026-03-03": False,
    }.items():
        assert (shown(anna.client.get(f"/payments/?{period}").text) == ["order-1"]) is found, period
    answer = anna.client.get("/payments/?since=soon")
    assert answer.status_code == 400
    assert "The period can" in answer.text


@pytest.mark.parametrize("q", ["+994 77 000", "077000", "994 77 000 11 22", "500,00", "500", "1 2", "R-77"])
def test_the_search_takes_what_people_type(app: Flask, anna: Browser, shop: Shop, q: str) -> None:
    pk = shop.open("order-1")
    with app.app_context():
        decisions.record_transfer(pk, 1, "operator:anna", 100, "R-77")
    page = anna.client.get("/payments/", query_string={"q": q}).text
    assert (shown(page) == ["order-1"]) is (q != "1 2")
    if q != "1 2":
        assert "1 payment fits." in page


def test_a_voided_reference_is_still_found(app: Flask, anna: Browser, shop: Shop) -> None:
    pk = shop.open("order-1")
    with app.app_context():
        decisions.record_transfer(pk, 1, "operator:anna", 100, "R-77")
        (transfer,) = db.session.scalars(select(Transfer.id)).all()
        decisions.void_transfer(pk, transfer, 2, "operator:chief", "typo")
    assert shown(anna.client.get("/payments/?q=R-77").text) == ["order-1"]


def test_a_search_that_could_be_large_says_how_many_it_shows(
    anna: Browser, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(4):
        shop.open(f"order-{number}")
    monkeypatch.setattr(paging, "SIZE", 2)
    assert "The newest 2 of more that fit." in anna.client.get("/payments/?q=order").text
    monkeypatch.setattr(listing, "HITS", 3)
    page = anna.client.get("/payments/?q=order").text
    assert shown(page) == ["order-2", "order-1"]
    assert "More than 3 payments begin with" in page


def test_a_payment_found_in_two_ways_is_shown_once(anna: Browser, shop: Shop) -> None:
    shop.open("500", 50_000, payer="500")
    assert shown(anna.client.get("/payments/?q=500").text) == ["500"]


@pytest.mark.parametrize("q", ["%", "\\", "'", '"', "\0", "💸", "9" * 5000, "(" * 500, "1 " * 3000])
def test_a_strange_search_is_answered(anna: Browser, shop: Shop, q: str) -> None:
    shop.open()
    answer = anna.client.get("/payments/", query_string={"q": q})
    assert answer.status_code == 200
    assert "No payment fits" in answer.text


def test_an_old_payment_waits_longest(app: Flask, anna: Browser, shop: Shop) -> None:
    shop.open("order-1")
    pk = shop.open("order-2")
    with app.app_context(), db.session.begin():
        long_ago = now() - timedelta(hours=2)
        db.session.execute(update(Payment).where(Payment.id == pk).values(opened_at=long_ago))
    assert shown(anna.client.get("/payments/").text) == ["order-2", "order-1"]
    assert shown(anna.client.get("/payments/?status=all").text) == ["order-1", "order-2"]
