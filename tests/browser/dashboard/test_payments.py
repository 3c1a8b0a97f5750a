"""An operator at work in a real browser: logs in, finds the payment, accepts it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator

import pytest
from flask import Flask
from playwright.sync_api import Page, expect, sync_playwright

from cerber.config import ROOT
from cerber.operators import staff
from tests.integration.docs.test_readme import free_port, is_ready
from tests.support.databases import missing
from tests.support.factories import bodies, make_merchant, make_wallet, open_payment, payment
from tests.support.workers import until

PASSWORD = "a long enough password"


@pytest.fixture
def address(app: Flask, env: dict[str, str]) -> Iterator[str]:
    port = free_port()
    command = [sys.executable, "-m", "gunicorn", "--no-control-socket", "--bind", f"127.0.0.1:{port}", "wsgi:app"]
    server = subprocess.Popen(command, cwd=ROOT, env=os.environ | env, stderr=subprocess.PIPE)
    until(lambda: is_ready(port))
    yield f"http://127.0.0.1:{port}"
    server.terminate()
    server.communicate(timeout=20)


@pytest.fixture
def page() -> Iterator[Page]:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or ""
    if not chromium:
        missing("Chromium", "apt-get install chromium")
    flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=flags)
        yield browser.new_page()
        browser.close()


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
    expect(page.get_by_text("accept", exact=False).first).to_be_visible()
    assert payment(app, key).status == "accept"
    assert bodies(app) == ['{"status": "confirm", "payment_id": "3636363", "confirm_sum": "500"}']
