"""The desk in a real browser: decided by keys, by mouse and by thumb; live; without scripts; with no network."""

from __future__ import annotations

import pytest
from flask import Flask
from playwright.sync_api import Locator, Page, expect

from cerber.db.engines import db
from cerber.operators.models import OperatorSession
from cerber.payments import decisions
from cerber.payments.models import Transfer
from tests.support.factories import MerchantKeys, open_payment, payment

SOON = 8_000  # milliseconds: some refreshes
TWICE = 600  # milliseconds, after which a click is no second half of a double click any more


def opened(app: Flask, keys: MerchantKeys, number: int, paid: bool = True) -> list[int]:
    """Payments of 1.00, 2.00 … manat, reported paid."""
    made = [open_payment(app, keys, payment_id=f"order-{each}", sum=f"{each}") for each in range(1, number + 1)]
    for key in made if paid else ():
        with app.app_context():
            decisions.merchant_update(key, "merchant:shop-1", accept=True)
    return made


def row(page: Page, key: int) -> Locator:
    return page.locator(f'#desk tbody[data-pk="{key}"]')


def posts(page: Page) -> list[str]:
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.url) if request.method == "POST" else None)
    return sent


def top(locator: Locator) -> float:
    box = locator.bounding_box()
    assert box
    return box["y"]


