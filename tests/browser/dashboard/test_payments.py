"""An operator at work in a real browser: logs in, finds the payment, accepts it."""

from __future__ import annotations

from flask import Flask
from playwright.sync_api import Page, expect

from cerber.operators import staff
from tests.browser.dashboard.conftest import PASSWORD
from tests.support.factories import bodies, make_merchant, make_wallet, open_payment, payment


def test_an_operator_logs_in_and_accepts(app: Flask, address: str, page: Page) -> None:
    make_wallet(app)
    key = open_payment(app, make_merchant(app))
    with app.app_context():
        staff.add("leyla", PASSWORD, "operator", "cli")
    page.goto(f"{address}/")
    page.get_by_label("Username").fill("leyla")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    page.get_by_role("link", name="3636363").first.click()
    page.get_by_role("button", name="Accept").click()
    expect(page.get_by_text("Paid", exact=True).first).to_be_visible()
    assert payment(app, key).status == "accept"
    assert bodies(app) == ['{"status": "confirm", "payment_id": "3636363", "confirm_sum": "500"}']
