"""Two payments that wait for one sum on one wallet: only the operation's number tells whose transfer it is."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from html import unescape

import pytest
from flask import Flask
from sqlalchemy import event

from cerber.db.engines import db
from cerber.errors import ReferenceNeeded
from cerber.payments import decisions, rivals
from cerber.payments.models import Transfer
from cerber.wallets import registry
from tests.support.clock import Clock, now
from tests.support.desk import Browser, Shop
from tests.support.locks import waiting

ANNA = "operator:anna"
FORMS = pytest.mark.parametrize("what", ["accept", "transfer"])


def send(browser: Browser, pk: int, what: str, version: int = 1, **more: str) -> tuple[int, str]:
    fields = more | ({"sum": "500"} if what == "transfer" else {})
    answer = browser.post(f"/payments/{pk}/{what}", version=version, **fields)
    return answer.status_code, unescape(answer.text)


@FORMS
def test_where_another_waits_for_the_sum_the_number_is_needed(anna: Browser, shop: Shop, what: str) -> None:
    mine, other = shop.open("order-1"), shop.open("order-2", payer="994551112233")
    for reference in ({}, {"reference": "  "}):
        code, page = send(anna, mine, what, **reference)
        assert code == 422
        assert rivals.ASKED in page
    assert (shop.payment(mine).version, shop.all(Transfer)) == (1, [])
    assert send(anna, mine, what, reference="M10-1")[0] == 303
    assert shop.payment(mine).status == "accept"
    assert shop.payment(other).status == "pending"


@FORMS
def test_one_transfer_is_never_taken_for_both(anna: Browser, shop: Shop, what: str) -> None:
    first, second, third = (shop.open(f"order-{number}") for number in range(3))
    assert send(anna, first, what, reference="M10-1")[0] == 303
    code, page = send(anna, second, what, reference="M10-1")
    assert (code, "already has a transfer with this operation number" in page) == (409, True)
    assert send(anna, second, what, reference="M10-2")[0] == 303
    assert send(anna, third, what)[0] == 303  # it waits alone


def test_the_page_shows_both(anna: Browser, shop: Shop) -> None:
    mine = shop.open("order-1")
    alone = anna.client.get(f"/payments/{mine}").text
    assert 'id="rivals"' not in alone
    other = shop.open("order-2", payer="994551112233")
    page = anna.client.get(f"/payments/{mine}").text
    assert f'href="/payments/{other}">order-2</a> of shop, from 994551112233' in page
    assert f'href="/payments/{mine}">order-1</a>' in anna.client.get(f"/payments/{other}").text
    for shown, needed in ((alone, False), (page, True)):
        fields = [part.split(">")[0] for part in shown.split("<input") if 'name="reference"' in part]
        assert fields
        assert {field.rstrip().endswith("required") for field in fields} == {needed}


def test_a_partial_transfer_needs_it_too_and_what_records_no_money_does_not(anna: Browser, shop: Shop) -> None:
    mine, _ = shop.open("order-1"), shop.open("order-2")
    partial = {"sum": "20", "version": 1}
    assert anna.post(f"/payments/{mine}/transfer", **partial).status_code == 422
    assert anna.post(f"/payments/{mine}/transfer", **partial, reference="7").status_code == 303
    assert send(anna, mine, "settle", version=2)[0] == 303


def test_who_is_no_rival(anna: Browser, app: Flask, shop: Shop, clock: Clock) -> None:
    """Another sum, another wallet, a closed one, one whose time is over."""
    began = now()
    clock.stop(began)
    mine, closed, _ = shop.open("order-1"), shop.open("order-2"), shop.open("order-3", 50_001)
    with app.app_context():
        decisions.cancel(closed, 1, ANNA)
        registry.add("994501112299", "https://wallet.example/2", "Second", None, "cli")
    shop.open("order-4")
    with app.app_context():
        registry.set_paused("994501112299", "cli", paused=True)
        decisions.merchant_update(mine, "merchant:shop", accept=True)
    shop.open("order-5")
    assert send(anna, mine, "accept", version=2)[0] == 422
    clock.stop(began + timedelta(hours=2))  # nobody has expired it yet
    assert 'id="rivals"' not in anna.client.get(f"/payments/{mine}").text
    assert send(anna, mine, "accept", version=2)[0] == 303


def test_late_money_has_rivals_as_well(anna: Browser, app: Flask, shop: Shop) -> None:
    late = shop.open("order-1")
    with app.app_context():
        decisions.cancel(late, 1, ANNA)
    shop.open("order-2")
    assert 'id="rivals"' in anna.client.get(f"/payments/{late}").text
    assert send(anna, late, "accept", version=2)[0] == 422
    assert send(anna, late, "accept", version=2, reference="8")[0] == 303


def test_a_form_that_is_stale_says_so_first(anna: Browser, app: Flask, shop: Shop) -> None:
    mine, _ = shop.open("order-1"), shop.open("order-2")
    with app.app_context():
        decisions.cancel(mine, 1, ANNA)
    assert send(anna, mine, "accept")[0] == 409


def test_an_opening_under_way_is_waited_for(app: Flask, shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever decides asks under the wallet's lock: a payment that is being opened there is seen, or comes after."""
    mine = shop.open("order-1")
    entered, go_on = threading.Event(), threading.Event()

    def stand(*about: object) -> None:
        if threading.current_thread().name.startswith("opener") and "INSERT INTO payments" in str(about[2]):
            entered.set()
            assert go_on.wait(20)

    with app.app_context():
        event.listen(db.engine, "before_cursor_execute", stand)
        begun = waiting(db.engine)
    with ThreadPoolExecutor(1, "opener") as opener, ThreadPoolExecutor(1, "decider") as decider:
        opened = opener.submit(shop.open, "order-2")
        assert entered.wait(20)
        begun.clear()
        decided = decider.submit(accept, app, mine)
        assert begun.wait(20)
        go_on.set()
        opened.result(20)
        assert decided.result(20) is ReferenceNeeded


def accept(app: Flask, pk: int) -> type[Exception] | None:
    with app.app_context():
        try:
            decisions.accept(pk, 1, ANNA)
        except ReferenceNeeded as refusal:
            return type(refusal)
    return None


@pytest.mark.parametrize("run", range(4))
def test_of_two_deciders_at_once_one_gives_the_number(app: Flask, shop: Shop, run: int) -> None:
    """Both may find the other open, and the second one alone: never does one transfer without a number close both."""
    pks = [shop.open("order-1"), shop.open("order-2")]
    start = threading.Barrier(2)

    def decide(pk: int) -> type[Exception] | None:
        start.wait(10)
        return accept(app, pk)

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(decide, pks)) == [ReferenceNeeded] * 2
    assert shop.all(Transfer) == []
