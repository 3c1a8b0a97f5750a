"""The pages of webhooks and endpoints: who fails, since when and why, and what an operator does about it."""

from __future__ import annotations

import json
import re
from datetime import datetime, timedelta
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import insert, select
from sqlalchemy.exc import OperationalError

from cerber.audit.models import AuditEntry
from cerber.dashboard import webhooks as views
from cerber.db import paging
from cerber.db.engines import db
from cerber.db.transactions import reading
from cerber.webhooks import queries, resending
from cerber.webhooks.models import Breaker, Webhook, WebhookAttempt
from tests.integration.dashboard.test_queue import link
from tests.integration.webhooks.test_resending import ago, endpoint, everything, hold, make_endpoint, put, webhooks
from tests.support.clock import now
from tests.support.desk import Browser
from tests.support.factories import make_merchant, make_wallet, open_payment
from tests.support.workers import decide

__all__ = ["endpoint"]
SCRIPT = "<script>alert(1)</script>"


def local(moment: datetime) -> str:
    return (moment + timedelta(hours=4)).strftime("%Y-%m-%d %H:%M:%S")  # Asia/Baku


def attempt(app: Flask, webhook_id: int, **more: Any) -> None:
    row = {"webhook_id": webhook_id, "at": ago(minutes=5), "milliseconds": 123, "outcome": "502", "detail": ""}
    row |= {"answer": "Bad Gateway", "headers": json.dumps({"User-Agent": "Cerber/0.1"})}
    with app.app_context():
        db.session.execute(insert(WebhookAttempt), [row | more])
        db.session.commit()


def actions(app: Flask) -> list[tuple[str, str]]:
    with app.app_context(), reading() as session:
        found = session.scalars(select(AuditEntry).where(AuditEntry.actor != "cli").order_by(AuditEntry.id))
        return [(row.actor, row.action) for row in found]


def probe_at(app: Flask, endpoint_id: int) -> datetime:
    with app.app_context(), reading() as session:
        found = session.get_one(Breaker, endpoint_id).probe_at
        assert found
        return found


def alerts(page: str) -> list[str]:
    return re.findall(r'class="alert[^>]*>\s*([^<]+?)\s*<', page)


# Who gets in

PAGES = ["/endpoints/", "/endpoints/1", "/webhooks/", "/webhooks/?state=given_up", "/webhooks/1"]
POSTS = ["/endpoints/1/try", "/endpoints/1/resend", "/webhooks/resend", "/webhooks/1/resend"]


@pytest.mark.parametrize("path", PAGES)
def test_a_page_without_a_session_leads_to_the_log_in(stranger: Browser, path: str) -> None:
    answer = stranger.client.get(path)
    assert answer.status_code == 303
    assert answer.location.startswith("/login?next=")


@pytest.mark.parametrize("path", POSTS)
def test_a_post_needs_the_session_and_then_its_token(app: Flask, stranger: Browser, anna: Browser, path: str) -> None:
    before = everything(app)
    answer = stranger.client.post(path, data={"since": "2026-01-01", "merchant": "shop-1"})
    assert (answer.status_code, answer.location) == (303, "/login")
    assert anna.client.post(path, data={"since": "2026-01-01", "merchant": "shop-1"}).status_code == 400
    assert everything(app) == before


@pytest.mark.parametrize("path", [*PAGES[1:2], PAGES[-1], "/endpoints/9223372036854775808"])
def test_what_is_not_there_is_404(anna: Browser, path: str) -> None:
    assert anna.client.get(path).status_code == 404
    assert anna.post("/endpoints/1/try").status_code == 404
    assert anna.post("/endpoints/1/resend", since="2026-01-01").status_code == 404


# What operators see


