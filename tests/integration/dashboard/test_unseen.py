"""What merchants, receivers and guessers wrote hides and moves nothing on a page or in a terminal."""

from __future__ import annotations

import json
import unicodedata
from typing import Any
from urllib.parse import quote

import pytest
from flask import Flask
from sqlalchemy import update

from cerber.merchants.models import Merchant
from cerber.payments.models import Payment
from cerber.wallets.models import Wallet
from tests.integration.dashboard.test_webhooks import attempt
from tests.integration.webhooks.test_resending import endpoint, hold, put
from tests.support.desk import Browser
from tests.support.factories import MerchantKeys, open_payment
from tests.support.workers import change

__all__ = ["endpoint"]
NASTY = "ab\u202e\x1b]0;x\x07\x9b2J\u2066\u200b\u00ad\u3164\x00zy"
SHOWN = "ab⟨U+202E⟩⟨U+001B⟩]0;x⟨U+0007⟩⟨U+009B⟩2J⟨U+2066⟩⟨U+200B⟩⟨U+00AD⟩⟨U+3164⟩⟨U+0000⟩zy"
UNSEEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}


def unseen(text: str, keep: str = "\n") -> set[str]:
    return {one for one in text if unicodedata.category(one) in UNSEEN and one not in keep}


def test_what_a_receiver_answered_is_written_out(app: Flask, anna: Browser, endpoint: int) -> None:
    hold(app, endpoint, why=NASTY)
    (pk,) = put(app, endpoint, {})
    attempt(app, pk, detail=NASTY, answer=f"{NASTY}\r\n\tsecond line", headers=json.dumps({"x": NASTY}))
    pages = [anna.client.get(path).text for path in (f"/webhooks/{pk}", f"/endpoints/{endpoint}", "/endpoints/")]
    for page in pages:
        assert not unseen(page, keep="\n\r\t")
        assert SHOWN in page
    assert f"{SHOWN}\r\n\tsecond line" in pages[0], "an answer keeps its lines"


def test_what_a_merchant_sent_is_written_out(app: Flask, anna: Browser, keys: MerchantKeys) -> None:
    pk = open_payment(app, keys, create_time="a while ago")
    change(
        app, update(Payment).values(create_time_text=NASTY[:64], user_wallet="99455\u202e1")
    )  # of an older version
    change(app, update(Merchant).values(name=NASTY))
    for path in (f"/payments/{pk}", "/payments/"):
        assert not unseen(anna.client.get(path).text)
    page = anna.client.get(f"/payments/{pk}").text
    assert page.count(SHOWN) == 2
    assert "99455⟨U+202E⟩1" in page


@pytest.mark.parametrize("path", ["/payments/?q=%s", "/payments/?merchant=%s", "/webhooks/?merchant=%s", "/%s"])
def test_a_link_that_somebody_was_sent_hides_nothing(anna: Browser, path: str) -> None:
    assert not unseen(anna.client.get(path % quote("a\u202e\x1b\u200bb")).text)


def test_the_name_that_a_guesser_typed_is_written_out(stranger: Browser) -> None:
    page = stranger.log_in("a\u202eb", "x").text
    assert 'value="a⟨U+202E⟩b"' in page


# The terminal


def run(app: Flask, *arguments: str) -> Any:
    return app.test_cli_runner().invoke(args=list(arguments))


def test_a_line_break_in_an_old_label_forges_no_row(app: Flask, keys: MerchantKeys) -> None:
    change(app, update(Wallet).values(label=f"x\n994500000000\thttps://evil.example\t{NASTY}"))
    listed = run(app, "wallet", "list").output
    assert len(listed.splitlines()) == 1
    assert len(listed.split("\t")) == 5
    assert not unseen(listed, keep="\n\t")
    assert "x⟨U+000A⟩994500000000" in listed


def test_json_says_the_same_and_moves_no_cursor(app: Flask, keys: MerchantKeys) -> None:
    label = f"{NASTY}\U000e0001 Əhməd"
    change(app, update(Wallet).values(label=label))
    printed = run(app, "wallet", "list", "--json").output
    assert not unseen(printed)
    assert "Əhməd" in printed
    assert json.loads(printed)[0]["label"] == label


def test_an_error_repeats_nothing_unseen(app: Flask) -> None:
    done = run(app, "merchant", "block", "a\u202e\x1b[31mb")
    assert done.exit_code != 0
    assert not unseen(done.output)


@pytest.mark.parametrize("label", ["two\nlines", "a\u202eb", " x", "x\x1b[2J", "x" * 101])
def test_a_wallets_label_is_one_line_that_can_be_seen(app: Flask, label: str) -> None:
    done = run(app, "wallet", "add", "99450", "https://m10.example/1", "--label", label)
    assert (done.exit_code, len(done.output.splitlines())) == (2, 1)
    assert "label" in done.output
    assert run(app, "wallet", "list").output == ""
