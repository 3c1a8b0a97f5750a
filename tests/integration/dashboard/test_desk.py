"""The desk: its sections, the fragment that refreshes it, and decisions sent from a row."""

from __future__ import annotations

import re
import time
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask

from cerber.payments import decisions, desk, expiry
from cerber.payments.models import Transfer
from cerber.webhooks.worker import heartbeats
from tests.support.clock import Clock, now
from tests.support.desk import NBSP, Browser, Shop
from tests.support.statements import caught

ROW = {"X-Desk": "row"}


def section(page: str, name: str) -> str:
    found = re.search(rf'data-section="{name}"(.*?)</section>', page, re.DOTALL)
    assert found
    return found[1]


def keys(text: str) -> list[int]:
    return [int(pk) for pk in re.findall(r'<tbody data-pk="(\d+)"', text)]


def paid(shop: Shop, *keys: int) -> None:
    with shop.app.app_context():
        for pk in keys:
            decisions.merchant_update(pk, "merchant:shop", accept=True)


def row_post(browser: Browser, pk: int, action: str, **fields: Any) -> Any:
    headers = ROW | {"X-CSRFToken": browser.token()}
    return browser.client.post(f"/payments/{pk}/{action}", data=fields, headers=headers)


def test_what_is_reported_paid_stands_first_by_the_time_of_the_report(
    anna: Browser, shop: Shop, clock: Clock
) -> None:
    clock.stop(now())
    first, second, third = (shop.open(f"order-{number}") for number in range(3))
    paid(shop, second)
    clock.stop(clock() + timedelta(minutes=1))
    paid(shop, first)
    page = anna.client.get("/payments/").text
    assert (keys(section(page, "check")), keys(section(page, "unpaid"))) == ([second, first], [third])
    assert "To check <span" in page
    assert page.index('id="q-check"') < page.index('id="q-unpaid"')


def test_late_money_is_to_be_checked_from_its_arrival_on(anna: Browser, shop: Shop, clock: Clock) -> None:
    clock.stop(now())
    late, waiting = shop.open("order-1"), shop.open("order-2")
    paid(shop, waiting)
    clock.stop(clock() + timedelta(hours=2))
    with shop.app.app_context():
        assert expiry.expire(late)
    page = anna.client.get("/payments/").text
    assert keys(section(page, "late")) == [late]
    assert "data-act" not in section(page, "late")  # what was decided is decided on its own page
    with shop.app.app_context():
        decisions.record_transfer(late, 2, "operator:chief", 100, "m10-1")
    page = anna.client.get("/payments/").text
    assert keys(section(page, "check")) == [waiting, late]
    assert keys(section(page, "late")) == []


def test_what_expired_leaves_the_desk_after_a_day(anna: Browser, shop: Shop, clock: Clock) -> None:
    clock.stop(now())
    pk = shop.open()
    clock.stop(clock() + timedelta(hours=2))
    with shop.app.app_context():
        assert expiry.expire(pk)
    clock.stop(clock() + timedelta(hours=24))
    anna.log_in("anna")
    page = anna.client.get("/payments/").text
    assert keys(page) == []
    assert "no payment is open" in page


def test_a_part_paid_row_says_what_came_and_a_closed_one_is_gone(anna: Browser, shop: Shop) -> None:
    part, done = shop.open("order-1"), shop.open("order-2")
    anna.post(f"/payments/{part}/transfer", version=1, sum="20", reference="m10-1")
    anna.post(f"/payments/{done}/cancel", version=1)
    check = section(anna.client.get("/payments/").text, "check")
    assert keys(check) == [part]
    assert "20.00 came" in check
    assert 'data-act="settle"' in check
    assert 'data-act="cancel"' not in check


def test_a_long_id_is_cut_in_the_middle_and_all_of_it_is_told(anna: Browser, shop: Shop) -> None:
    name = "b3f0c6a2-7d1e-4c5b-9a21-0c9e5f7d0004"
    shop.open(name)
    page = anna.client.get("/payments/").text
    assert f'title="{name}"' in page
    assert ">b3f0c6a2…f7d0004</a>" in page


