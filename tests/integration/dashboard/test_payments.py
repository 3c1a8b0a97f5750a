"""The operators' pages, as a browser uses them."""

from __future__ import annotations

import json
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pyotp
import pytest
from argon2 import PasswordHasher
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select
from werkzeug.test import TestResponse

from cerber import context, errors, signing
from cerber.audit.models import AuditEntry
from cerber.dashboard import forms
from cerber.db import paging
from cerber.db.engines import db
from cerber.db.paging import Start
from cerber.db.transactions import reading
from cerber.merchants import accounts
from cerber.merchants.models import Merchant
from cerber.operators import delays, login, passwords, staff
from cerber.operators.models import Operator
from cerber.payments import decisions, opening, queries
from cerber.payments.models import Payment, Transfer
from cerber.wallets import registry
from cerber.webhooks.models import Webhook
from tests.support.clock import Clock, now

PASSWORD = "correct horse battery"
NBSP = "\u00a0"


@dataclass
class Browser:
    """A client that takes its CSRF token from the page before, as a form does."""

    client: FlaskClient

    def token(self) -> str:
        page = self.client.get("/login", follow_redirects=True).text
        found = re.search(r'name="csrf_token" value="([^"]+)"', page)
        assert found
        return found[1]

    def post(self, path: str, **fields: Any) -> TestResponse:
        return self.client.post(path, data={"csrf_token": self.token(), **fields})

    def log_in(self, username: str, password: str = PASSWORD, totp: str = "", target: str = "") -> TestResponse:
        query = f"?next={target}" if target else ""
        return self.post(f"/login{query}", username=username, password=password, totp=totp)


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


@dataclass
class Shop:
    """A merchant with one wallet, and what the database knows of its payments."""

    app: Flask

    def open(self, payment_id: str = "order-1", total: int = 50_000, payer: str = "994770001122", **more: Any) -> int:
        with self.app.app_context():
            merchant = self._one(select(Merchant.id))
            made = {"create_time": now(), "create_time_text": "2026-11-24", **more}
            opening.open_payment(merchant, opening.Opening(payment_id, payer, total, "http://127.0.0.1/cb", **made))
            return int(self._one(select(Payment.id).where(Payment.payment_id == payment_id)))

    def payment(self, pk: int) -> Payment:
        with self.app.app_context():
            found: Payment = self._one(select(Payment).where(Payment.id == pk))
            return found

    def all(self, model: Any) -> list[Any]:
        with self.app.app_context(), reading() as session:
            return list(session.scalars(select(model).order_by(model.id)))

    def _one(self, query: Any) -> Any:
        with reading() as session:
            return session.scalars(query).one()


# Who gets in


OPEN_TO_STRANGERS = {
    "pages.log_in",
    "static",
    "bootstrap.static",
    "health.live",
    "health.ready",
    "health.worker",
    "metrics.metrics",
}


def test_each_page_leads_a_stranger_to_the_log_in_before_any_token_is_asked(app: Flask, stranger: Browser) -> None:
    asked = []
    for rule in app.url_map.iter_rules():
        if rule.endpoint in OPEN_TO_STRANGERS or rule.endpoint.startswith("bot_api."):  # which has its signatures
            continue
        path = re.sub(r"<[^>]+>", "1", rule.rule)
        for method in sorted({"GET", "POST"} & (rule.methods or set())):
            answer = stranger.client.open(path, method=method)
            back = f"?next={path}" if method == "GET" and path != "/" else ""
            assert (path, answer.status_code, answer.location) == (path, 303, f"/login{back}")
            asked.append((method, path))
    assert {("GET", "/"), ("GET", "/payments/1"), ("POST", "/payments/1/accept"), ("POST", "/logout")} <= set(asked)


@pytest.mark.parametrize("path", ["/logout", "/payments/1/accept", "/webhooks/1/resend"])
def test_a_post_without_its_token_is_refused(anna: Browser, path: str) -> None:
    assert anna.client.post(path, data={"version": "1"}).status_code == 400


def test_a_log_in_without_its_token_is_refused(stranger: Browser) -> None:
    answer = stranger.client.post("/login", data={"username": "anna", "password": PASSWORD})
    assert answer.status_code == 400


