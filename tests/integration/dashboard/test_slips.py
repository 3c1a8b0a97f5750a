"""Slips: a button pressed twice, a stale page, a mistake in a form. Nothing is recorded that was not meant, and the
page says what is."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from html import unescape
from zoneinfo import ZoneInfo

import pytest

from cerber.payments import decisions, expiry
from cerber.payments.models import Transfer
from tests.support.clock import Clock
from tests.support.desk import NBSP, Browser, Shop

AT_17_31 = datetime(2026, 11, 24, 17, 31, tzinfo=ZoneInfo("Asia/Baku"))


def told(page: str) -> str:
    """What stands in the page's alert."""
    found = re.search(r'<div class="alert[^>]*>(.*?)</div>', page, re.DOTALL)
    assert found, "no alert"
    return " ".join(unescape(re.sub(r"<[^>]+>", "", found[1])).replace(NBSP, " ").split())


@pytest.mark.parametrize(
    ("action", "fields", "words"),
    [
        ("accept", {}, "You accepted this at 17:31: 500.00 AZN recorded."),
        ("cancel", {}, "You rejected this at 17:31."),
        ("transfer", {"sum": "20"}, "You added a transfer of 20.00 AZN at 17:31."),
        ("transfer", {"sum": "500", "reference": "77"}, "You added a transfer of 500.00 AZN at 17:31."),
    ],
)
def test_a_second_press_is_answered_in_words_of_success(
    anna: Browser, shop: Shop, clock: Clock, action: str, fields: dict[str, str], words: str
) -> None:
    clock.stop(AT_17_31)
    pk = shop.open()
    first, second = (anna.post(f"/payments/{pk}/{action}", version=1, **fields) for _ in range(2))
    assert (first.status_code, second.status_code) == (303, 409)
    assert told(second.text) == f"{words} It is recorded once; pressing again changed nothing."
    assert 'class="alert alert-success"' in second.text
    assert len(shop.all(Transfer)) == (action != "cancel")


