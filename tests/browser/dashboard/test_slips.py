"""Slips in a real browser: double taps, Enter in a field, stale tabs. Nothing is recorded that was not meant."""

from __future__ import annotations

from contextlib import suppress

import pytest
from flask import Flask
from playwright.sync_api import Error as PlaywrightError
from playwright.sync_api import Locator, Page, expect

from tests.browser.dashboard.conftest import log_in_again
from tests.support.factories import MerchantKeys, open_payment, payment


def twice(page: Page, button: Locator, pause: int, taps: int = 2) -> None:
    """Taps the same place again and again, whatever stands there by then."""
    button.scroll_into_view_if_needed()
    box = button.bounding_box()
    assert box
    place = {"x": box["x"] + box["width"] / 2, "y": box["y"] + box["height"] / 2}
    button.tap(no_wait_after=True)
    for _ in range(taps - 1):
        page.wait_for_timeout(pause)
        with suppress(PlaywrightError):  # between two pages there is nothing to tap
            page.evaluate("({x, y}) => document.elementFromPoint(x, y)?.click()", place)
    page.wait_for_load_state()


def double_tap(page: Page, button: Locator) -> None:
    """Two quick taps of a finger, on a button that leads to no other page."""
    box = button.bounding_box()
    assert box
    for _ in range(2):
        page.touchscreen.tap(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)


@pytest.mark.parametrize("pause", [0, 60, 150, 300, 800])
def test_taps_on_reject_at_360_px_never_accept(
    app: Flask, keys: MerchantKeys, address: str, phone: Page, pause: int
) -> None:
    key = open_payment(app, keys)
    phone.goto(f"{address}/payments/{key}")
    twice(phone, phone.locator("summary", has_text="Reject"), pause)
    assert payment(app, key).status == "pending"
    phone.locator("details.ask", has_text="Reject").evaluate("(asked) => { asked.open = true; }")
    twice(phone, phone.get_by_role("button", name="Yes, reject"), pause, taps=4)
    expect(phone.get_by_role("heading", name="Rejected").first).to_be_visible()
    assert (payment(app, key).status, payment(app, key).received) == ("cancel", 0)


def test_the_second_of_two_quick_taps_closes_no_question(
    app: Flask, keys: MerchantKeys, address: str, phone: Page
) -> None:
    phone.goto(f"{address}/payments/{open_payment(app, keys)}")
    double_tap(phone, phone.locator("summary", has_text="Reject"))
    expect(phone.get_by_role("button", name="Yes, reject")).to_be_visible()


@pytest.mark.parametrize("pause", [0, 60, 300])
def test_two_taps_on_accept_record_once(
    app: Flask, keys: MerchantKeys, address: str, phone: Page, pause: int
) -> None:
    key = open_payment(app, keys)
    phone.goto(f"{address}/payments/{key}")
    twice(phone, phone.get_by_role("button", name="Accept"), pause)
    expect(phone.get_by_role("heading", name="Paid").first).to_be_visible()
    expect(phone.get_by_text("Nothing was changed")).to_have_count(0)
    assert (payment(app, key).status, payment(app, key).received) == ("accept", 500_00)


def test_a_button_is_dead_after_its_first_press(app: Flask, keys: MerchantKeys, address: str, leyla: Page) -> None:
    key = open_payment(app, keys)
    leyla.goto(f"{address}/payments/{key}")
    sent: list[str] = []
    leyla.on("request", lambda request: sent.append(request.url) if request.method == "POST" else None)
    leyla.evaluate(
        "() => { const b = [...document.querySelectorAll('button')].find(b => b.textContent.startsWith('Accept'));"
        "b.click(); b.click(); b.click(); }"
    )
    expect(leyla.get_by_role("heading", name="Paid").first).to_be_visible()
    assert len(sent) == 1


def test_without_scripts_two_presses_record_once_and_are_told_so(
    app: Flask, keys: MerchantKeys, address: str, plain: Page
) -> None:
    key = open_payment(app, keys)
    plain.goto(f"{address}/payments/{key}")
    plain.get_by_role("button", name="Accept").dblclick()
    expect(plain.get_by_role("heading", name="Paid").first).to_be_visible()
    expect(plain.get_by_text("Nothing was changed")).to_have_count(0)
    assert payment(app, key).received == 500_00