def tap_twice(page: Page, button: Locator, pause: int) -> None:
    """With a finger, on one place, whatever stands there by then."""
    button.scroll_into_view_if_needed()
    box = button.bounding_box()
    assert box
    for _ in range(2):
        page.touchscreen.tap(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        page.wait_for_timeout(pause)
    page.wait_for_timeout(TWICE)


def test_ten_waiting_payments_take_twenty_keys_and_ten_requests(
    app: Flask, keys: MerchantKeys, address: str, leyla: Page
) -> None:
    made = opened(app, keys, 10)
    leyla.goto(f"{address}/payments/")
    expect(leyla).to_have_title("(10) Payments · Cerber")
    sent = posts(leyla)
    for key in made:
        leyla.keyboard.press("a")
        leyla.keyboard.press("Enter")
        expect(row(leyla, key)).to_contain_text("You accepted this at")
    assert [(payment(app, key).status, payment(app, key).received) for key in made] == [
        ("accept", 100 * each) for each in range(1, 11)
    ]
    assert len(sent) == 10
    expect(leyla).to_have_title("Payments · Cerber")


def test_what_is_armed_names_sum_and_payer_and_escape_takes_it_back(
    app: Flask, keys: MerchantKeys, address: str, leyla: Page
) -> None:
    (key,) = opened(app, keys, 1)
    leyla.goto(f"{address}/payments/")
    leyla.keyboard.press("a")
    expect(leyla.locator(".armed-text")).to_have_text("Accept 1.00 AZN from 994501234567?")
    leyla.keyboard.press("Escape")
    expect(leyla.locator("#desk .armed")).to_have_count(0)
    assert payment(app, key).version == 2


def test_another_sum_by_keys_and_a_mistake_in_it(app: Flask, keys: MerchantKeys, address: str, leyla: Page) -> None:
    made = opened(app, keys, 2)
    leyla.goto(f"{address}/payments/")
    leyla.keyboard.press("j")
    leyla.keyboard.press("t")
    leyla.keyboard.type("1.500")
    leyla.keyboard.press("Enter")  # to the button, and records nothing
    expect(leyla.locator(".armed-record")).to_be_focused()
    leyla.keyboard.press("Enter")
    expect(leyla.locator(".armed-mistake")).to_contain_text("The sum must be")
    expect(leyla.locator("#armed-sum")).to_be_focused()
    leyla.locator("#armed-sum").fill("1,50")
    leyla.locator("#armed-reference").fill("77")
    leyla.keyboard.press("Enter")
    leyla.keyboard.press("Enter")
    expect(row(leyla, made[1])).to_contain_text("You added a transfer of 1.50 AZN")
    assert payment(app, made[1]).received == 150
    expect(row(leyla, made[1])).to_contain_text("1.50 came", timeout=SOON)
    leyla.keyboard.press("k")
    with app.app_context():
        assert [one.reference for one in db.session.query(Transfer)] == ["77"]


def test_rejecting_and_closing_by_keys(app: Flask, keys: MerchantKeys, address: str, leyla: Page) -> None:
    first, second = opened(app, keys, 2)
    with app.app_context():
        decisions.record_transfer(second, 2, "operator:farid", 50)
    leyla.goto(f"{address}/payments/")
    leyla.keyboard.press("s")  # nothing has come for it
    expect(leyla.locator("#desk .armed")).to_have_count(0)
    leyla.keyboard.press("c")
    expect(leyla.locator(".armed-text")).to_have_text("Reject 1.00 AZN of 994501234567: nothing came?")
    leyla.keyboard.press("Enter")
    expect(row(leyla, first)).to_contain_text("You rejected this at")
    leyla.keyboard.press("s")
    expect(leyla.locator(".armed-text")).to_contain_text("Close as paid with 0.50 AZN of 2.00 AZN")
    leyla.keyboard.press("Enter")
    expect(row(leyla, second)).to_contain_text("You closed this at")
    assert [payment(app, key).status for key in (first, second)] == ["cancel", "accept"]


def test_by_mouse_it_takes_two_clicks_and_a_double_click_decides_nothing(
    app: Flask, keys: MerchantKeys, address: str, leyla: Page
) -> None:
    first, second = opened(app, keys, 2)
    leyla.goto(f"{address}/payments/")
    row(leyla, first).get_by_role("button", name="Accept").dblclick()
    expect(leyla.locator(".armed-record")).to_be_visible()
    assert payment(app, first).version == 2
    leyla.wait_for_timeout(TWICE)
    row(leyla, second).get_by_role("button", name="Accept").click()
    leyla.wait_for_timeout(TWICE)
    leyla.locator(".armed-record").click()
    expect(row(leyla, second)).to_contain_text("You accepted this at")
    assert [payment(app, key).status for key in (first, second)] == ["confirming", "accept"]


@pytest.mark.parametrize("pause", [0, 100, 300])
def test_by_thumb_it_takes_two_taps_and_a_double_tap_decides_nothing(
    app: Flask, keys: MerchantKeys, address: str, phone: Page, pause: int
) -> None:
    made = opened(app, keys, 4)
    phone.goto(f"{address}/payments/")
    for name in ("Accept", "Reject"):
        button = row(phone, made[1]).get_by_role("button", name=name)
        tap_twice(phone, button, pause)
    assert {payment(app, key).version for key in made} == {2}
    row(phone, made[1]).get_by_role("button", name="Accept").tap()
    phone.wait_for_timeout(TWICE)
    tap_twice(phone, phone.locator(".armed-record"), pause)
    expect(row(phone, made[1])).to_contain_text("You accepted this at")
    assert [payment(app, key).version for key in made] == [2, 3, 2, 2]


def test_new_rows_move_neither_what_is_selected_nor_what_is_half_typed(
    app: Flask, keys: MerchantKeys, address: str, leyla: Page
) -> None:
    made = [open_payment(app, keys, payment_id=f"order-{each}", sum=f"{each}") for each in range(1, 31)]
    leyla.set_viewport_size({"width": 1100, "height": 500})
    leyla.goto(f"{address}/payments/")
    row(leyla, made[20]).get_by_role("button", name="Part").click()
    leyla.locator("#armed-sum").press_sequentially("3,")
    before = top(row(leyla, made[20]))
    with app.app_context():
        for key in made[:5]:
            decisions.merchant_update(key, "merchant:shop-1", accept=True)
    expect(leyla).to_have_title("(5) Payments · Cerber", timeout=SOON)
    assert abs(top(row(leyla, made[20])) - before) <= 1
    expect(leyla.locator("#armed-sum")).to_be_focused()
    leyla.keyboard.type("5")
    expect(leyla.locator("#armed-sum")).to_have_value("3,5")


def test_what_is_typed_outlives_a_report_of_paid_and_counts(
    app: Flask, keys: MerchantKeys, address: str, leyla: Page
) -> None:
    (key,) = opened(app, keys, 1, paid=False)
    leyla.goto(f"{address}/payments/")
    row(leyla, key).get_by_role("button", name="Part").click()
    leyla.locator("#armed-sum").fill("0,50")
    with app.app_context():
        decisions.merchant_update(key, "merchant:shop-1", accept=True)
    expect(leyla).to_have_title("(1) Payments · Cerber", timeout=SOON)
    expect(leyla.locator("#armed-sum")).to_have_value("0,50")
    expect(leyla.locator("#armed-sum")).to_be_focused()
    leyla.keyboard.press("Enter")
    leyla.keyboard.press("Enter")
    expect(row(leyla, key)).to_contain_text("You added a transfer of 0.50 AZN")
    assert payment(app, key).received == 50


def test_a_row_that_another_decided_stays_and_says_by_whom(
    app: Flask, keys: MerchantKeys, address: str, leyla: Page
) -> None:
    first, second = opened(app, keys, 2)
    leyla.goto(f"{address}/payments/")
    leyla.keyboard.press("a")
    with app.app_context():
        decisions.accept(first, 2, "operator:farid")
    expect(row(leyla, first)).to_contain_text("farid accepted this at", timeout=SOON)
    expect(leyla.locator("#desk .armed")).to_have_count(0)
    expect(row(leyla, second)).to_have_class("selected")
    expect(row(leyla, first)).to_have_count(0, timeout=2 * SOON)


def test_who_comes_too_late_is_told_by_whom_it_was_decided(
    app: Flask, keys: MerchantKeys, address: str, leyla: Page
) -> None:
    (key,) = opened(app, keys, 1)
    leyla.goto(f"{address}/payments/")
    leyla.keyboard.press("c")
    with app.app_context():
        decisions.accept(key, 2, "operator:farid")
    leyla.keyboard.press("Enter")
    expect(row(leyla, key)).to_contain_text("farid accepted this at")
    assert payment(app, key).received == 100


def test_a_lost_network_and_a_lost_session_are_told_and_record_nothing(
    app: Flask, keys: MerchantKeys, address: str, leyla: Page
) -> None:
    (key,) = opened(app, keys, 1)
    leyla.goto(f"{address}/payments/")
    leyla.context.set_offline(True)
    expect(leyla.locator("#bars")).to_contain_text("No answer from the server", timeout=SOON)
    leyla.keyboard.press("a")
    leyla.keyboard.press("Enter")
    expect(leyla.locator(".armed-mistake")).to_contain_text("Press again when you are online")
    leyla.context.set_offline(False)
    expect(leyla.locator("#bars")).not_to_contain_text("No answer", timeout=SOON)
    with app.app_context(), db.session.begin():
        db.session.query(OperatorSession).delete()
    leyla.locator(".armed-record").press("Enter")
    expect(leyla.locator(".armed-mistake")).to_contain_text("You are logged out, and nothing is recorded.")
    expect(leyla.locator("#bars").get_by_role("link", name="Log in")).to_be_visible(timeout=SOON)
    assert payment(app, key).version == 2


def test_the_desk_says_that_no_worker_is_alive(app: Flask, keys: MerchantKeys, address: str, leyla: Page) -> None:
    leyla.goto(f"{address}/payments/")
    expect(leyla.locator("#bars")).to_contain_text("No worker is alive")


def test_without_scripts_each_row_leads_to_its_payment(
    app: Flask, keys: MerchantKeys, address: str, plain: Page
) -> None:
    (key,) = opened(app, keys, 1)
    plain.goto(f"{address}/payments/")
    expect(row(plain, key).get_by_role("button")).to_have_count(0)
    plain.get_by_role("link", name="order-1").click()
    plain.get_by_role("button", name="Accept").click()
    expect(plain.get_by_role("heading", name="Paid").first).to_be_visible()
    assert payment(app, key).status == "accept"


def test_keys_lead_to_a_payment_to_the_search_and_to_their_list(
    app: Flask, keys: MerchantKeys, address: str, leyla: Page
) -> None:
    opened(app, keys, 3)
    leyla.goto(f"{address}/payments/")
    leyla.keyboard.press("?")
    expect(leyla.locator("#keys")).to_be_visible()
    leyla.keyboard.press("Escape")
    leyla.keyboard.press("/")
    expect(leyla.locator("#q")).to_be_focused()
    leyla.keyboard.type("ajt")
    expect(leyla.locator("#q")).to_have_value("ajt")
    leyla.keyboard.press("Escape")
    leyla.keyboard.press("j")
    leyla.keyboard.press("Enter")
    expect(leyla.get_by_role("heading", name="2.00 AZN")).to_be_visible()
    leyla.go_back()
    expect(leyla.locator("#desk tbody.selected a.id")).to_have_text("order-2")


def test_a_payment_knows_its_place_in_the_list_and_the_way_back(
    app: Flask, keys: MerchantKeys, address: str, leyla: Page
) -> None:
    opened(app, keys, 3)
    leyla.goto(f"{address}/payments/?status=confirming&merchant=shop-1")
    leyla.get_by_role("link", name="order-2").click()
    expect(leyla.locator("#walk")).to_contain_text("2 of 3")
    leyla.get_by_role("link", name="next").click()
    expect(leyla.get_by_role("heading", name="1.00 AZN")).to_be_visible()
    expect(leyla.locator("#walk")).to_contain_text("3 of 3")
    expect(leyla.get_by_role("link", name="next")).to_have_count(0)
    leyla.get_by_role("button", name="Accept").click()
    expect(leyla.locator("#walk")).to_contain_text("3 of 3")
    leyla.get_by_role("link", name="← Payments").click()
    assert leyla.url.endswith("/payments/?status=confirming&merchant=shop-1")


@pytest.mark.parametrize("width", [360, 768, 900, 1024, 1280, 1920])
def test_rows_are_low_and_nothing_is_cut_off(
    app: Flask, keys: MerchantKeys, address: str, leyla: Page, width: int
) -> None:
    made = opened(app, keys, 3)
    long = open_payment(app, keys, payment_id="x" * 64, sum="99999999.99", user_wallet="9" * 64)
    leyla.set_viewport_size({"width": width, "height": 800})
    leyla.goto(f"{address}/payments/")
    leyla.keyboard.press("a")
    assert leyla.evaluate("document.documentElement.scrollWidth") <= width
    for key in (*made, long):
        box = row(leyla, key).locator("tr").first.bounding_box()
        assert box
        assert box["height"] <= (44 if width >= 1024 else 110), width
        buttons = [one.bounding_box() for one in row(leyla, key).locator("[data-act]:visible").all()]
        assert all(one and one["height"] >= 24 and one["x"] + one["width"] <= width for one in buttons)
