"""A server, and operators' browsers: a wide one, a phone, and one without scripts."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask
from playwright.sync_api import Browser, Page, sync_playwright

from cerber.config import ROOT
from cerber.operators import staff
from tests.integration.docs.test_readme import free_port, is_ready
from tests.support.databases import missing
from tests.support.workers import until

PASSWORD = "a long enough password"
PHONE = {"viewport": {"width": 360, "height": 740}, "has_touch": True, "is_mobile": True}


@pytest.fixture
def address(app: Flask, env: dict[str, str]) -> Iterator[str]:
    port = free_port()
    command = [sys.executable, "-m", "gunicorn", "--no-control-socket", "--bind", f"127.0.0.1:{port}", "wsgi:app"]
    server = subprocess.Popen(command, cwd=ROOT, env=os.environ | env, stderr=subprocess.PIPE)
    until(lambda: is_ready(port))
    yield f"http://127.0.0.1:{port}"
    server.terminate()
    server.communicate(timeout=20)


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    found = shutil.which("chromium") or shutil.which("chromium-browser") or ""
    if not found:
        missing("Chromium", "apt-get install chromium")
    flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=flags)
        yield browser
        browser.close()


@pytest.fixture
def page(chromium: Browser) -> Iterator[Page]:
    yield from _opened(chromium)


@pytest.fixture
def leyla(app: Flask, address: str, page: Page) -> Page:
    """An operator at a desk, logged in."""
    return log_in(app, page, address, "leyla")


@pytest.fixture
def phone(app: Flask, address: str, chromium: Browser) -> Iterator[Page]:
    """An operator with a phone, logged in."""
    for page in _opened(chromium, **PHONE):
        yield log_in(app, page, address, "farid")


@pytest.fixture
def plain(app: Flask, address: str, chromium: Browser) -> Iterator[Page]:
    """An operator whose browser runs no scripts, logged in."""
    for page in _opened(chromium, java_script_enabled=False):
        yield log_in(app, page, address, "nigar")


def log_in(app: Flask, page: Page, address: str, name: str, role: str = "operator") -> Page:
    """Makes the operator, who then logs in."""
    with app.app_context():
        staff.add(name, PASSWORD, role, "cli")
    page.goto(f"{address}/")
    log_in_again(page, name)
    return page


def log_in_again(page: Page, name: str) -> None:
    """On the page of the log-in."""
    page.get_by_label("Username").fill(name)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()


def _opened(browser: Browser, **how: Any) -> Iterator[Page]:
    context = browser.new_context(**how)
    yield context.new_page()
    context.close()
