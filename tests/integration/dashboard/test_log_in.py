"""Log-in and log-out, sessions, and what a stranger sees of the pages."""

from __future__ import annotations

import json
import re
from datetime import timedelta

import pyotp
import pytest
from flask import Flask
from sqlalchemy import select

from cerber import context, errors
from cerber.audit.models import AuditEntry
from cerber.dashboard import forms
from cerber.db.engines import db
from cerber.operators import delays, login, staff
from cerber.operators.models import Operator
from tests.support.clock import Clock, now
from tests.support.desk import PASSWORD, Browser, Shop

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