def test_held_endpoints_come_first_with_since_when_and_why(app: Flask, anna: Browser, endpoint: int) -> None:
    make_merchant(app, "shop-2")
    failing, held, long_held = (make_endpoint(app, "shop-2", f"https://{name}.example") for name in "fhl")
    with app.app_context():
        row = {"endpoint_id": failing, "failures": 3, "probes": 0, "why": f"answered {SCRIPT}"}
        db.session.execute(insert(Breaker), [row])
        db.session.commit()
    hold(app, held, why="connection refused")
    hold(app, long_held, held_since=ago(days=2))
    put(app, held, *[{"state": "due", "created_at": ago(hours=2)}] * 3)
    page = anna.client.get("/endpoints/").text
    at = [page.index(f'href="/endpoints/{pk}"') for pk in (long_held, held, failing, endpoint)]
    assert at == sorted(at)
    for part in (
        "connection refused",
        local(ago(hours=3)),
        local(ago(hours=-1)),
        "3 in a row",
        "2 held",
    ):
        assert part in page
    assert re.search(r"2 h \d+ min", page)  # `ago` counts from when the tests began
    assert SCRIPT not in page
    of_other = anna.client.get("/endpoints/?merchant=shop-1").text
    assert f'href="/endpoints/{endpoint}"' in of_other
    assert f'href="/endpoints/{held}"' not in of_other
    assert "No endpoint fits" in anna.client.get("/endpoints/?merchant=nobody").text


def test_the_list_has_pages_and_counts_no_further_than_it_must(
    app: Flask, endpoint: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paging, "SIZE", 2)
    monkeypatch.setattr(queries, "COUNTED", 3)
    for number in range(2):
        make_endpoint(app, origin=f"https://{number}.example")
    put(app, endpoint, *[{"state": "due", "created_at": ago(hours=5 - number)} for number in range(4)])
    with app.app_context():
        first, second = queries.endpoints(), queries.endpoints(start=paging.Start(number=2))
        counted = queries.endpoint(endpoint)
    assert [len(first.rows), first.has_next, len(second.rows), second.has_next] == [2, True, 1, False]
    assert counted
    assert counted.waiting == queries.Count(3, more=True, oldest=ago(hours=5))


def test_an_endpoint_shows_its_state_and_its_last_webhooks(app: Flask, anna: Browser, endpoint: int) -> None:
    hold(app, endpoint, why=SCRIPT)
    given_up, _, waiting = put(app, endpoint, {}, {"state": "delivered"}, {"state": "due"})
    attempt(app, given_up)
    attempt(app, given_up, outcome="too_slow", detail="nothing", at=ago(minutes=1))
    page = anna.client.get(f"/endpoints/{endpoint}").text
    assert page.index(f'href="/webhooks/{waiting}"') < page.index(f'href="/webhooks/{given_up}"')
    assert "too slow" in page
    assert "answered 502" not in page
    assert page.count(">held</span>") == 2  # the endpoint and what waits
    assert f"/endpoints/{endpoint}/try" in page
    assert SCRIPT not in page
    assert "&lt;script&gt;" in page


def test_a_webhook_shows_its_attempts_escaped(app: Flask, anna: Browser, endpoint: int) -> None:
    (pk,) = put(app, endpoint, {"body": f'{{"x": "{SCRIPT}"}}'})
    attempt(app, pk, detail=f"{SCRIPT}d", answer=f"{SCRIPT}a", headers=json.dumps({"x": SCRIPT}))
    attempt(app, pk, headers="not JSON")
    attempt(app, pk, headers="[]", outcome=SCRIPT[:20])
    page = anna.client.get(f"/webhooks/{pk}").text
    assert "<script>" not in page
    assert page.count("&lt;script&gt;alert(1)") == 5
    assert "answered 502" in page
    assert "123 ms" in page
    assert local(ago(minutes=5)) in page


def test_a_payment_shows_that_its_endpoint_is_held_and_few_attempts(
    app: Flask, anna: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queries, "ATTEMPTS", 2)
    make_wallet(app)
    key = open_payment(app, make_merchant(app))
    assert "Notice to shop" not in anna.client.get(f"/payments/{key}").text
    decide(app, key, 500_00)
    (webhook,) = webhooks(app)
    assert "Held since" not in anna.client.get(f"/payments/{key}").text
    hold(app, webhook.endpoint_id, why=f"refused {SCRIPT}")
    for number in range(3):
        attempt(app, webhook.id, outcome=str(500 + number), answer=f"{SCRIPT}{number}")
    page = anna.client.get(f"/payments/{key}").text
    for part in ("Held since " + local(ago(hours=3)), "refused &lt;script", "User-Agent: Cerber/0.1", "123 ms"):
        assert part in page
    assert f'href="/endpoints/{webhook.endpoint_id}"' in page
    assert page.index("answered 502") < page.index("answered 501")
    assert "answered 500" not in page
    assert "Only the last 2 attempts" in page
    assert SCRIPT not in page


