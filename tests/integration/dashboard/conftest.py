"""Operators who are logged in, and one who isn't; hashes that take no time, where the hash isn't what is tested."""

from __future__ import annotations

import pytest
from argon2 import PasswordHasher
from flask import Flask
from flask.testing import FlaskClient

from cerber import signing
from cerber.merchants import accounts
from cerber.operators import passwords, staff
from cerber.wallets import registry
from tests.support.desk import PASSWORD, Browser, Shop


@pytest.fixture(autouse=True)
def quick_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "_hasher", PasswordHasher(time_cost=1, memory_cost=64, parallelism=1))


@pytest.fixture
def people(app: Flask) -> None:
    with app.app_context():
        staff.add("anna", PASSWORD, "operator", "cli")
        staff.add("chief", PASSWORD, "admin", "cli")


@pytest.fixture
def stranger(client: FlaskClient, people: None) -> Browser:
    return Browser(client)


@pytest.fixture
def anna(app: Flask, people: None) -> Browser:
    browser = Browser(app.test_client())
    assert browser.log_in("anna").status_code == 303
    return browser


@pytest.fixture
def chief(app: Flask, people: None) -> Browser:
    browser = Browser(app.test_client())
    assert browser.log_in("chief").status_code == 303
    return browser


@pytest.fixture
def shop(app: Flask) -> Shop:
    with app.app_context():
        accounts.add("shop", "The Shop", signing.new_secret(), signing.new_secret(), "cli")
        registry.add("994501112233", "https://wallet.example/1", "First", None, "cli")
    return Shop(app)
