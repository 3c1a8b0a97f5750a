"""Signing and verifying in three languages, against the vectors."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from cerber import signing
from cerber.config import ROOT
from tests.integration.clients.driving import Driver

VECTORS = ROOT / "tests" / "vectors"
SECRET, OTHER = signing.new_secret(), signing.new_secret()
CONFIRMED = '{"status": "confirm", "payment_id": "\\u0259-1", "confirm_sum": "500"}'
BALANCE = '{"canceled_sum": 0.30, "confirm_sum": 12345678901234567890.10, "pending_sum": 0}'


def vectors(name: str, kind: str | None = None) -> list[dict[str, Any]]:
    cases = json.loads((VECTORS / name).read_text())["cases"]
    found = [case for case in cases if case.get("kind") == kind]
    assert len(found) >= 6
    return found


def headers_of(case: dict[str, Any]) -> dict[str, str]:
    names = ("Signature", "webhook-id", "webhook-timestamp", "webhook-signature")
    return {name: case[name] for name in names}


def sent(body: str, *secrets: str, age: int = 0, event: str = "evt_1", at: int | None = None) -> dict[str, str]:
    """The headers of a webhook."""
    seconds = (at or int(time.time())) - age
    return {
        "Signature": signing.sign(secrets[0], body.encode()),
        "webhook-id": event,
        "webhook-timestamp": str(seconds),
        "webhook-signature": signing.standard_signature(secrets, event, seconds, body.encode()),
    }


def test_requests_are_signed_as_the_vectors_say(driver: Driver) -> None:
    for case in vectors("signature-vectors.json", "request"):
        message = case["query"] if case["body"] is None else case["body"]
        assert driver.ask("sign", secret=case["secret"], message=message) == case["Signature"], case["name"]


def test_signature_v2_is_made_as_the_vectors_say(driver: Driver) -> None:
    for case in vectors("signature-v2-vectors.json"):
        message = case["query"] if case["body"] is None else case["body"]
        how = {"secret": case["secret"], "method": case["method"], "path": case["path"], "seconds": case["t"]}
        assert driver.ask("sign_v2", message=message, **how) == case["Signature-V2"], case["name"]


def test_webhooks_are_verified_as_the_vectors_say(driver: Driver) -> None:
    for case in vectors("signature-vectors.json", "webhook"):
        now = int(case["webhook-timestamp"])
        how = {"body": case["body"], "headers": headers_of(case)}
        for secret in filter(None, (case["secret"], case.get("new_secret"))):
            assert driver.ask("verify", check="standard", secret=secret, now=now, **how), case["name"]
        assert driver.ask("verify", check="signature", secret=case["secret"], **how), case["name"]


MAYBE = '{"status": "maybe", "payment_id": "1"}'
NO_SUM = '{"status": "confirm", "payment_id": "1"}'


def forged() -> dict[str, tuple[dict[str, str], str]]:
    """Headers and bodies. Made when they are needed: they grow old."""
    good = sent(CONFIRMED, SECRET)
    return {
        "another's secret": (sent(CONFIRMED, OTHER), CONFIRMED),
        "another body": (good, CONFIRMED.replace("500", "900")),
        "another event": (good | {"webhook-id": "evt_2"}, CONFIRMED),
        "too old": (sent(CONFIRMED, SECRET, age=302), CONFIRMED),
        "from the future": (sent(CONFIRMED, SECRET, age=-330), CONFIRMED),
        "no time": (good | {"webhook-timestamp": "soon"}, CONFIRMED),
        "no digits but Arabic ones": (good | {"webhook-timestamp": "١٧٩٥٥٠٠٠٠٠"}, CONFIRMED),
        "an endless time": (good | {"webhook-timestamp": "9" * 400}, CONFIRMED),
        "no signature": (good | {"webhook-signature": ""}, CONFIRMED),
        "cut short": (good | {"webhook-signature": good["webhook-signature"][:-1]}, CONFIRMED),
        "letters beyond ASCII": (good | {"webhook-signature": "v1,ə"}, CONFIRMED),
        "no headers": ({}, CONFIRMED),
        "Signature alone": ({"Signature": good["Signature"]}, CONFIRMED),
        "a balance under the payment secret": (sent(BALANCE, SECRET), BALANCE),
        "a payment under the balance secret": (sent(CONFIRMED, OTHER), CONFIRMED),
        "no JSON": (sent("paid", SECRET), "paid"),
        "a list": (sent("[]", SECRET), "[]"),
        "a null": (sent("null", SECRET), "null"),
        "nothing known": (sent(MAYBE, SECRET), MAYBE),
        "no sum": (sent(NO_SUM, SECRET), NO_SUM),
        "an empty body": (sent("", SECRET), ""),
    }


def test_what_is_not_the_gateways_is_refused(driver: Driver) -> None:
    for name, (headers, body) in forged().items():
        told = driver.refusal("read_webhook", body=body, headers=headers, payment_secret=SECRET, balance_secret=OTHER)
        assert told["error"] == "BadWebhook", (name, told)


def test_a_wrong_signature_is_refused(driver: Driver) -> None:
    good = signing.sign(SECRET, CONFIRMED.encode())
    for headers in ({}, {"Signature": ""}, {"Signature": good[:-1]}, {"Signature": "ə" * 64}):
        told = driver.refusal("verify", check="signature", body=CONFIRMED, headers=headers, secret=SECRET)
        assert told["error"] == "BadWebhook"
    assert driver.ask("verify", check="signature", body=CONFIRMED, headers={"signature": good.upper()}, secret=SECRET)


MISTAKES = {
    "nothing": "",
    "a name": "shop-1",
    "no prefix": SECRET.removeprefix("whsec_"),
    "cut short": SECRET[:-4],
    "no ASCII": "whsec_ə",
}


@pytest.mark.parametrize("mistake", MISTAKES.values(), ids=MISTAKES)
def test_a_secret_of_the_wrong_form_is_named_and_not_shown(driver: Driver, mistake: str) -> None:
    """Decoded, without `whsec_`, cut: nothing would ever verify, and nobody would know why."""
    told = driver.refusal("verify", check="standard", body=CONFIRMED, headers=sent(CONFIRMED, SECRET), secret=mistake)
    assert told["error"] == "ValueError"
    assert "whsec_" in told["detail"]
    assert not mistake or mistake not in told["detail"]


def test_either_secret_verifies_during_a_rotation(driver: Driver) -> None:
    headers = sent(CONFIRMED, OTHER, SECRET)
    for secret in (SECRET, OTHER):
        assert driver.ask("read_webhook", body=CONFIRMED, headers=headers, payment_secret=secret)["kind"] == "accept"


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (CONFIRMED, {"kind": "accept", "payment_id": "ə-1", "confirm_sum": "500"}),
        (
            '{"status": "cancel", "payment_id": "canceled_sum", "confirm_sum": "0"}',
            {"kind": "cancel", "payment_id": "canceled_sum", "confirm_sum": "0"},
        ),
        (
            '{"payment_id": 9007199254740991, "confirm_sum": "200.50", "payment_sum": "500"}',
            {
                "kind": "change_sum",
                "payment_id": "9007199254740991",
                "confirm_sum": "200.50",
                "payment_sum": "500",
            },
        ),
        (
            BALANCE,
            {
                "kind": "balance",
                "balance": {"canceled_sum": "0.30", "confirm_sum": "12345678901234567890.10", "pending_sum": "0"},
            },
        ),
    ],
)
def test_the_bodies_are_told_apart_and_their_sums_stay_text(driver: Driver, body: str, told: dict[str, Any]) -> None:
    nothing = {"payment_id": None, "confirm_sum": None, "payment_sum": None, "balance": None}
    delivery = {"time": None, "state": None, "attempts": None}
    headers = sent(body, OTHER if told["kind"] == "balance" else SECRET, event="evt_7")
    read = driver.ask("read_webhook", body=body, headers=headers, payment_secret=SECRET, balance_secret=OTHER)
    assert read == {"id": "evt_7", "body": body} | nothing | delivery | told


def test_headers_are_found_in_any_spelling(driver: Driver) -> None:
    spellings = (str.upper, str.title, str.lower, lambda name: "HTTP_" + name.upper().replace("-", "_"))
    for spell in spellings:
        headers = {spell(name): value for name, value in sent(CONFIRMED, SECRET).items()}
        assert driver.ask("read_webhook", body=CONFIRMED, headers=headers, payment_secret=SECRET)["id"] == "evt_1"


def test_sums_are_calculated_with_in_whole_qepik(driver: Driver) -> None:
    for text, amount in (("500", 50000), ("500.00", 50000), ("0.3", 30), ("0.01", 1), ("99999999.99", 9999999999)):
        assert driver.ask("qepik", text=text) == amount
    for amount, text in ((50000, "500"), (50050, "500.50"), (1, "0.01"), (0, "0")):
        assert driver.ask("manat", amount=amount) == text
    for text in ("", "1,5", "1.234", "-1", "1e3", "٣", "0x1", " 1", "1\n"):
        assert driver.refusal("qepik", text=text)["error"] == "ValueError"
