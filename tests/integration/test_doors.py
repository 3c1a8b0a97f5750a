"""Each way in refuses in its own way, reads no more than its bound, and a GET or a HEAD changes nothing."""

from __future__ import annotations

import io
import json
import re
from typing import Any

import pytest
from flask import Flask, abort
from flask.testing import FlaskClient
from sqlalchemy import select
from werkzeug.test import TestResponse

from cerber import doors, signing
from cerber.app import create_app
from cerber.db.tables import Base
from cerber.db.transactions import reading
from cerber.operators import delays
from cerber.operators.models import FailedLogin
from tests.integration.dashboard.conftest import anna, chief, people, quick_hashes, stranger
from tests.support.desk import PASSWORD, Browser
from tests.support.factories import MerchantKeys, open_payment

__all__ = ["anna", "chief", "people", "quick_hashes", "stranger"]
PAGES = ["/nothing/here", "/payments/", "/login", "/static/none.css", "/bot_apis/get_wallet/"]
OURS = "http://localhost"


def is_page(answer: TestResponse) -> bool:
    return answer.mimetype == "text/html" and "· Cerber</title>" in answer.text


# Who refuses


@pytest.mark.parametrize(
    ("path", "status"), [("/nothing/here", 404), ("/payments/999999", 404), ("/payments/1/accept", 405)]
)
def test_a_dead_link_leads_on_in_the_houses_look(anna: Browser, path: str, status: int) -> None:
    answer = anna.client.get(path)
    assert answer.status_code == status
    assert is_page(answer)
    assert 'href="/payments/"' in answer.text
    assert "anna" in answer.text
    assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert answer.headers["Cache-Control"] == "no-store"


def test_a_strangers_dead_link_leads_to_the_log_in(client: FlaskClient) -> None:
    answer = client.get("/nothing/here")
    assert (answer.status_code, is_page(answer)) == (404, True)
    assert 'href="/login"' in answer.text


@pytest.mark.parametrize("code", [400, 403, 404, 405, 413, 429, 500, 503])
def test_each_error_of_a_page_is_a_page(app: Flask, people: None, code: int) -> None:
    app.add_url_rule("/broken", "broken", lambda: abort(code))
    answer = app.test_client().get("/broken")
    assert answer.status_code == code
    assert is_page(answer)
    assert "Traceback" not in answer.text