def test_the_token_may_come_in_a_header(anna: Browser, shop: Shop) -> None:
    pk = shop.open()
    headers = {"X-CSRFToken": anna.token()}
    answer = anna.client.post(f"/payments/{pk}/accept", data={"version": "1"}, headers=headers)
    assert answer.status_code == 303


def test_log_in_and_log_out(stranger: Browser) -> None:
    answer = stranger.log_in("anna")
    assert (answer.status_code, answer.location) == (303, "/payments/")
    assert "anna" in stranger.client.get("/payments/").text
    assert stranger.post("/logout").location == "/login"
    assert stranger.client.get("/payments/").status_code == 303


def test_the_session_cookie_is_out_of_reach(stranger: Browser) -> None:
    cookies = stranger.log_in("anna").headers.getlist("Set-Cookie")
    assert any("HttpOnly" in cookie and "SameSite=Lax" in cookie for cookie in cookies)


def test_the_cookie_is_secure_over_https(stranger: Browser) -> None:
    answer = stranger.client.get("/login", base_url="https://localhost")
    assert "Secure" in answer.headers["Set-Cookie"]


def test_a_log_out_ends_this_session_alone_and_a_kept_cookie_opens_nothing(anna: Browser, app: Flask) -> None:
    elsewhere, kept = Browser(app.test_client()), Browser(app.test_client())
    assert elsewhere.log_in("anna").status_code == 303
    cookie = anna.client.get_cookie("cerber")
    assert cookie
    assert anna.post("/logout").location == "/login"
    kept.client.set_cookie("cerber", cookie.value)
    assert kept.client.get("/payments/").status_code == 303
    assert elsewhere.client.get("/payments/").status_code == 200


def test_all_my_sessions_end_by_a_button_of_its_own(anna: Browser, chief: Browser, app: Flask) -> None:
    elsewhere = Browser(app.test_client())
    assert elsewhere.log_in("anna").status_code == 303
    assert "End all my sessions" in anna.client.get("/payments/").text
    assert anna.post("/logout/everywhere").location == "/login"
    assert [browser.client.get("/payments/").status_code for browser in (anna, elsewhere, chief)] == [303, 303, 200]


def test_a_log_in_leads_back_to_the_page_asked_for(stranger: Browser) -> None:
    assert stranger.log_in("anna", target="/payments/7%3Fq%3D1").location == "/payments/7?q=1"


@pytest.mark.parametrize(
    "target",
    ["https://evil.example/", "//evil.example", "/\\evil.example", "/\t/evil.example", "javascript:alert(1)", ""],
)
def test_nobody_is_led_elsewhere(target: str) -> None:
    assert forms.local_path(target) is None


def test_unknown_names_and_wrong_passwords_look_the_same(stranger: Browser) -> None:
    answers = [stranger.log_in("anna", "wrong"), stranger.log_in("nobody", "wrong"), stranger.log_in("anna ", "x")]
    assert {answer.status_code for answer in answers} == {401}
    messages = {re.search(r'role="alert">([^<]+)', answer.text)[1] for answer in answers}  # type: ignore[index]
    assert len(messages) == 1


def test_guessing_is_slowed_down_and_ends(stranger: Browser, clock: Clock) -> None:
    clock.stop(now())
    for _ in range(delays.FREE_OF_NAME):
        assert stranger.log_in("anna", "wrong").status_code == 401
    answer = stranger.log_in("anna")
    assert answer.status_code == 429
    assert 0 < int(answer.headers["Retry-After"]) <= 15 * 60
    assert stranger.log_in("chief").status_code == 303  # another name is not concerned
    clock.stop(clock() + delays.LONGEST + timedelta(seconds=1))
    assert Browser(stranger.client.application.test_client()).log_in("anna").status_code == 303


def test_an_address_gets_a_number_of_tries_over_all_names(app: Flask, people: None, clock: Clock) -> None:
    clock.stop(now())
    with app.app_context():
        for number in range(delays.FREE_OF_ADDRESS):
            with pytest.raises(errors.WrongLogin):
                login.log_in(f"name-{number}", "wrong", "", "192.0.2.1")
        with pytest.raises(errors.TooManyLogins):
            login.log_in("anna", PASSWORD, "", "192.0.2.1")
        assert login.log_in("anna", PASSWORD, "", "192.0.2.2").username == "anna"