def test_given_up_ones_are_listed_newest_first_balances_too(app: Flask, anna: Browser, endpoint: int) -> None:
    make_merchant(app, "shop-2")
    other = make_endpoint(app, "shop-2", "https://b.example")
    make_wallet(app)
    key = open_payment(app, make_merchant(app, "shop-3"))
    decide(app, key, 500_00)
    (about_payment,) = webhooks(app)
    with app.app_context():
        db.session.get_one(Webhook, about_payment.id).state = "given_up"
        db.session.commit()
    first, delivered, due = put(app, endpoint, {"due_at": ago(hours=9)}, {"state": "delivered"}, {"state": "due"})
    (second,) = put(app, other, {"due_at": ago(hours=8)})

    def listed(query: str) -> list[int]:
        page = anna.client.get(f"/webhooks/{query}").text
        return [int(pk) for pk in re.findall(r'href="/webhooks/([0-9]+)"', page)]

    assert listed("?state=given_up") == [about_payment.id, second, first]
    assert listed("?state=given_up&merchant=shop-2") == [second]
    assert listed(f"?state=given_up&to={endpoint}") == [first]
    assert listed("?state=due") == [due]
    assert listed("") == [second, due, delivered, first, about_payment.id]
    assert listed("?merchant=shop-1") == [due, delivered, first]
    assert listed("?merchant=nobody") == listed("?merchant=nobody&state=due") == listed("?page=2") == []
    assert anna.client.get("/webhooks/?state=sent").status_code == 400
    assert f'href="/payments/{key}"' in anna.client.get("/webhooks/?state=given_up").text


def test_the_webhooks_have_pages(app: Flask, anna: Browser, endpoint: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paging, "SIZE", 2)
    put(app, endpoint, *[{}] * 3)
    second = link(anna.client.get("/webhooks/?state=given_up").text, "Next →")
    assert second.startswith("/webhooks/?state=given_up&before=")
    for later in (second, "/webhooks/?state=given_up&page=2"):  # an old link
        page = anna.client.get(later).text
        assert link(page, "← Back").startswith("/webhooks/?state=given_up&after=")
        assert "Next →" not in page
    assert f"/webhooks/?to={endpoint}" in anna.client.get(f"/endpoints/{endpoint}").text


def test_a_page_of_an_outage_counts_nothing(
    app: Flask, anna: Browser, endpoint: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*arguments: Any, **more: Any) -> Any:
        raise OperationalError("SELECT", None, Exception("gone"))

    monkeypatch.setattr(queries, "held_count", away)
    monkeypatch.setattr(queries, "endpoints", away)
    answer = anna.client.get("/endpoints/")
    assert answer.status_code == 503
    assert "Not available" in answer.text
    assert "/webhooks/" in answer.text


# What operators do


@pytest.mark.parametrize("who", ["anna", "chief"])
def test_a_held_endpoint_is_tried_at_once(
    app: Flask, endpoint: int, who: str, request: pytest.FixtureRequest
) -> None:
    browser: Browser = request.getfixturevalue(who)
    hold(app, endpoint)
    answer = browser.post(f"/endpoints/{endpoint}/try")
    assert (answer.status_code, answer.location) == (303, f"/endpoints/{endpoint}")
    assert probe_at(app, endpoint) <= now()
    assert actions(app) == [(f"operator:{who}", "endpoint_tried")]
    assert alerts(browser.client.get(answer.location).text) == ["The next try goes out at once."]


def test_what_is_not_held_is_not_tried(app: Flask, anna: Browser, endpoint: int) -> None:
    hold(app, endpoint, held_since=None, probe_at=None)
    assert f"/endpoints/{endpoint}/try" not in anna.client.get(f"/endpoints/{endpoint}").text
    assert anna.post(f"/endpoints/{endpoint}/try").status_code == 303
    assert actions(app) == []
    assert "is not held" in anna.client.get(f"/endpoints/{endpoint}").text


def test_all_of_an_endpoint_since_a_time(app: Flask, anna: Browser, endpoint: int) -> None:
    hold(app, endpoint)
    (elsewhere,) = put(app, make_endpoint(app, origin="https://b.example"), {})
    put(app, endpoint, {"created_at": ago(days=2)}, {}, {"state": "delivered"})
    since = local(ago(hours=2)).replace(" ", "T")  # as a browser's field sends it, in the gateway's zone
    answer = anna.post(f"/endpoints/{endpoint}/resend", since=since)
    assert (answer.status_code, answer.location) == (303, f"/endpoints/{endpoint}")
    assert alerts(anna.client.get(answer.location).text) == ["1 webhook is on the way again."]
    assert [w.state for w in webhooks(app)] == ["given_up", "given_up", "due", "delivered"]
    assert probe_at(app, endpoint) <= now()
    assert actions(app) == [("operator:anna", "webhooks_resent")]
    anna.post(f"/endpoints/{endpoint}/resend", since=since, delivered="1")
    assert [w.state for w in webhooks(app)] == ["given_up", "given_up", "due", "due"]
    assert webhooks(app, elsewhere)[0].state == "given_up"


