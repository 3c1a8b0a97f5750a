"""Both signature schemes against the contract's vectors, and against the Standard Webhooks library."""

from __future__ import annotations

import base64
import hmac
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import standardwebhooks
import standardwebhooks.webhooks
from hypothesis import given
from hypothesis import strategies as st

from cerber import signing

CASES = json.loads((Path(__file__).parent.parent / "vectors" / "signature-vectors.json").read_text("utf-8"))["cases"]
REQUESTS = [case for case in CASES if case["kind"] == "request"]
WEBHOOKS = [case for case in CASES if case["kind"] == "webhook"]
SECRET = "whsec_yf5bztf5bsH7kcl3O6QXQS3JuQMKcdvF3rXwEN/fjBQ="


def named(case: dict[str, Any]) -> str:
    return str(case["name"])


def keys_of(case: dict[str, Any]) -> list[str]:
    """The secrets that sign `webhook-signature`: the new one first."""
    return [case[key] for key in ("new_secret", "secret") if key in case]


def test_every_vector_is_used() -> None:
    assert len(REQUESTS) == 8
    assert len(REQUESTS) + len(WEBHOOKS) == len(CASES)
    assert any("new_secret" in case for case in WEBHOOKS)


@pytest.mark.parametrize("case", REQUESTS, ids=named)
def test_requests(case: dict[str, Any]) -> None:
    message = (case["body"] if case["body"] is not None else case["query"]).encode()
    assert signing.sign(case["secret"], message) == case["Signature"]
    assert signing.verify(case["secret"], message, case["Signature"])
    assert signing.verify(case["secret"], message, case["Signature"].upper())
    assert not signing.verify(case["secret"], message + b" ", case["Signature"])
    assert not signing.verify(signing.new_secret(), message, case["Signature"])


@pytest.mark.parametrize("case", WEBHOOKS, ids=named)
def test_webhooks(case: dict[str, Any]) -> None:
    body, timestamp = case["body"].encode(), int(case["webhook-timestamp"])
    assert signing.sign(case["secret"], body) == case["Signature"]
    made = signing.standard_signature(keys_of(case), case["webhook-id"], timestamp, body)
    assert made == case["webhook-signature"]


@pytest.mark.parametrize("case", WEBHOOKS, ids=named)
def test_the_standard_library_verifies_webhooks(case: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    body, timestamp = case["body"].encode(), int(case["webhook-timestamp"])
    sent = {
        "webhook-id": case["webhook-id"],
        "webhook-timestamp": str(timestamp),
        "webhook-signature": signing.standard_signature(keys_of(case), case["webhook-id"], timestamp, body),
    }

    class Then(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:
            return datetime.fromtimestamp(timestamp, tz or UTC)

    monkeypatch.setattr(standardwebhooks.webhooks, "datetime", Then)
    for secret in keys_of(case):
        assert standardwebhooks.Webhook(secret).verify(body, sent) == json.loads(body)
    with pytest.raises(standardwebhooks.WebhookVerificationError):
        standardwebhooks.Webhook(signing.new_secret()).verify(body, sent)


@given(st.text(st.characters(codec="utf-8"), max_size=200), st.lists(st.binary(max_size=300), max_size=3))
def test_a_prepared_key_signs_like_hmac(secret: str, messages: list[bytes]) -> None:
    prepared = signing.PreparedKey(secret)
    for message in messages:
        assert prepared.digest(message) == hmac.digest(secret.encode(), message, "sha256")


GOOD = signing.sign(SECRET, b"message")


@pytest.mark.parametrize(
    "signature",
    [
        "",
        " ",
        GOOD[:-1],
        GOOD[:32],
        GOOD + "0",
        GOOD + GOOD,
        GOOD + "\n",
        " " + GOOD[:-1],
        "0x" + GOOD[2:],
        "g" * 64,
        "0" * 64,
        "é" * 64,
        "٠" * 64,
        "\uff41" * 64,
        "\udc80" * 64,
        "\0" * 64,
        base64.b64encode(bytes.fromhex(GOOD)).decode(),
    ],
)
def test_what_is_no_signature_is_refused(signature: str) -> None:
    assert signing.verify(SECRET, b"message", signature) is False


def test_a_new_secret_has_its_form_and_is_never_the_same() -> None:
    made = {signing.new_secret() for _ in range(20)}
    assert len(made) == 20
    assert all(signing.check_secret(secret) == secret for secret in made)


@pytest.mark.parametrize(
    "text",
    ["", "whsec_", SECRET[6:], SECRET[:-4], SECRET + "AAAA", "whsec_" + "é" * 44, SECRET.replace("whsec", "WHSEC")],
)
def test_what_is_no_secret_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="a secret is whsec_"):
        signing.check_secret(text)