def test_a_mistake_of_ours_is_a_page_for_people_and_a_problem_for_merchants(app: Flask) -> None:
    app.config["PROPAGATE_EXCEPTIONS"] = False
    for path in ("/mistake", "/bot_api/mistake", "/health/mistake"):
        app.add_url_rule(path, path, lambda: 1 // 0)
    page, problem, line = (app.test_client().get(f"{path}/mistake") for path in ("", "/bot_api", "/health"))
    assert {answer.status_code for answer in (page, problem, line)} == {500}
    assert is_page(page)
    assert (problem.mimetype, problem.json["code"]) == ("application/problem+json", "internal")
    assert (line.mimetype, line.text) == ("text/plain", "internal server error\n")


@pytest.mark.parametrize(
    ("path", "mimetype"),
    [
        ("/bot_api/nothing", "application/problem+json"),
        ("/bot_api", "application/problem+json"),
        ("/health/nothing", "text/plain"),
        ("/metrics/nothing", "text/plain"),
        ("/bot_apis", "text/html"),
    ],
)
def test_the_path_says_who_refuses(client: FlaskClient, path: str, mimetype: str) -> None:
    answer = client.post(path, data={"a": "1"})
    assert (answer.status_code, answer.mimetype) == (404, mimetype)


# A way on


def test_a_form_sent_after_the_session_ended_leads_back_to_its_page(app: Flask, anna: Browser) -> None:
    browser = Browser(app.test_client())
    answer = browser.client.post("/payments/7/accept", headers={"Referer": f"{OURS}/payments/7?page=2"})
    assert (answer.status_code, answer.location) == (303, "/login?next=/payments/7?page%3D2")
    assert "nothing was changed" in browser.client.get(answer.location).text
    assert browser.log_in("anna", target="/payments/7%3Fpage%3D2").location == "/payments/7?page=2"


@pytest.mark.parametrize(
    ("referer", "back"),
    [
        (f"{OURS}/payments/7/accept", "/payments/7"),
        (f"{OURS}/payments/7/transfers/3/void", "/payments/7"),
        (f"{OURS}/webhooks/resend?merchant=x", None),
        ("https://evil.example/payments/7", None),
        (f"{OURS}/nothing", None),
        (f"{OURS}/login?next=/payments/", None),
        ("nonsense", None),
        ("http://[", None),
    ],
)
def test_only_pages_of_ours_are_led_back_to(client: FlaskClient, referer: str, back: str | None) -> None:
    answer = client.post("/payments/7/accept", headers={"Referer": referer})
    assert answer.location == (f"/login?next={back}" if back else "/login")


def test_a_form_of_an_earlier_session_is_refused_on_a_page_that_leads_back(anna: Browser) -> None:
    headers = {"Referer": f"{OURS}/payments/7"}
    answer = anna.client.post("/payments/7/accept", data={"csrf_token": "old", "version": "1"}, headers=headers)
    assert answer.status_code == 400
    assert is_page(answer)
    assert "Nothing was changed" in answer.text
    assert 'href="/payments/7"' in answer.text


def test_a_stale_log_in_gets_a_fresh_form_and_is_not_tried(app: Flask, stranger: Browser) -> None:
    fields = {"csrf_token": "old", "username": "anna", "password": "wrong"}
    answer = stranger.client.post("/login?next=/payments/7", data=fields)
    assert answer.status_code == 400
    assert "csrf_token" in answer.text
    assert 'value="anna"' in answer.text
    assert "wrong" not in answer.text
    with app.app_context(), reading() as session:
        assert session.scalars(select(FailedLogin)).all() == []


# How much is read


class Endless(io.RawIOBase):
    """A body without an end, which counts what was read of it."""

    taken = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self.taken += len(buffer)
        return len(buffer)


def post_endless(client: FlaskClient, path: str, **environ: Any) -> tuple[TestResponse, int]:
    body = Endless()
    answer = client.open(path, method="POST", environ_overrides={"wsgi.input": body, **environ})
    return answer, body.taken


HUGE = {"CONTENT_LENGTH": str(400 * 1024 * 1024), "CONTENT_TYPE": "application/x-www-form-urlencoded"}


@pytest.mark.parametrize("path", [*PAGES, "/health/ready", "/metrics", "/bot_api/get_wallet/", "/bot_api/nothing"])
def test_a_huge_body_is_refused_before_it_is_kept(client: FlaskClient, path: str) -> None:
    answer, taken = post_endless(client, path, **HUGE)
    assert (answer.status_code, taken <= doors.DRAINED) == (413, True)


@pytest.mark.parametrize("path", [*PAGES, "/health/ready", "/metrics"])
def test_a_chunked_body_of_a_page_wants_a_length(client: FlaskClient, path: str) -> None:
    answer = client.post(path, headers={"Transfer-Encoding": "chunked"})
    assert answer.status_code == 411


@pytest.mark.parametrize("path", [*PAGES, "/health/ready", "/metrics"])
def test_a_page_takes_no_files(client: FlaskClient, path: str) -> None:
    answer = client.post(path, data={"file": (io.BytesIO(b"x"), "x.txt")}, content_type="multipart/form-data")
    assert answer.status_code == 415


def test_a_form_of_64_kib_is_read(anna: Browser) -> None:
    token = anna.token()
    fields = {"csrf_token": token, "pad": "x" * (doors.LARGEST_FORM - len(token) - 16)}
    assert anna.client.post("/payments/7/accept", data=fields).status_code == 400  # it says no version
    fields["pad"] += "x" * 100
    assert anna.client.post("/payments/7/accept", data=fields).status_code == 413


# What a GET and a HEAD change


def everything(app: Flask) -> dict[str, list[Any]]:
    with app.app_context(), reading() as session:
        return {
            table.name: session.execute(select(table).order_by(*table.primary_key)).all()
            for table in Base.metadata.sorted_tables
        }


@pytest.mark.parametrize("who", ["stranger", "anna", "chief"])
def test_no_get_and_no_head_changes_anything(
    app: Flask, request: pytest.FixtureRequest, keys: MerchantKeys, who: str
) -> None:
    browser: Browser = request.getfixturevalue(who)
    pk = open_payment(app, keys)
    form = {"csrf_token": browser.token(), "username": "anna", "password": "wrong", "version": "1", "sum": "1"}
    signed = json.dumps({"merch_id": keys.merch_id, "payment_id": "3636363"}).encode()
    before = everything(app)
    walked = set()
    for rule in app.url_map.iter_rules():
        path = re.sub(r"<[^>]+>", str(pk), rule.rule)
        for method in ("GET", "HEAD"):
            browser.client.open(path, method=method)
            browser.client.open(path, method=method, data=form)
            for secret in (keys.payment_secret, keys.balance_secret):
                headers = {"Signature": signing.sign(secret, signed)}
                browser.client.open(path, method=method, data=signed, headers=headers)
        walked.add(path)
        after = everything(app)
        changed = {name for name in before if before[name] != after[name]}
        # the contract lets the first use of a secret be noted, whoever makes it
        assert changed <= ({"merchants", "merchant_secrets"} if path.startswith("/bot_api/") else set()), path
        before = after
    assert {"/login", "/logout", f"/payments/{pk}/accept", "/bot_api/get_balance/"} <= walked


def test_a_head_with_a_log_in_is_no_try(app: Flask, stranger: Browser) -> None:
    fields = {"csrf_token": stranger.token(), "username": "anna", "password": "wrong"}
    for _ in range(delays.FREE_OF_NAME + 1):
        assert stranger.client.head("/login", data=fields).status_code == 200
    assert stranger.log_in("anna", PASSWORD).status_code == 303


# Proxies in front


@pytest.mark.parametrize(
    ("trusted", "forwarded", "seen"),
    [
        ("0", "192.0.2.7", "127.0.0.1"),
        ("1", "192.0.2.7", "192.0.2.7"),
        ("1", "198.51.100.1, 192.0.2.7", "192.0.2.7"),
        ("2", "198.51.100.1, 192.0.2.7", "198.51.100.1"),
    ],
)
def test_so_many_proxies_are_believed(env: dict[str, str], trusted: str, forwarded: str, seen: str) -> None:
    app = create_app(env | {"CERBER_TRUSTED_PROXIES": trusted})
    app.add_url_rule("/seen", "seen", lambda: f"{__import__('flask').request.remote_addr}")
    assert app.test_client().get("/seen", headers={"X-Forwarded-For": forwarded}).text == seen


def test_a_proxy_that_is_believed_says_that_it_was_https_but_not_which_host(env: dict[str, str]) -> None:
    app = create_app(env | {"CERBER_TRUSTED_PROXIES": "1"})
    app.add_url_rule("/seen", "seen", lambda: __import__("flask").request.host_url)
    headers = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "evil.example"}
    assert app.test_client().get("/seen", headers=headers).text == "https://localhost/"