def test_many_right_log_ins_are_no_failures(app: Flask, people: None) -> None:
    with app.app_context():
        for _ in range(delays.FREE_OF_NAME + 1):
            assert login.log_in("anna", PASSWORD, "", "192.0.2.1").username == "anna"


def test_each_code_lets_in_once(app: Flask, people: None) -> None:
    secret = pyotp.random_base32()
    with app.app_context():
        anna = db.session.scalars(select(Operator).where(Operator.username == "anna")).one()
        anna.totp_sealed = context.vault().seal(secret)
        db.session.commit()
        code = pyotp.TOTP(secret).now()
        with pytest.raises(errors.WrongLogin):
            login.log_in("anna", PASSWORD, "", "192.0.2.1")
        login.log_in("anna", PASSWORD, code, "192.0.2.1")
        with pytest.raises(errors.WrongLogin):
            login.log_in("anna", PASSWORD, code, "192.0.2.1")


def test_a_new_session_key_ends_the_sessions(app: Flask, anna: Browser) -> None:
    with app.app_context():
        operator = db.session.scalars(select(Operator).where(Operator.username == "anna")).one()
        operator.session_key = "0" * 32
        db.session.commit()
    assert anna.client.get("/payments/").status_code == 303


def test_a_session_ends_after_seven_days_however_busy_it_is(app: Flask, people: None, clock: Clock) -> None:
    clock.stop(now())
    anna = Browser(app.test_client())
    anna.log_in("anna")
    begun = clock()
    for hours in range(10, 7 * 24, 10):  # the cookie alone would live on: each visit gives it 12 h more
        clock.stop(begun + timedelta(hours=hours))
        assert anna.client.get("/payments/").status_code == 200
    clock.stop(begun + timedelta(days=7, seconds=1))
    answer = anna.client.get("/payments/")
    assert (answer.status_code, answer.location) == (303, "/login?next=/payments/")
    assert anna.log_in("anna").status_code == 303
    assert anna.client.get("/payments/").status_code == 200


def test_a_session_of_before_sessions_had_an_end_is_over(app: Flask, anna: Browser) -> None:
    with anna.client.session_transaction() as session:
        session["_user_id"] = session["_user_id"].rpartition(":")[0]
    assert anna.client.get("/payments/").status_code == 303


@pytest.mark.parametrize(
    ("username", "password", "role"),
    [
        *[
            ("", PASSWORD, "admin"),
            ("a b", PASSWORD, "admin"),
            ("a" * 65, PASSWORD, "admin"),
            ("a", "short", "admin"),
        ],
        *[("a", "password123", "admin"), ("a", "Qwertyuiop", "admin"), ("a", "0123456789", "admin")],
        *[("a", "iloveyou123", "admin"), ("a", "x" * 200, "admin"), ("valentine.x", "Valentine.X", "admin")],
        *[("valentine.x", "valentine.x1", "admin"), ("a", PASSWORD, "owner")],
    ],
)
def test_bad_operators_are_refused(app: Flask, username: str, password: str, role: str) -> None:
    with app.app_context(), pytest.raises(errors.InvalidOperator):
        staff.add(username, password, role, "cli")


def test_a_username_is_taken_once(app: Flask, people: None) -> None:
    with app.app_context():
        with pytest.raises(errors.AlreadyExists):
            staff.add("anna", PASSWORD, "admin", "cli")
        assert [operator.username for operator in staff.list_all()] == ["anna", "chief"]


def test_who_made_an_operator_is_in_the_audit_log(shop: Shop, people: None) -> None:
    entries = [entry for entry in shop.all(AuditEntry) if entry.action == "operator_added"]
    assert [(entry.actor, json.loads(entry.details)) for entry in entries] == [
        ("cli", {"username": "anna", "role": "operator"}),
        ("cli", {"username": "chief", "role": "admin"}),
    ]


# The queue


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
