"""How many statements each call and each page sends, and what each of them is for.

What begins and ends a transaction is not counted. Whoever needs a statement more says here what for.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from argon2 import PasswordHasher
from flask import Flask

from cerber.operators import passwords
from tests.support.clock import Clock
from tests.support.doors import Doors
from tests.support.factories import MerchantKeys
from tests.support.statements import caught

Deed = Callable[[], Any]
URL = "http://127.0.0.1:9/hook"

MERCHANT = "is the merchant as this process knows it"
IN_USE = "the merchant, with the payment of this id and its wallet, if it has one"
CHANGED = ("the payment, locked", "the ledger's entry", "the wallet's counters", "the payment", "the audit entry")
TOLD = ("the endpoint", "the webhook")
CAPPED = ("nobody else opens payments at the cap, on MySQL", "what the merchant holds")
WHO_ELSE = "who else waits for the sum"
RIVALS = ("the wallet, locked, on MySQL", WHO_ELSE)
OPERATOR = "whose session it is"
SHOWN = ("the payments, with merchants and wallets", "what else the same transfer could mean", "the last decisions")
HELD = "how many endpoints are held, for the menu"

CALLS: dict[str, tuple[Callable[[Doors], Deed], tuple[str, ...]]] = {
    "get_status": (
        lambda doors: _with_payment(doors, doors.status),
        ("the payment, with the merchant as this process knows it",),
    ),
    "get_wallet": (
        lambda doors: doors.open,
        (IN_USE, *CAPPED, "the best wallet", "take it", "the payment", "the ledger's entry"),
    ),
    "get_wallet again": (
        lambda doors: _with_payment(doors, lambda payment_id: doors.get_wallet(payment_id=payment_id)),
        (IN_USE,),
    ),
    "update_status accept": (
        lambda doors: _with_payment(doors, lambda payment_id: doors.update(payment_id, "accept")),
        ("the payment, with the merchant", "the payment, locked", "the payment", "the audit entry"),
    ),
    "update_status cancel": (
        lambda doors: _with_payment(doors, lambda payment_id: doors.update(payment_id, "cancel")),
        ("the payment, with the merchant", *CHANGED, *TOLD),
    ),
    "get_balance": (lambda doors: doors.balance, (MERCHANT, "the sums")),
    "get_balance, sent": (
        lambda doors: lambda: doors.balance(callback_url=URL),
        (MERCHANT, "the sums", "lets an old one be repeated", "was it sent just now", *TOLD),
    ),
    "get_events": (lambda doors: doors.events, (MERCHANT, "where the list begins and ends", "the events")),
}

PAGES: dict[str, tuple[Callable[[Doors], Deed], tuple[str, ...]]] = {
    "log-in": (lambda doors: lambda: doors.app.test_client().get("/login"), ()),
    "a page that needs nothing": (lambda doors: _page(doors, "/payments/?status=nothing"), (OPERATOR,)),
    "home": (lambda doors: _page(doors, "/"), (OPERATOR,)),
    "not found": (lambda doors: _page(doors, "/payments/999999"), (OPERATOR, "the payment")),
    "the queue": (
        lambda doors: _page(doors, "/payments/"),
        (OPERATOR, "does a worker live", "which payments", *SHOWN, HELD),
    ),
    "its rows": (
        lambda doors: _page(doors, "/payments/rows"),
        (OPERATOR, "does a worker live", "which payments", *SHOWN),
    ),
    "its rows, unchanged": (
        lambda doors: _page_again(doors, "/payments/rows"),
        (OPERATOR, "does a worker live", "which payments"),
    ),
    "a list": (
        lambda doors: _page(doors, "/payments/?status=pending"),
        (OPERATOR, "which payments", "the payments, with merchants and wallets", HELD),
    ),
    "a search": (
        lambda doors: _page(doors, "/payments/?q=994&merchant=shop-1"),
        (OPERATOR, "what the words name", "which payments", "the payments, with merchants and wallets", HELD),
    ),
    "a payment": (
        lambda doors: _page(doors, f"/payments/{doors.pk(doors.open())}"),
        (
            *(OPERATOR, "the payment", "its webhooks", "its transfers", "its audit entries", WHO_ELSE),
            *("what its payer has paid before", "what else the same transfer could mean"),
        ),
    ),
    "webhooks": (
        lambda doors: _page(doors, "/webhooks/"),
        (OPERATOR, "which webhooks", "their last attempts", "the webhooks", HELD),
    ),
    "endpoints": (
        lambda doors: _page(doors, "/endpoints/"),
        (OPERATOR, "which endpoints", "the endpoints", "how many events wait", "since when", HELD),
    ),
    "a payment accepted": (
        lambda doors: _decision(doors, "accept"),
        (OPERATOR, *RIVALS, *CHANGED, "the transfer", *TOLD),
    ),
    "a transfer": (
        lambda doors: _decision(doors, "transfer", sum="20"),
        (OPERATOR, *RIVALS, *CHANGED, "the transfer", *TOLD),
    ),
    "a payment cancelled": (lambda doors: _decision(doors, "cancel"), (OPERATOR, *CHANGED, *TOLD)),
}


@pytest.fixture
def doors(app: Flask, keys: MerchantKeys, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Doors:
    """With what a process keeps from its first requests on."""
    monkeypatch.setattr(passwords, "_hasher", PasswordHasher(time_cost=1, memory_cost=64, parallelism=1))
    doors = Doors(app, keys, clock, URL)
    doors.log_in()
    doors.update(doors.open(), "cancel")
    return doors


@pytest.mark.parametrize("name", CALLS)
def test_a_call_needs_no_more_statements_than_these(doors: Doors, name: str) -> None:
    _at_most(doors, *CALLS[name])


@pytest.mark.parametrize("name", PAGES)
def test_a_page_needs_no_more_statements_than_these(doors: Doors, name: str) -> None:
    _at_most(doors, *PAGES[name])


def _at_most(doors: Doors, made: Callable[[Doors], Deed], reasons: tuple[str, ...]) -> None:
    if doors.own.dialect.name == "sqlite":
        reasons = tuple(reason for reason in reasons if not reason.endswith("on MySQL"))
    deed = made(doors)
    with caught(doors.app) as sent:
        deed()
    shown = "\n".join(statement.shape[:200] for statement in sent)
    assert len(sent) <= len(reasons), f"{len(sent)} statements, where these would do: {', '.join(reasons)}\n{shown}"


def _with_payment(doors: Doors, call: Callable[[str], Any]) -> Deed:
    payment_id = doors.open()
    return lambda: call(payment_id)


def _page(doors: Doors, path: str) -> Deed:
    """Errors are pages, too."""
    return lambda: doors.browser.get(path)


def _page_again(doors: Doors, path: str) -> Deed:
    """As a browser asks that has it."""
    tag = doors.browser.get(path).headers["ETag"]
    return lambda: doors.browser.get(path, headers={"If-None-Match": tag})


def _decision(doors: Doors, what: str, **fields: Any) -> Deed:
    form = {"csrf_token": doors.token(), "version": 1, **fields}
    path = f"/payments/{doors.pk(doors.open())}/{what}"

    def decide() -> None:
        assert doors.browser.post(path, data=form).status_code == 303

    return decide
