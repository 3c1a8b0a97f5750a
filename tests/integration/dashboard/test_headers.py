"""What a browser is told to allow, the session's cookie, and from where the pages open."""

from __future__ import annotations

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from cerber.app import create_app
from cerber.config import BadSetting
from tests.support.databases import dispose
from tests.support.desk import PASSWORD, Browser

HTTPS = "https://localhost"


def session_cookie(answer: TestResponse) -> str:
    return next(text for text in answer.headers.getlist("Set-Cookie") if "cerber=" in text)


@pytest.mark.parametrize("path", ["/login", "/nothing", "/static/cerber.css", "/payments/"])
def test_each_page_says_what_it_needs(client: FlaskClient, path: str) -> None:
    with client.get(path) as answer:
        headers = answer.headers
    assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert "camera=()" in headers["Permissions-Policy"]
    assert "geolocation=()" in headers["Permissions-Policy"]
    assert "Strict-Transport-Security" not in headers
    with client.get(path, base_url=HTTPS) as answer:
        assert answer.headers["Strict-Transport-Security"] == "max-age=31536000"


def test_over_https_the_cookie_is_this_hosts_alone(app: Flask, people: None) -> None:
    client = app.test_client()
    client.environ_base["wsgi.url_scheme"] = "https"
    page = client.get("/login", base_url=HTTPS)
    cookie = session_cookie(page)
    assert cookie.startswith("__Host-cerber=")
    assert {"Secure", "HttpOnly", "Path=/", "SameSite=Lax"} <= set(cookie.split("; "))
    assert "Domain" not in cookie
    token = page.text.split('name="csrf_token" value="')[1].split('"')[0]
    fields = {"csrf_token": token, "username": "anna", "password": PASSWORD}
    assert client.post("/login", data=fields, base_url=HTTPS).status_code == 303
    assert client.get("/payments/", base_url=HTTPS).status_code == 200
    client.set_cookie("cerber", "planted")  # by a neighbour of the domain
    assert client.get("/payments/", base_url=HTTPS).status_code == 200


def test_over_http_the_cookie_has_a_name_that_browsers_take(stranger: Browser) -> None:
    assert session_cookie(stranger.client.get("/login")).startswith("cerber=")


def test_where_the_public_address_is_https_so_is_the_cookie(env: dict[str, str]) -> None:
    app = create_app(env | {"CERBER_BASE_URL": "https://pay.shop.az"})
    assert session_cookie(app.test_client().get("/login")).startswith("__Host-cerber=")


# From where


@pytest.fixture
def desk(env: dict[str, str]) -> Flask:
    return create_app(env | {"CERBER_DESK_NETWORKS": "192.0.2.0/24, 2001:db8::/32", "CERBER_TRUSTED_PROXIES": "1"})


def seen_from(app: Flask, address: str, path: str = "/login", method: str = "GET") -> TestResponse:
    return app.test_client().open(path, method=method, headers={"X-Forwarded-For": f"192.0.2.1, {address}"})


@pytest.mark.parametrize("address", ["192.0.2.9", "2001:db8:1::1", "::ffff:192.0.2.9"])
def test_the_pages_open_from_the_networks_named(desk: Flask, address: str) -> None:
    assert seen_from(desk, address).status_code == 200
    dispose(desk)


@pytest.mark.parametrize("address", ["198.51.100.1", "2001:db9::1", "nonsense"])
def test_others_are_told_so_in_plain_words(desk: Flask, address: str) -> None:
    for path, method in (("/login", "GET"), ("/login", "POST"), ("/payments/", "GET"), ("/nothing", "GET")):
        answer = seen_from(desk, address, path, method)
        assert answer.status_code == 403
        assert f"These pages open in certain networks only, and your address, {address}, lies in none" in answer.text
        assert "csrf_token" not in answer.text
    with seen_from(desk, address, "/static/cerber.css") as answer:
        assert answer.status_code == 200, "the page may look like one"
    dispose(desk)


def test_merchants_and_monitors_are_not_concerned(desk: Flask) -> None:
    assert seen_from(desk, "198.51.100.1", "/health/live").status_code == 200
    assert seen_from(desk, "198.51.100.1", "/bot_api/get_status/").status_code != 403
    dispose(desk)


@pytest.mark.parametrize("text", ["10.0.0.0/33", "10.0.0.1/8", "office", "10.0.0.0/8;"])
def test_networks_that_are_none_stop_the_start(env: dict[str, str], text: str) -> None:
    with pytest.raises(BadSetting, match=r"^CERBER_DESK_NETWORKS must be networks"):
        create_app(env | {"CERBER_DESK_NETWORKS": text})