def test_waits_are_bold_after_five_minutes_and_red_after_fifteen(anna: Browser, shop: Shop, clock: Clock) -> None:
    clock.stop(now())
    shop.open()
    for minutes, mark in ((4, ""), (6, "wait-some"), (16, "wait-long")):
        clock.stop(now())
        clock.stop(clock() + timedelta(minutes=minutes))
        shown = re.search(r'<span class="([^"]*)" data-since', anna.client.get("/payments/").text)
        assert shown
        assert shown[1] == mark


def test_payments_that_one_transfer_could_mean_are_marked(anna: Browser, shop: Shop) -> None:
    """The shop has one wallet."""
    first = shop.open("order-1", 3_700, payer="+994 55 123 45 67")
    shop.open("order-2", 3_700, payer="994770000001")
    shop.open("order-3", 4_000, payer="0551234567")
    closed = shop.open("order-4", 3_700, payer="551234567")
    anna.post(f"/payments/{closed}/cancel", version=1)
    page = anna.client.get("/payments/").text
    row = re.search(rf'<tbody data-pk="{first}".*?</tbody>', page, re.DOTALL)
    assert row
    assert "Of this payer 1 more open" in row[0]
    assert "The same sum is open 1 more times on this wallet" in row[0]
    assert page.count("more open of this payer") == 2
    assert page.count("more open with this sum") == 2
    with shop.app.app_context():
        assert desk.twins(first) == desk.Twins(same_sum=1, same_payer=1)


def test_a_fragment_that_has_not_changed_is_not_sent_again(anna: Browser, shop: Shop, clock: Clock) -> None:
    clock.stop(now())
    pk = shop.open()
    answer = anna.client.get("/payments/rows")
    assert answer.status_code == 200
    assert keys(answer.text) == [pk]
    assert "<html" not in answer.text
    tag = {"If-None-Match": answer.headers["ETag"]}
    clock.stop(clock() + timedelta(minutes=7))
    again = anna.client.get("/payments/rows", headers=tag)
    assert (again.status_code, again.data) == (304, b"")
    assert again.headers["ETag"] == answer.headers["ETag"]
    paid(shop, pk)
    changed = anna.client.get("/payments/rows", headers=tag)
    assert changed.status_code == 200
    assert changed.headers["ETag"] != answer.headers["ETag"]
    whole = anna.client.get("/payments/").text
    assert f'W/"{re.findall("data-tag=.([0-9a-f]+)", whole)[0]}"' == changed.headers["ETag"]


def test_a_fragment_changes_with_each_change_of_what_is_open_and_with_the_worker(
    app: Flask, anna: Browser, shop: Shop
) -> None:
    tags = [anna.client.get("/payments/rows").headers["ETag"]]

    def changed() -> bool:
        tags.append(anna.client.get("/payments/rows").headers["ETag"])
        return tags[-1] not in tags[:-1]

    pk = shop.open()
    assert changed()
    anna.post(f"/payments/{pk}/transfer", version=1, sum="20")
    assert changed()
    with app.app_context():
        heartbeats.start("worker")
    assert changed()
    assert 'data-works="1"' in anna.client.get("/payments/rows").text
    anna.post(f"/payments/{pk}/settle", version=2)
    assert changed()


def test_a_row_that_went_is_told_with_who_decided_it(anna: Browser, chief: Browser, shop: Shop) -> None:
    pk = shop.open()
    chief.post(f"/payments/{pk}/accept", version=1)
    rows = anna.client.get("/payments/rows").text
    told = re.search(rf'<li data-pk="{pk}">([^<]+)</li>', rows)
    assert told
    assert told[1].startswith("chief accepted this at ")


def test_what_a_shop_wrote_is_shown_as_text(anna: Browser, shop: Shop) -> None:
    shop.open('"><img>', payer="'><b>")
    page = anna.client.get("/payments/").text
    assert "<img" not in page
    assert "<b>" not in page


