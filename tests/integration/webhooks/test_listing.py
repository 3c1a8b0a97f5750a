"""The lists of webhooks and endpoints: each link leads on, and all pages together are the whole list."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import insert, select

from cerber.context import system_clock
from cerber.db import paging
from cerber.db.engines import db
from cerber.db.paging import FIRST, Page, Start
from cerber.db.transactions import reading
from cerber.webhooks import listing, queries
from cerber.webhooks.kinds import WebhookState
from cerber.webhooks.models import Breaker, Webhook
from tests.integration.webhooks.test_resending import hold, make_endpoint, put
from tests.support.factories import make_merchant

STATES = ("due", "given_up", "delivered")


def walk(shown: Callable[[Start], Page[int]]) -> list[int]:
    """The whole list by its links; each link back must lead to the page that came before."""
    pages, start = [], FIRST
    while True:
        page = shown(start)
        if pages:
            assert page.back
            assert list(shown(Start.read(page.back)).rows) == pages[-1]
            assert list(shown(Start(number=len(pages) + 1)).rows) == list(page.rows)
        else:
            assert page.back is None
        pages.append(list(page.rows))
        if page.next is None:
            return [pk for rows in pages for pk in rows]
        start = Start.read(page.next)


@pytest.fixture
def endpoints(app: Flask) -> list[int]:
    """Four of two merchants, with webhooks in all states; some are due at one moment."""
    for merch_id in ("shop-1", "shop-2"):
        make_merchant(app, merch_id)
    made = [make_endpoint(app, f"shop-{number % 2 + 1}", f"https://{number}.example") for number in range(4)]
    at = system_clock()
    for number, (state, endpoint) in enumerate(
        itertools.islice(itertools.cycle(itertools.product(STATES, made)), 36)
    ):
        closed = None if state == "due" else at
        put(
            app,
            endpoint,
            {"state": state, "due_at": at - timedelta(minutes=number // 5 * 7 % 11), "closed_at": closed},
        )
    return made


@pytest.mark.parametrize("state", [None, WebhookState.DUE, WebhookState.GIVEN_UP])
@pytest.mark.parametrize("merchant", ["", "shop-1", "nobody"])
@pytest.mark.parametrize("at_once", [1, 50])
def test_the_pages_of_webhooks_are_the_whole_list(
    app: Flask,
    endpoints: list[int],
    state: WebhookState | None,
    merchant: str,
    at_once: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(paging, "SIZE", 4)
    monkeypatch.setattr(listing, "AT_ONCE", at_once)
    with app.app_context():
        with reading() as session:
            rows = session.scalars(select(Webhook)).all()
        for to in (None, endpoints[0], endpoints[3]):
            owned = endpoints[::2] if merchant == "shop-1" else endpoints if not merchant else []
            fitting = [row for row in rows if row.endpoint_id in owned and to in (None, row.endpoint_id)]
            if state is None:
                fitting.sort(key=lambda row: row.id, reverse=True)
            else:
                fitting = [row for row in fitting if row.state == state]
                fitting.sort(key=lambda row: (row.due_at, row.id), reverse=state is WebhookState.GIVEN_UP)

            def shown(start: Start, to: int | None = to) -> Page[int]:
                page = queries.webhooks(state, merchant, to, start)
                return page.showing([sent.webhook.id for sent in page.rows])

            assert walk(shown) == [row.id for row in fitting]


@pytest.mark.parametrize("merchant", ["", "shop-1", "nobody"])
def test_the_pages_of_endpoints_are_the_whole_list(
    app: Flask, endpoints: list[int], merchant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paging, "SIZE", 2)
    more = [make_endpoint(app, "shop-1", f"https://{letter}.example") for letter in "fedcba"]
    made = endpoints + more
    at = system_clock()
    held = [more[0], endpoints[1], more[4]]
    for number, pk in enumerate(held):
        hold(app, pk, held_since=at - timedelta(hours=9 - number // 2))
    failing = [endpoints[2], more[1]]
    with app.app_context():
        db.session.execute(
            insert(Breaker), [{"endpoint_id": pk, "failures": 1, "probes": 0, "why": "-"} for pk in failing]
        )
        db.session.commit()
        ordered = [endpoints[1], more[0], more[4], *failing, *(pk for pk in made if pk not in held + failing)]
        owned = {"": made, "shop-1": endpoints[::2] + more, "nobody": []}[merchant]

        def shown(start: Start) -> Page[int]:
            page = queries.endpoints(merchant, start)
            return page.showing([one.endpoint.id for one in page.rows])

        assert walk(shown) == [pk for pk in ordered if pk in owned]
