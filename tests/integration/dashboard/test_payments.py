"""The operators' pages, as a browser uses them."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor

import pytest
from flask import Flask

from cerber.db import paging
from cerber.db.paging import Start
from cerber.payments import decisions, queries
from cerber.payments.models import Transfer
from cerber.webhooks.models import Webhook
from tests.support.desk import NBSP, Browser, Shop


def test_the_queue_shows_open_payments_longest_waiting_first(anna: Browser, shop: Shop) -> None:
    shop.open("order-1")
    closed = shop.open("order-2")
    shop.open("order-3")
    anna.post(f"/payments/{closed}/cancel", version=1)
    page = anna.client.get("/payments/").text
    assert page.index("order-1") < page.index("order-3")
    assert "order-2" not in page
    page = anna.client.get("/payments/?status=all").text
    assert page.index("order-3") < page.index("order-2") < page.index("order-1")
    assert "order-2" in anna.client.get("/payments/?status=cancel").text


def test_an_empty_queue_says_so(anna: Browser) -> None:
    assert "no payment is open" in anna.client.get("/payments/").text


@pytest.mark.parametrize(
    ("q", "found"),
    [
        ("order-1", True),
        ("994770001122", True),
        ("9947700", True),
        ("994501112233", True),
        ("order", True),
        ("99477%", False),
        ("ORDER-1", False),
        ("_94770001122", False),
        ("99450111223", False),
    ],
)
def test_search(anna: Browser, shop: Shop, q: str, found: bool) -> None:
    pk = shop.open()
    page = anna.client.get("/payments/", query_string={"q": q}).text
    assert (f"/payments/{pk}" in page) is found


def test_search_by_merchant_and_bad_filters(anna: Browser, shop: Shop) -> None:
    shop.open()
    assert "order-1" in anna.client.get("/payments/?merchant=shop").text
    assert "order-1" not in anna.client.get("/payments/?merchant=other").text
    assert anna.client.get("/payments/?status=nonsense").status_code == 400
    assert anna.client.get("/payments/?page=x").status_code == 200
    assert anna.client.get("/payments/?page=99999999999999999999").status_code == 200


def test_the_queue_has_pages(app: Flask, shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paging, "SIZE", 2)
    for number in range(3):
        shop.open(f"order-{number}")
    with app.app_context():
        first, second = (queries.search(queries.Filters(), Start(number=number)) for number in (1, 2))
    assert [len(first.rows), first.has_next] == [2, True]
    assert [payment.payment_id for payment in second.rows] == ["order-2"]
    assert not second.has_next


# One payment


def test_the_page_shows_the_payment_and_escapes_it(anna: Browser, shop: Shop) -> None:
    pk = shop.open("<b>x</b>", 123_450, create_time=None, create_time_text="<i>soon</i>")
    page = anna.client.get(f"/payments/{pk}").text
    assert f"Accept 1{NBSP}234.50{NBSP}AZN" in page
    assert "<b>x" not in page
    assert "<i>soon" not in page
    assert "could not be read" in page
    assert re.findall("<script[^>]*>[^<]*", page) == ['<script src="/static/desk.js" defer>']


def test_pages_have_their_headers(anna: Browser) -> None:
    headers = anna.client.get("/payments/").headers
    assert headers["Content-Security-Policy"].startswith("default-src 'none'; script-src 'self'; ")
    assert "unsafe" not in headers["Content-Security-Policy"]
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("path", ["/payments/999999", "/payments/9223372036854775807"])
def test_what_is_not_there_is_not_found(anna: Browser, path: str) -> None:
    assert anna.client.get(path).status_code == 404
    assert anna.post(f"{path}/accept", version=1).status_code == 404
    assert anna.post("/webhooks/999999/resend").status_code == 404


def test_accepting_records_what_is_missing(anna: Browser, shop: Shop) -> None:
    pk = shop.open()
    answer = anna.post(f"/payments/{pk}/accept", version=1)
    assert (answer.status_code, answer.location) == (303, f"/payments/{pk}")
    assert shop.payment(pk).status == "accept"
    assert [transfer.recorded_by for transfer in shop.all(Transfer)] == ["operator:anna"]
    page = anna.client.get(f"/payments/{pk}").text
    assert "Paid</span>" in page
    assert f"/payments/{pk}/accept" not in page


def test_a_second_click_changes_nothing_and_says_what_the_first_has_done(anna: Browser, shop: Shop) -> None:
    pk = shop.open()
    fields = {"version": 1, "sum": "100"}
    assert anna.post(f"/payments/{pk}/transfer", **fields).status_code == 303
    answer = anna.post(f"/payments/{pk}/transfer", **fields)
    assert answer.status_code == 409
    assert f"You added a transfer of 100.00{NBSP}AZN at " in answer.text
    assert "Nothing was changed" not in answer.text
    assert "Part paid" in answer.text
    assert len(shop.all(Transfer)) == 1


def test_of_many_clicks_at_once_one_counts(app: Flask, anna: Browser, shop: Shop) -> None:
    pk = shop.open()
    token = anna.token()
    cookie = anna.client.get_cookie("cerber")
    assert cookie

    def click(_: int) -> int:
        client = app.test_client()
        client.set_cookie("cerber", cookie.value)
        data = {"csrf_token": token, "version": "1", "sum": "100"}
        return client.post(f"/payments/{pk}/transfer", data=data).status_code

    with ThreadPoolExecutor(8) as pool:
        codes = sorted(pool.map(click, range(8)))
    assert codes == [303] + [409] * 7
    assert len(shop.all(Transfer)) == 1


def test_settling_at_what_came(anna: Browser, shop: Shop) -> None:
    pk = shop.open()
    assert anna.post(f"/payments/{pk}/settle", version=1).status_code == 409
    anna.post(f"/payments/{pk}/transfer", version=1, sum="100.50", reference="r1")
    version = shop.payment(pk).version
    page = anna.client.get(f"/payments/{pk}").text
    assert f"Close as paid with 100.50{NBSP}AZN" in page
    assert "/cancel" not in page
    assert anna.post(f"/payments/{pk}/settle", version=version).status_code == 303
    assert (shop.payment(pk).status, shop.payment(pk).received) == ("accept", 10_050)


def test_a_page_shown_before_the_merchant_said_paid_still_records_money(anna: Browser, shop: Shop) -> None:
    pk = shop.open()
    with shop.app.app_context():
        decisions.merchant_update(pk, "merchant:shop", accept=True)
    assert anna.post(f"/payments/{pk}/cancel", version=1).status_code == 409
    assert anna.post(f"/payments/{pk}/transfer", version=1, sum="20,5x").status_code == 422
    assert anna.post(f"/payments/{pk}/transfer", version=1, sum="20").status_code == 303
    assert anna.post(f"/payments/{pk}/accept", version=1).status_code == 409
    assert (shop.payment(pk).status, shop.payment(pk).received) == ("confirming", 20_00)


def test_a_page_shown_before_the_merchant_said_paid_accepts_once(anna: Browser, shop: Shop) -> None:
    pk = shop.open()
    with shop.app.app_context():
        decisions.merchant_update(pk, "merchant:shop", accept=True)
    assert [anna.post(f"/payments/{pk}/accept", version=1).status_code for _ in range(2)] == [303, 409]
    assert len(shop.all(Transfer)) == 1


def test_late_money_can_be_recorded(anna: Browser, shop: Shop) -> None:
    pk = shop.open()
    anna.post(f"/payments/{pk}/cancel", version=1)
    version = shop.payment(pk).version
    page = anna.client.get(f"/payments/{pk}").text
    assert "Paid late" in page
    assert "Rejected" in page
    assert anna.post(f"/payments/{pk}/accept", version=version).status_code == 303
    assert shop.payment(pk).status == "accept"


@pytest.mark.parametrize("action", ["accept", "cancel", "settle", "transfer"])
@pytest.mark.parametrize("version", [None, "", "x", "-1", "1.0", "9" * 30])
def test_a_form_without_a_version_is_refused(anna: Browser, shop: Shop, action: str, version: str | None) -> None:
    pk = shop.open()
    fields = {} if version is None else {"version": version}
    assert anna.post(f"/payments/{pk}/{action}", sum="1", **fields).status_code == 400
    assert shop.payment(pk).version == 1


@pytest.mark.parametrize("typed", ["", "0", "-5", "1.234", "1,500", "1e3", "NaN", "<b>", "9" * 20])
def test_a_bad_sum_is_told_on_the_page(anna: Browser, shop: Shop, typed: str) -> None:
    pk = shop.open()
    answer = anna.post(f"/payments/{pk}/transfer", version=1, sum=typed, reference="kept")
    assert answer.status_code == 422
    assert "The sum must be" in answer.text
    assert 'value="kept"' in answer.text
    assert shop.all(Transfer) == []


def test_a_mistake_in_a_stale_form_is_answered_by_what_the_payment_is_now(anna: Browser, shop: Shop) -> None:
    pk = shop.open()
    assert anna.post(f"/payments/{pk}/transfer", version=1, sum="20").status_code == 303
    answer = anna.post(f"/payments/{pk}/transfer", version=1, sum="20,0x")
    assert answer.status_code == 409
    assert "has changed since" in answer.text
    assert "20,0x" not in answer.text
    assert len(shop.all(Transfer)) == 1


def test_a_reference_counts_once_for_a_wallet(anna: Browser, shop: Shop) -> None:
    first, second = shop.open("order-1"), shop.open("order-2", 60_000)
    assert anna.post(f"/payments/{first}/transfer", version=1, sum="1", reference="r1").status_code == 303
    answer = anna.post(f"/payments/{second}/transfer", version=1, sum="1", reference="r1")
    assert answer.status_code == 409
    long = anna.post(f"/payments/{second}/transfer", version=1, sum="1", reference="r" * 65)
    assert long.status_code == 422


def test_only_admins_void_and_say_why(anna: Browser, chief: Browser, shop: Shop) -> None:
    pk = shop.open()
    anna.post(f"/payments/{pk}/transfer", version=1, sum="100")
    (transfer,) = shop.all(Transfer)
    path = f"/payments/{pk}/transfers/{transfer.id}/void"
    version = shop.payment(pk).version
    assert path not in anna.client.get(f"/payments/{pk}").text
    assert anna.post(path, version=version, reason="typo").status_code == 403
    assert path in chief.client.get(f"/payments/{pk}").text
    assert chief.post(path, version=version, reason=" ").status_code == 422
    assert chief.post(path, reason="typo").status_code == 400
    assert chief.post(path, version=version, reason="typo").status_code == 303
    assert shop.payment(pk).received == 0
    assert "typo" in anna.client.get(f"/payments/{pk}").text


def test_a_webhook_can_be_sent_again(anna: Browser, shop: Shop) -> None:
    pk = shop.open()
    anna.post(f"/payments/{pk}/accept", version=1)
    (webhook,) = shop.all(Webhook)
    assert f"/webhooks/{webhook.id}/resend" in anna.client.get(f"/payments/{pk}").text
    answer = anna.post(f"/webhooks/{webhook.id}/resend")
    assert (answer.status_code, answer.location) == (303, f"/payments/{pk}")
    assert "on its way again" in anna.client.get(f"/payments/{pk}").text