def test_all_of_a_merchant_since_a_time(app: Flask, anna: Browser, endpoint: int) -> None:
    make_merchant(app, "shop-2")
    put(app, make_endpoint(app, origin="https://b.example"), {})
    put(app, endpoint, {}, {"state": "due", "not_before": ago(hours=-2)})
    (untouched,) = put(app, make_endpoint(app, "shop-2"), {})
    answer = anna.post("/webhooks/resend", since="2026-01-01", merchant="shop-1")
    assert (answer.status_code, answer.location) == (303, "/webhooks/?merchant=shop-1")
    (told,) = alerts(anna.client.get(answer.location).text)
    assert told.startswith("2 webhooks are on the way again. 1 webhook is left alone")
    assert webhooks(app, untouched)[0].state == "given_up"


@pytest.mark.parametrize("since", ["", "yesterday", SCRIPT, "2026-02-30"])
def test_a_bad_time_is_told_on_the_page(app: Flask, anna: Browser, endpoint: int, since: str) -> None:
    put(app, endpoint, {})
    before = everything(app)
    for path in (f"/endpoints/{endpoint}/resend", "/webhooks/resend"):
        answer = anna.post(path, since=since, merchant="shop-1")
        assert answer.status_code == 422
        assert "The time can&#39;t be read: " in answer.text
        assert SCRIPT not in answer.text
    answer = anna.post("/webhooks/resend", since="2026-01-01", merchant="nobody")
    assert answer.status_code == 422
    assert "There is no merchant nobody." in answer.text
    assert everything(app) == before


@pytest.mark.parametrize("bound", ["MOST_SENT", "MOST_SEEN"])
def test_one_request_does_so_much_and_says_how_to_go_on(
    app: Flask, anna: Browser, endpoint: int, monkeypatch: pytest.MonkeyPatch, bound: str
) -> None:
    monkeypatch.setattr(resending, "BATCH", 2)
    monkeypatch.setattr(views, bound, 4)
    put(app, endpoint, *[{"created_at": ago(minutes=30 - number)} for number in range(7)])
    answer = anna.post(f"/endpoints/{endpoint}/resend", since=str(int(ago(hours=1).timestamp())))
    (told,) = alerts(anna.client.get(answer.location).text)
    go_on = ago(minutes=27).isoformat().replace("+00:00", "Z")
    command = f"flask webhook resend --merchant shop-1 --since {go_on} --endpoint http://127.0.0.1:9"
    assert told.startswith("4 webhooks are on the way again.")
    assert told.endswith(command)
    assert [w.state for w in webhooks(app)].count("due") == 4
    page = anna.client.get(answer.location).text
    field = re.search(r'name="since"[^>]* value="([^"]+)"', page)
    assert field
    assert field[1] == local(ago(minutes=27)).replace(" ", "T")
    anna.post(f"/endpoints/{endpoint}/resend", since=field[1])
    anna.post(f"/endpoints/{endpoint}/resend", since=local(ago(minutes=25)))
    assert [w.state for w in webhooks(app)].count("due") == 7


def test_one_webhook_is_sent_again_from_each_page_and_leads_back(app: Flask, anna: Browser, endpoint: int) -> None:
    (pk,) = put(app, endpoint, {})
    answer = anna.post(f"/webhooks/{pk}/resend")
    assert (answer.status_code, answer.location) == (303, f"/webhooks/{pk}")
    assert (
        anna.post(f"/webhooks/{pk}/resend", back="/webhooks/?state=given_up").location == "/webhooks/?state=given_up"
    )
    assert anna.post(f"/webhooks/{pk}/resend", back="//evil.example").location == f"/webhooks/{pk}"
    assert f'value="/endpoints/{endpoint}"' in anna.client.get(f"/endpoints/{endpoint}").text
    assert webhooks(app)[0].state == "due"
