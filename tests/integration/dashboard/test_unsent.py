"""A decision posted after the session has ended: nothing is recorded, and nothing that was typed is lost."""

from __future__ import annotations

import re
from typing import Any

import pytest
from werkzeug.test import TestResponse

from cerber.payments.models import Transfer
from tests.integration.dashboard.test_slips import told
from tests.support.desk import Browser, Shop


def sent_too_late(anna: Browser, pk: int, action: str, referrer: str = "", **fields: Any) -> TestResponse:
    """The form of a page that is still open, when the session has ended."""
    data = {"csrf_token": anna.token(), "version": "1", **fields}
    anna.post("/logout")
    headers = {"Referer": referrer or f"http://localhost/payments/{pk}"}
    answer = anna.client.post(f"/payments/{pk}/{action}", data=data, headers=headers)
    assert answer.status_code == 303
    return answer


def back_again(anna: Browser, answer: TestResponse) -> str:
    """The page to which the log-in leads."""
    path, _, query = answer.location.partition("?")
    assert path == "/login"
    there = anna.log_in("anna", target=query.removeprefix("next=")).location
    return anna.client.get(there).text


def test_what_was_typed_is_there_again_after_the_log_in_and_not_recorded(anna: Browser, shop: Shop) -> None:
    pk = shop.open()
    answer = sent_too_late(anna, pk, "transfer", sum="12,50", reference='"9<1>')
    assert "nothing was changed" in anna.client.get(answer.location).text
    page = back_again(anna, answer)
    assert told(page).startswith("Not recorded yet. Your session had ended.")
    assert 'name="sum" value="12,50"' in page
    assert 'value="&#34;9&lt;1&gt;"' in page
    assert re.search(r'<details class="ask" open>(?:(?!</details>).)*/transfer"', page, re.DOTALL)
    assert shop.all(Transfer) == []
    assert anna.post(f"/payments/{pk}/transfer", version=1, sum="12,50").status_code == 303
    assert shop.payment(pk).received == 1250


@pytest.mark.parametrize("action", ["accept", "cancel"])
def test_a_decision_without_fields_is_told_too(anna: Browser, shop: Shop, action: str) -> None:
    pk = shop.open()
    page = back_again(anna, sent_too_late(anna, pk, action))
    assert "Not recorded yet." in page
    assert (shop.payment(pk).status, shop.payment(pk).version) == ("pending", 1)


def test_it_is_told_once(anna: Browser, shop: Shop) -> None:
    pk = shop.open()
    other = shop.open("order-2", 60_000)
    page = back_again(anna, sent_too_late(anna, pk, "transfer", sum="12,50"))
    assert "12,50" in page
    for path in (f"/payments/{pk}", f"/payments/{other}"):
        assert "12,50" not in anna.client.get(path).text


def test_what_has_been_decided_meanwhile_is_told_with_it(anna: Browser, shop: Shop) -> None:
    pk = shop.open()
    data = {"csrf_token": anna.token(), "version": "1"}
    anna.post(f"/payments/{pk}/accept", version=1)
    anna.post("/logout")
    headers = {"Referer": f"http://localhost/payments/{pk}"}
    page = back_again(anna, anna.client.post(f"/payments/{pk}/cancel", data=data, headers=headers))
    assert "You accepted this at" in told(page)
    assert len(shop.all(Transfer)) == 1


def test_another_site_fills_in_nothing(anna: Browser, shop: Shop) -> None:
    pk = shop.open()
    sent_too_late(anna, pk, "transfer", referrer="http://evil.example/", sum="12,50")
    anna.log_in("anna")
    assert "12,50" not in anna.client.get(f"/payments/{pk}").text


def test_a_long_form_fits_its_cookie(anna: Browser, shop: Shop) -> None:
    pk = shop.open()
    answer = sent_too_late(anna, pk, "transfer", sum="9" * 9000, reference="ə" * 9000)
    assert all(len(cookie) < 4000 for cookie in answer.headers.getlist("Set-Cookie"))
    assert "Not recorded yet." in back_again(anna, answer)
