"""`flask wallet limit` and `flask wallet edit`: they hold for new payments only."""

from __future__ import annotations

import json

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select

from cerber.audit.models import AuditEntry
from cerber.db.transactions import reading
from cerber.wallets import qr
from tests.support.factories import MerchantKeys, get_wallet, make_merchant, make_wallet

NUMBER, NEW_LINK = "994501112233", "https://m10.example/new"


@pytest.fixture
def keys(app: Flask) -> MerchantKeys:
    make_wallet(app, NUMBER, 100_00)
    return make_merchant(app)


def run(app: Flask, *arguments: str) -> tuple[int, str]:
    result = app.test_cli_runner().invoke(args=["wallet", *arguments])
    return result.exit_code, result.output


def test_a_payer_goes_on_with_the_link_that_was_shown(app: Flask, client: FlaskClient, keys: MerchantKeys) -> None:
    shown = {"0": get_wallet(client, keys, payment_id="0", sum="1").get_json()}
    for version in ("1", "2"):
        link = f"{NEW_LINK}/{version}"
        assert run(app, "edit", NUMBER, "--link", link) == (0, "")
        shown[version] = get_wallet(client, keys, payment_id=version, sum="1").get_json()
        assert shown[version]["wallet_link"] == link
        assert shown[version]["image"] == qr.png_base64(link)
    for payment_id, answer in shown.items():
        assert get_wallet(client, keys, payment_id=payment_id, sum="1").get_json() == answer


def test_the_same_link_again_changes_nothing(app: Flask, client: FlaskClient, keys: MerchantKeys) -> None:
    for _ in range(2):
        assert run(app, "edit", NUMBER, "--link", NEW_LINK, "--label", "Front desk") == (0, "")
    with app.app_context(), reading() as session:
        entries = session.scalars(select(AuditEntry).filter_by(action="wallet_edited")).all()
    assert len(entries) == 1
    told = json.loads(entries[0].details)
    assert told["before"] == {"label": "", "link": f"https://m10.example/{NUMBER}"}
    assert (told["label"], told["link"]) == ("Front desk", NEW_LINK)


def test_a_limit_holds_for_the_next_payment(app: Flask, client: FlaskClient, keys: MerchantKeys) -> None:
    assert get_wallet(client, keys, payment_id="1", sum="90").status_code == 200
    assert get_wallet(client, keys, payment_id="2", sum="90").status_code == 503
    assert run(app, "limit", NUMBER, "180") == (0, "")
    assert get_wallet(client, keys, payment_id="2", sum="90").status_code == 200
    assert run(app, "limit", NUMBER, "0.01") == (0, "")
    assert get_wallet(client, keys, payment_id="3", sum="0.01").status_code == 503
    assert get_wallet(client, keys, payment_id="2", sum="90").status_code == 200, "open ones stay"
    assert run(app, "limit", NUMBER, "none") == (0, "")
    assert get_wallet(client, keys, payment_id="3", sum="9000").status_code == 200


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("limit", "1", "5"), 1, "There is no wallet 1."),
        (("edit", "1", "--label", "x"), 1, "There is no wallet 1."),
        (("edit", NUMBER), 2, "give --label, --link, or both"),
        (("edit", NUMBER, "--link", "javascript:alert(1)"), 2, "LINK must be an http or https address"),
        (("edit", NUMBER, "--label", "two\nlines"), 2, "the label"),
        (("limit", NUMBER, "0"), 2, ""),
        (("limit", NUMBER, "-5"), 2, ""),
        (("limit", NUMBER, "many"), 2, ""),
    ],
)
def test_what_cannot_be_is_one_line_and_changes_nothing(
    app: Flask, keys: MerchantKeys, arguments: tuple[str, ...], status: int, said: str
) -> None:
    before = run(app, "list")
    code, told = run(app, *arguments)
    assert code == status, told
    assert said in told
    assert run(app, "list") == before