def test_a_settlement_pressed_twice_is_told_too(anna: Browser, shop: Shop, clock: Clock) -> None:
    clock.stop(AT_17_31)
    pk = shop.open()
    anna.post(f"/payments/{pk}/transfer", version=1, sum="100")
    answers = [anna.post(f"/payments/{pk}/settle", version=2) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [303, 409]
    assert told(answers[1].text).startswith("You closed this at 17:31 as paid with 100.00 AZN.")


def test_a_transfer_taken_back_twice_is_told_too(chief: Browser, shop: Shop) -> None:
    pk = shop.open()
    chief.post(f"/payments/{pk}/transfer", version=1, sum="100")
    (transfer,) = shop.all(Transfer)
    path = f"/payments/{pk}/transfers/{transfer.id}/void"
    answers = [chief.post(path, version=2, reason="typo") for _ in range(2)]
    assert [answer.status_code for answer in answers] == [303, 409]
    assert told(answers[1].text).startswith("You took back a transfer of 100.00 AZN at ")


def test_another_sum_is_no_second_press(anna: Browser, shop: Shop) -> None:
    pk = shop.open()
    anna.post(f"/payments/{pk}/transfer", version=1, sum="20")
    answer = anna.post(f"/payments/{pk}/transfer", version=1, sum="30")
    assert answer.status_code == 409
    assert told(answer.text).startswith(
        "Nothing was changed. This payment has changed since the page was shown. You added"
    )
    assert shop.payment(pk).received == 2_000


def test_what_came_after_the_first_press_is_told_with_it(anna: Browser, chief: Browser, shop: Shop) -> None:
    pk = shop.open()
    anna.post(f"/payments/{pk}/cancel", version=1)
    chief.post(f"/payments/{pk}/accept", version=2)
    words = told(anna.post(f"/payments/{pk}/cancel", version=1).text)
    assert words.startswith("You rejected this at ")
    assert "chief accepted this at " in words


def test_a_conflict_says_who_decided_what_and_when(anna: Browser, chief: Browser, shop: Shop, clock: Clock) -> None:
    clock.stop(AT_17_31)
    pk = shop.open()
    chief.post(f"/payments/{pk}/accept", version=1)
    answer = anna.post(f"/payments/{pk}/cancel", version=1)
    assert answer.status_code == 409
    assert told(answer.text) == (
        "Nothing was changed. This payment has changed since the page was shown. "
        "chief accepted this at 17:31: 500.00 AZN recorded. The payment now: Paid"
    )
    clock.stop(AT_17_31 + timedelta(days=1))
    assert "chief accepted this at 2026-11-24 17:31" in told(anna.post(f"/payments/{pk}/cancel", version=1).text)


def test_a_conflict_names_the_shop_and_the_clock(anna: Browser, shop: Shop, clock: Clock) -> None:
    clock.stop(AT_17_31)
    taken_back, expired = shop.open("order-1"), shop.open("order-2")
    with shop.app.app_context():
        decisions.merchant_update(taken_back, "merchant:shop", accept=False)
    assert "The shop cancelled it at 17:31." in told(anna.post(f"/payments/{taken_back}/accept", version=1).text)
    clock.stop(AT_17_31 + timedelta(hours=2))
    assert "It expired at 19:31." in told(anna.post(f"/payments/{expired}/accept", version=1).text)
    with shop.app.app_context():
        assert not expiry.expire(expired)


def test_paid_in_between_refuses_what_closes_without_money_and_says_why(
    anna: Browser, shop: Shop, clock: Clock
) -> None:
    clock.stop(AT_17_31)
    first, second = shop.open("order-1"), shop.open("order-2", 60_000)
    with shop.app.app_context():
        for pk in (first, second):
            decisions.merchant_update(pk, "merchant:shop", accept=True)
    answer = anna.post(f"/payments/{first}/cancel", version=1)
    assert answer.status_code == 409
    assert "The shop said at 17:31 that it is paid." in told(answer.text)
    assert anna.post(f"/payments/{first}/accept", version=1).status_code == 303
    assert anna.post(f"/payments/{second}/transfer", version=1, sum="1 0").status_code == 422
    assert anna.post(f"/payments/{second}/transfer", version=1, sum="10").status_code == 303
    again = anna.post(f"/payments/{first}/accept", version=1)
    assert (again.status_code, told(again.text).startswith("You accepted this at 17:31")) == (409, True)


def test_what_the_state_refuses_is_said_with_how_it_came_to_be_so(anna: Browser, shop: Shop) -> None:
    pk = shop.open()
    anna.post(f"/payments/{pk}/accept", version=1)
    words = told(anna.post(f"/payments/{pk}/cancel", version=2).text)
    assert words.startswith("Nothing was changed. This payment is accepted already. You accepted this at ")


@pytest.mark.parametrize(("typed", "qepik"), [("12,50", 1_250), ("1 000", 100_000), ("12.50 AZN", 1_250)])
def test_sums_are_taken_as_people_write_them(anna: Browser, shop: Shop, typed: str, qepik: int) -> None:
    pk = shop.open(total=200_000)
    assert anna.post(f"/payments/{pk}/transfer", version=1, sum=typed).status_code == 303
    assert shop.payment(pk).received == qepik


def test_no_sum_stands_in_the_form_before_somebody_types_one(anna: Browser, shop: Shop) -> None:
    page = anna.client.get(f"/payments/{shop.open()}").text
    assert re.search(r'id="transfer-sum" name="sum" value=""', page)


@pytest.mark.parametrize(
    ("fields", "field", "status"),
    [
        ({"sum": "1.000", "reference": "kept"}, "sum", 422),
        ({"sum": "20", "reference": "r" * 65}, "reference", 422),
        ({"sum": "20", "reference": "taken"}, "reference", 409),
    ],
)
def test_a_mistake_marks_its_field_and_keeps_what_was_typed(
    anna: Browser, shop: Shop, fields: dict[str, str], field: str, status: int
) -> None:
    other = shop.open("order-0", 60_000)
    anna.post(f"/payments/{other}/transfer", version=1, sum="1", reference="taken")
    pk = shop.open()
    answer = anna.post(f"/payments/{pk}/transfer", version=1, **fields)
    assert answer.status_code == status
    marked = re.findall(r'<input[^>]*name="(\w+)"[^>]*aria-invalid="true"[^>]*autofocus', answer.text)
    assert marked == [field]
    for value in fields.values():
        assert f'value="{value}"' in answer.text
    assert re.search(
        rf'<details class="ask" open>(?:(?!</details>).)*action="/payments/{pk}/transfer"', answer.text, re.S
    )
    assert shop.payment(pk).received == 0


def test_an_operation_number_goes_with_the_acceptance(anna: Browser, shop: Shop) -> None:
    pk = shop.open()
    long = anna.post(f"/payments/{pk}/accept", version=1, reference="r" * 65)
    assert long.status_code == 422
    assert anna.post(f"/payments/{pk}/accept", version=1, reference=" 9912 ").status_code == 303
    assert [transfer.reference for transfer in shop.all(Transfer)] == ["9912"]
    assert "m10 operation no. 9912" in anna.client.get(f"/payments/{pk}").text


def test_late_money_is_recorded_below_the_history_and_behind_a_disclosure(anna: Browser, shop: Shop) -> None:
    pk = shop.open()
    anna.post(f"/payments/{pk}/cancel", version=1)
    page = anna.client.get(f"/payments/{pk}").text
    late = page.index('<details class="late')
    assert page.index('class="timeline"') < late < page.index(f"/payments/{pk}/accept")
    assert page.count(f'action="/payments/{pk}/accept"') == 1
    assert f"500.00{NBSP}AZN from 994770001122" in page[late:]


def test_what_closes_without_money_asks_once_and_names_sum_and_payer(anna: Browser, shop: Shop) -> None:
    pk = shop.open()
    page = anna.client.get(f"/payments/{pk}").text
    asked = re.search(
        rf'<details class="ask">(?:(?!</details>).)*action="/payments/{pk}/cancel".*?</details>', page, re.S
    )
    assert asked
    assert "994770001122" in asked[0]
    assert f"Yes, reject 500.00{NBSP}AZN" in asked[0]
    anna.post(f"/payments/{pk}/transfer", version=1, sum="100")
    page = anna.client.get(f"/payments/{pk}").text
    asked = re.search(
        rf'<details class="ask">(?:(?!</details>).)*action="/payments/{pk}/settle".*?</details>', page, re.S
    )
    assert asked
    assert f"400.00{NBSP}AZN of 500.00{NBSP}AZN did not come from 994770001122" in asked[0]


def test_the_history_is_one_line_of_time(anna: Browser, chief: Browser, shop: Shop) -> None:
    pk = shop.open()
    with shop.app.app_context():
        decisions.merchant_update(pk, "merchant:shop", accept=True)
    anna.post(f"/payments/{pk}/transfer", version=2, sum="100", reference="77")
    (transfer,) = shop.all(Transfer)
    chief.post(f"/payments/{pk}/transfers/{transfer.id}/void", version=3, reason="typo")
    page = anna.client.get(f"/payments/{pk}").text
    history = page[page.index('class="timeline"') :]
    words = ["Opened", "Shop says: paid", "Transfer added", "operation no. 77", "Transfer taken back", "typo"]
    assert [history.count(word) > 0 for word in words] == [True] * len(words)
    assert sorted(words[:5], key=history.index) == words[:5]
    assert "by you" in history.lower()
    assert "by chief" in history
