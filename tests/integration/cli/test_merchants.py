"""The commands about a merchant: who may ask, how and from where, and what is shown of it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select

from cerber import signing
from cerber.audit.models import AuditEntry
from cerber.db.transactions import reading
from cerber.payments import decisions
from tests.integration.cli.test_commands import run
from tests.support.factories import MerchantKeys, bodies, call, get_wallet, make_merchant, open_payment, payment
from tests.support.workers import decide


def merchant(app: Flask, *arguments: str) -> str:
    code, out, err = run(app, "merchant", *arguments)
    assert (code, err) == (0, "")
    return out


def shown(app: Flask) -> Any:
    return json.loads(merchant(app, "show", "shop-1"))


def status(client: FlaskClient, keys: MerchantKeys) -> int:
    return call(client, "GET", "get_balance", keys.balance_secret, {"merch_id": keys.merch_id}).status_code


def audited(app: Flask) -> list[str]:
    with app.app_context(), reading() as session:
        return [entry.action for entry in session.scalars(select(AuditEntry).order_by(AuditEntry.id))]


def test_require_v2_refuses_the_published_signature_until_it_is_off(
    app: Flask, client: FlaskClient, keys: MerchantKeys
) -> None:
    for arguments, expected in (((), 401), ((), 401), (("--off",), 200), (("--off",), 200)):
        merchant(app, "require-v2", "shop-1", *arguments)
        assert status(client, keys) == expected
        assert shown(app)["v2_only"] is (expected == 401)
    assert audited(app)[-2:] == ["merchant_v2_required", "merchant_v2_optional"]


def test_networks_let_requests_in_from_there_alone(app: Flask, client: FlaskClient, keys: MerchantKeys) -> None:
    for arguments, kept, expected in (
        (
            ("203.0.113.0/24", "2001:DB8:0::/32", "192.0.2.7"),
            ["203.0.113.0/24", "2001:db8::/32", "192.0.2.7/32"],
            401,
        ),
        (("203.0.113.0/24", "127.0.0.0/8", "127.0.0.0/8"), ["203.0.113.0/24", "127.0.0.0/8"], 200),
        (("::1",), ["::1/128"], 401),
        (("--off",), None, 200),
    ):
        merchant(app, "networks", "shop-1", *arguments)
        assert shown(app)["networks"] == kept
        assert status(client, keys) == expected


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["require-v2", "nobody"], 1),
        (["networks", "nobody", "10.0.0.0/8"], 1),
        (["networks", "shop-1"], 2),
        (["networks", "shop-1", "--off", "10.0.0.0/8"], 2),
        (["networks", "shop-1", "10.0.0.1/8"], 2),
        (["networks", "shop-1", "10.0.0.0/33"], 2),
        (["networks", "shop-1", "shop.example.com"], 2),
        (["networks", "shop-1", *(f"10.0.0.{n}" for n in range(101))], 2),
        (["rename", "nobody", "Shop"], 1),
        (["rename", "shop-1", "x" * 101], 1),
        (["rename", "shop-1", "a\nb"], 1),
        (["rename", "shop-1", "a\u202eb"], 1),
        (["rename", "shop-1", "\u3164"], 1),
        (["show", "nobody"], 1),
        (["limit", "nobody", "--open-payments", "5"], 1),
        (["limit", "shop-1"], 2),
        (["limit", "shop-1", "--open-payments", "0"], 2),
        (["limit", "shop-1", "--open-payments", "1000001"], 2),
        (["limit", "shop-1", "--open-payments", "many"], 2),
        (["cancel-open", "nobody"], 1),
    ],
)
def test_a_mistake_is_one_line_and_changes_nothing(
    app: Flask, keys: MerchantKeys, arguments: list[str], code: int
) -> None:
    before = shown(app)
    result, out, err = run(app, "merchant", *arguments)
    assert (result, out, len(err.splitlines())) == (code, "", 1)
    assert err.startswith("Error: ")
    assert shown(app) == before


def test_a_merchant_is_shown_without_its_secrets_and_renamed(app: Flask, keys: MerchantKeys) -> None:
    merchant(app, "rename", "shop-1", "Mağaza №7")
    merchant(app, "rotate", "shop-1", "payment")
    out = merchant(app, "show", "shop-1")
    told = json.loads(out)
    assert (told["merch_id"], told["name"], told["blocked"]) == ("shop-1", "Mağaza №7", False)
    assert [(one["kind"], one["valid_until"] is None) for one in told["secrets"]] == [
        ("balance", True),
        ("payment", True),
        ("payment", False),
    ]
    assert signing.PREFIX not in out
    assert audited(app)[-2:] == ["merchant_renamed", "secret_rotated"]


def test_a_limit_of_its_own_stands_in_place_of_the_setting(
    app: Flask, client: FlaskClient, keys: MerchantKeys
) -> None:
    assert shown(app)["open_payments"] == "default"
    for number, (given, kept, expected) in enumerate(
        [
            ("1", 1, 200),
            ("1", 1, 429),
            ("2", 2, 200),
            ("2", 2, 429),
            ("none", "none", 200),
            ("default", "default", 200),
        ]
    ):
        merchant(app, "limit", "shop-1", "--open-payments", given)
        assert shown(app)["open_payments"] == kept
        assert get_wallet(client, keys, payment_id=f"p{number}").status_code == expected
    assert audited(app).count("merchant_limited") == 4


def test_cancel_open_cancels_what_no_money_has_come_for_with_all_that_belongs_to_it(
    app: Flask, client: FlaskClient, keys: MerchantKeys
) -> None:
    other = make_merchant(app, "shop-2")
    left = open_payment(app, other)
    pks = {name: open_payment(app, keys, payment_id=name) for name in ("new", "paid", "part", "done", "gone")}
    call(client, "POST", "update_status", keys.payment_secret, {"payment_id": "paid", "status": "accept"})
    call(client, "POST", "update_status", keys.payment_secret, {"payment_id": "gone", "status": "cancel"})
    decide(app, pks["part"], 1_00)
    decide(app, pks["done"], 500_00)
    told = json.loads(merchant(app, "cancel-open", "shop-1"))
    assert told == {"merch_id": "shop-1", "cancelled": 2, "still_open": 1}
    became = {name: payment(app, key).status for name, key in pks.items()}
    assert became == {
        "new": "cancel",
        "paid": "cancel",
        "part": "confirming",
        "done": "accept",
        "gone": "cancel",
    }
    assert payment(app, left).status == "pending"
    assert payment(app, pks["paid"]).cancel_cause == "operator"
    assert [json.loads(body)["payment_id"] for body in bodies(app)[-2:]] == ["new", "paid"]
    assert audited(app)[-2:] == ["operator_cancel"] * 2
    assert json.loads(merchant(app, "cancel-open", "shop-1"))["cancelled"] == 0
    assert run(app, "balance", "verify")[1] == "all is well\n"  # the ledger and the wallet's counter agree


def test_cancel_open_that_was_killed_is_called_again(
    app: Flask, keys: MerchantKeys, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(5):
        open_payment(app, keys, payment_id=f"p{number}")
    cancel, done = decisions.cancel, []

    def killed(*about: Any) -> None:
        if len(done) == 2:
            raise KeyboardInterrupt
        cancel(*about)
        done.append(about)

    with monkeypatch.context() as patched:
        patched.setattr(decisions, "cancel", killed)
        run(app, "merchant", "cancel-open", "shop-1")
    assert len(bodies(app)) == 2
    told = json.loads(merchant(app, "cancel-open", "shop-1"))
    assert (told["cancelled"], told["still_open"]) == (3, 0)
    assert len(bodies(app)) == 5