@pytest.mark.parametrize("who", ["leyla", "plain"])
def test_enter_in_a_field_records_nothing(
    app: Flask, keys: MerchantKeys, address: str, who: str, request: pytest.FixtureRequest
) -> None:
    page: Page = request.getfixturevalue(who)
    key = open_payment(app, keys)
    page.goto(f"{address}/payments/{key}")
    page.locator("#accept-reference").press_sequentially("9912")
    page.locator("#accept-reference").press("Enter")
    page.locator("summary", has_text="Another sum").click()
    page.locator("#transfer-sum").press_sequentially("500")
    page.locator("#transfer-sum").press("Enter")
    page.locator("#transfer-reference").press("Enter")
    page.wait_for_timeout(300)
    expect(page.locator("#transfer-sum")).to_have_value("500")
    assert payment(app, key).version == 1


def test_a_mistake_keeps_the_focus(app: Flask, keys: MerchantKeys, address: str, leyla: Page) -> None:
    key = open_payment(app, keys)
    leyla.goto(f"{address}/payments/{key}")
    leyla.locator("summary", has_text="Another sum").click()
    leyla.locator("#transfer-sum").fill("1.000")
    leyla.locator("#transfer-reference").fill("77")
    leyla.get_by_role("button", name="Add transfer").click()
    expect(leyla.locator("#transfer-sum")).to_be_focused()
    expect(leyla.locator("#transfer-sum")).to_have_attribute("aria-invalid", "true")
    expect(leyla.locator("#transfer-reference")).to_have_value("77")
    leyla.locator("#transfer-sum").fill("100,50")
    leyla.get_by_role("button", name="Add transfer").click()
    expect(leyla.get_by_role("heading", name="Part paid").first).to_be_visible()
    assert payment(app, key).received == 100_50


def test_a_stale_tab_is_told_who_decided(
    app: Flask, keys: MerchantKeys, address: str, leyla: Page, phone: Page
) -> None:
    key = open_payment(app, keys)
    for page in (leyla, phone):
        page.goto(f"{address}/payments/{key}")
    phone.get_by_role("button", name="Accept").tap()
    expect(phone.get_by_role("heading", name="Paid").first).to_be_visible()
    leyla.locator("summary", has_text="Reject").click()
    leyla.get_by_role("button", name="Yes, reject").click()
    expect(leyla.get_by_role("alert")).to_contain_text("farid accepted this at")
    assert payment(app, key).received == 500_00


def test_the_way_back_leads_to_no_second_decision(app: Flask, keys: MerchantKeys, address: str, leyla: Page) -> None:
    key = open_payment(app, keys)
    leyla.goto(f"{address}/payments/{key}")
    leyla.get_by_role("button", name="Accept").click()
    expect(leyla.get_by_role("heading", name="Paid").first).to_be_visible()
    leyla.go_back()
    if leyla.get_by_role("button", name="Accept").is_visible():
        leyla.get_by_role("button", name="Accept").click()
        expect(leyla.get_by_role("status")).to_contain_text("You accepted this at")
    assert payment(app, key).received == 500_00


def test_a_form_sent_after_the_session_ended_comes_back_filled_in(
    app: Flask, keys: MerchantKeys, address: str, leyla: Page
) -> None:
    key = open_payment(app, keys)
    leyla.goto(f"{address}/payments/{key}")
    leyla.locator("summary", has_text="Another sum").click()
    leyla.locator("#transfer-sum").fill("100,50")
    leyla.context.clear_cookies()
    leyla.get_by_role("button", name="Add transfer").click()
    log_in_again(leyla, "leyla")
    expect(leyla.get_by_role("alert")).to_contain_text("Not recorded yet.")
    expect(leyla.locator("#transfer-sum")).to_have_value("100,50")
    assert payment(app, key).received == 0
    leyla.get_by_role("button", name="Add transfer").click()
    expect(leyla.get_by_role("heading", name="Part paid").first).to_be_visible()
    assert payment(app, key).received == 100_50