@pytest.mark.parametrize("number", [1, 40])
def test_the_number_of_statements_does_not_depend_on_what_waits(
    app: Flask, anna: Browser, shop: Shop, number: int
) -> None:
    paid(shop, *[shop.open(f"order-{each}") for each in range(number)])
    shop.open("unpaid")
    anna.client.get("/payments/")
    with caught(app) as sent:
        tag = anna.client.get("/payments/rows").headers["ETag"]
    assert len(sent) == 6, sent  # who asks; the worker; the rows; the payments; what else they could be; decisions
    with caught(app) as sent:
        assert anna.client.get("/payments/rows", headers={"If-None-Match": tag}).status_code == 304
    assert len(sent) == 3, sent


def test_a_refresh_with_nothing_new_costs_little(anna: Browser, shop: Shop) -> None:
    paid(shop, *[shop.open(f"order-{each}") for each in range(30)])
    tag = {"If-None-Match": anna.client.get("/payments/rows").headers["ETag"]}
    spent = []
    for _ in range(60):
        began = time.process_time()
        assert anna.client.get("/payments/rows", headers=tag).status_code == 304
        spent.append(time.process_time() - began)
    assert min(spent) < 0.005  # 1.4 ms where it was measured, this client's part of it included


def test_a_section_shows_its_beginning_and_leads_to_all(
    anna: Browser, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(desk, "SIZE", 2)
    desk._statement.cache_clear()
    opened = [shop.open(f"order-{each}") for each in range(3)]
    unpaid = section(anna.client.get("/payments/").text, "unpaid")
    desk._statement.cache_clear()
    assert keys(unpaid) == opened[:2]
    assert "2+" in unpaid
    assert "/payments/?status=pending" in unpaid


def test_a_payment_says_what_its_payer_has_paid_before(anna: Browser, shop: Shop, clock: Clock) -> None:
    clock.stop(now().replace(year=2026, month=11, day=22, hour=9))
    before = [shop.open(f"order-{each}", 1_000 + each, payer="+994 55 123 45 67") for each in range(3)]
    anna.log_in("anna")
    for pk in before[:2]:
        anna.post(f"/payments/{pk}/accept", version=1)
    known = shop.open("order-8", payer="0551234567")
    stranger = shop.open("order-9", payer="0559999999")
    nameless = shop.open("order-10", payer="card")
    page = anna.client.get(f"/payments/{known}").text
    assert "2 paid, last 22.11.2026" in page
    assert "1 more open of this payer" in page
    assert "none paid yet" in anna.client.get(f"/payments/{stranger}").text
    assert "paid yet" not in anna.client.get(f"/payments/{nameless}").text


# Decisions sent from a row


def test_a_row_is_told_in_one_answer_what_became_of_it(anna: Browser, shop: Shop) -> None:
    pk = shop.open()
    answer = row_post(anna, pk, "accept", version=1, reference="9912")
    assert answer.status_code == 200
    assert answer.json["done"] is True
    assert answer.json["told"].startswith("You accepted this at ")
    assert [transfer.reference for transfer in shop.all(Transfer)] == ["9912"]
    again = row_post(anna, pk, "accept", version=1)
    assert (again.status_code, again.json["done"]) == (409, True)
    assert "pressing again changed nothing" in again.json["told"]


def test_a_row_is_told_its_mistakes_and_conflicts(anna: Browser, chief: Browser, shop: Shop) -> None:
    pk = shop.open()
    wrong = row_post(anna, pk, "transfer", version=1, sum="1.000")
    assert (wrong.status_code, wrong.json["done"], wrong.json["field"]) == (422, False, "sum")
    assert wrong.json["told"].startswith("The sum must be")
    chief.post(f"/payments/{pk}/accept", version=1)
    conflict = row_post(anna, pk, "cancel", version=1)
    assert (conflict.status_code, conflict.json["done"]) == (409, False)
    assert "chief accepted this at" in conflict.json["told"]
    assert f"500.00{NBSP}AZN" in conflict.json["told"]


def test_a_row_without_its_session_leads_to_the_log_in(app: Flask, people: None, shop: Shop) -> None:
    pk = shop.open()
    answer = app.test_client().post(f"/payments/{pk}/accept", data={"version": "1"}, headers=ROW)
    assert (answer.status_code, answer.location) == (303, "/login")
    assert shop.payment(pk).version == 1
