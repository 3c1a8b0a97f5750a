"""Everything that merchants, operators, machines and the worker may do, done once through the doors.

What the tests of plans and of statements look at: whoever adds a call, a page or a filter adds it here. A route that
nobody visits fails `test_plans`.
"""

from __future__ import annotations

import itertools
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from flask import Flask, request
from sqlalchemy import create_engine, select, text
from werkzeug.test import TestResponse

from cerber.db.engines import db
from cerber.merchants import accounts
from cerber.operators import staff
from cerber.payments.models import Payment, Transfer
from cerber.payments.states import Status
from cerber.signing import SecretKind
from cerber.wallets.models import Wallet
from cerber.webhooks.models import Breaker, Endpoint, Webhook
from tests.support.clock import Clock
from tests.support.factories import MerchantKeys, call, get_wallet
from tests.support.shop import Shop

PASSWORD = "correct horse battery"
TOKEN = "the-token-of-a-scraper"

Q = {
    "nothing": "",
    "an id, and a sum": "1000077",
    "an id in letters": "ORD-0000077",
    "the beginning of most ids": "1",
    "the beginning of a payer's number": "994",
    "a payer's number in another spelling": "+994 55 10",
    "a payer's number at home": "05510",
    "a wallet of ours": "994509000003",
    "a reference": "MT000000077",
    "a sum": "50,00",
    "nothing that there is": "_ORD%",
    "more than a column holds": "1" * 300,
}
STATUSES = ("", "pending", "accept", "all")
PERIODS = ({}, {"since": "2026-01-01"}, {"until": "2027-01-01"}, {"since": "2026-01-01", "until": "2027-01-01"})
_LINK = re.compile(r'href="([^"]*[?&](?:before|after)=[^"]*)"')


@dataclass
class Doors:
    """An app on a seeded history, and who uses it. `routes` are those that were used."""

    app: Flask
    keys: MerchantKeys
    clock: Clock
    url: str
    shop: Shop = field(default_factory=Shop)
    routes: set[str] = field(default_factory=set)
    serial: Iterator[int] = field(default_factory=itertools.count)

    def __post_init__(self) -> None:
        with self.app.app_context():
            self.own = create_engine(db.engine.url)  # what a test asks is no statement of the app's
        self.app.before_request(self._note)
        self.merchant = self.app.test_client()
        self.browser = self.app.test_client()

    def _note(self) -> None:
        self.routes.add(str(request.endpoint))

    # Merchants

    def open(self, **changes: Any) -> str:
        """A new payment's id."""
        payment_id = f"new-{next(self.serial)}"
        answer = self.get_wallet(payment_id=payment_id, **changes)
        assert answer.status_code == 200, answer.text
        return payment_id

    def get_wallet(self, **changes: Any) -> TestResponse:
        return get_wallet(self.merchant, self.keys, **{"callback_url": self.url} | changes)

    def update(self, payment_id: str, status: str, **more: Any) -> int:
        fields = {"payment_id": payment_id, "status": status, **more}
        return call(self.merchant, "POST", "update_status", self.keys.payment_secret, fields).status_code

    def status(self, payment_id: str, **more: Any) -> TestResponse:
        return call(self.merchant, "GET", "get_status", self.keys.payment_secret, {"payment_id": payment_id, **more})

    def balance(self, **fields: Any) -> TestResponse:
        asked = {"merch_id": self.keys.merch_id, **fields}
        return call(self.merchant, "GET", "get_balance", self.keys.balance_secret, asked)

    def events(self, **fields: Any) -> TestResponse:
        asked = {"merch_id": self.keys.merch_id, **fields}
        return call(self.merchant, "GET", "get_events", self.keys.balance_secret, asked)

    def all_calls(self) -> None:
        """Each call in each way that it may be answered."""
        self._refusals()
        self._openings()
        self._updates()
        assert self.status("nobody's").status_code == 404
        assert self.status("1000077", merch_id=self.keys.merch_id).status_code == 200
        for period in (
            {},
            {"start_date": "2026-10-01T00:00:00.000123+04:00", "end_date": "2026-10-31T17:13:12.345678+04:00"},
            {"start_date": "2026-10-01"},
            {"end_date": "2026-10-31 12:00"},
            {"callback_url": self.url},
            {"callback_url": self.url},
        ):
            assert self.balance(**period).status_code == 200
        cursor = self.events(limit=3).json["cursor"]
        assert self.events(after=cursor, limit=500).status_code == 200
        assert self.events(after="evt_nobodys").status_code == 422
        self._rotate()

    def _refusals(self) -> None:
        fields = {"payment_id": "1000077", "merch_id": self.keys.merch_id}
        for method, name in (("POST", "get_wallet"), ("POST", "update_status"), ("GET", "get_status")):
            assert call(self.merchant, method, name, "whsec_wrong", fields).status_code == 401
        assert call(self.merchant, "GET", "get_status", "whsec_wrong", {"payment_id": "1"}).status_code == 401

    def _openings(self) -> None:
        payment_id = self.open()
        assert self.get_wallet(payment_id=payment_id).status_code == 200
        assert self.get_wallet(payment_id=payment_id, sum="501").status_code == 409
        assert self.update(payment_id, "cancel") == 200
        assert self.get_wallet(payment_id=payment_id).status_code == 409
        late = self.open()
        with self.later():
            assert self.get_wallet(payment_id=late).status_code == 409
        self._open_while_all_wallets_are_held()

    def _open_while_all_wallets_are_held(self) -> None:
        """On MySQL one of them is waited for."""
        if self.own.dialect.name == "sqlite":
            return
        with self.own.connect() as other:
            other.execute(select(Wallet.id).with_for_update())
            thread = threading.Thread(target=self.open)
            thread.start()
            _until(lambda: other.scalar(_WAITS))
            other.rollback()
            thread.join(20)
            assert not thread.is_alive()

    def _updates(self) -> None:
        paid, late = self.open(), self.open()
        assert self.update("nobody's", "accept") == 404
        for status in ("accept", "accept", "cancel"):
            self.update(paid, status, merch_id=self.keys.merch_id)
        with self.later():
            assert self.update(late, "accept") == 200  # it expires, and comes back
            assert self.status(self.open()).status_code == 200
        gone = self.open()
        with self.later():
            assert self.status(gone).json["status"] == "cancel"
            assert self.update(gone, "cancel") == 200

    def _rotate(self) -> None:
        """The first request with a new secret notes that."""
        with self.app.app_context():
            secret = accounts.rotate(self.keys.merch_id, SecretKind.PAYMENT, timedelta(hours=1), "cli").secret
        answer = call(self.merchant, "GET", "get_status", secret, {"payment_id": "1000077"})
        assert answer.status_code == 200

    @contextmanager
    def later(self, seconds: float = 3601) -> Iterator[None]:
        """The time-to-live of what is open has run out."""
        self.clock.stop(self.clock() + timedelta(seconds=seconds))
        try:
            yield
        finally:
            self.clock.go()

    # Operators

    def post(self, path: str, **fields: Any) -> TestResponse:
        return self.browser.post(path, data={"csrf_token": self.token(), **fields})

    def token(self) -> str:
        """Of a form's page."""
        page = self.browser.get("/login", follow_redirects=True).text
        token = re.search(r'name="csrf_token" value="([^"]+)"', page)
        assert token
        return token[1]

    def log_in(self) -> None:
        with self.app.app_context():
            staff.add("chief", PASSWORD, "admin", "cli")
        assert self.browser.get("/").status_code == 303
        assert self.post("/login", username="chief", password="wrong").status_code == 401
        assert self.post("/login", username="chief", password=PASSWORD).status_code == 303

    def all_pages(self) -> None:
        """Each page, each filter of it and each combination, from its beginning and from the places that it links."""
        self._plain_pages()
        merchants = ("", self.keys.merch_id, "nobody")
        for status, merchant, q, period in itertools.product(STATUSES, merchants[:2], Q.values(), PERIODS):
            self.list("/payments/", status=status, merchant=merchant, q=q, **period)
        self.list("/payments/", merchant="nobody")
        endpoints = ("", *map(str, self._keys(Endpoint)[:2]))
        for state, merchant, endpoint in itertools.product(("", "due", "given_up"), merchants, endpoints):
            self.list("/webhooks/", state=state, merchant=merchant, to=endpoint)
        for merchant in merchants:
            self.list("/endpoints/", merchant=merchant)
        self._payment_pages()
        self._webhook_pages()

    def _plain_pages(self) -> None:
        """Those that take nothing."""
        for rule in self.app.url_map.iter_rules():
            if rule.endpoint.startswith("pages.") and "GET" in (rule.methods or ()) and not rule.arguments:
                assert self.browser.get(rule.rule).status_code in (200, 303), rule
        assert self.browser.get("/payments/99999999").status_code == 404

    def list(self, path: str, **filters: str) -> None:
        """The first page of a list, the one after it and the one before that; and the third by its number."""
        for number in ({}, {"page": "3"}):
            answer = self.browser.get(path, query_string={k: v for k, v in filters.items() if v} | number)
            assert answer.status_code == 200, (path, filters)
        seen: set[str] = set()
        links = _LINK.findall(answer.text)
        for link in links[:1] + links[-1:]:
            page = self.browser.get(link.replace("&amp;", "&"))
            assert page.status_code == 200
            seen.add(link)

    def _payment_pages(self) -> None:
        self.open()
        for status in Status:
            for pk in self._query(select(Payment.id).filter_by(status=status).order_by(Payment.id.desc()).limit(1)):
                assert self.browser.get(f"/payments/{pk}").status_code == 200
        assert self.decide("accept") == 303
        assert self.decide("accept", reference="r-1") == 303
        assert self.decide("cancel") == 303
        assert self.decide("accept", version=7) == 409
        partial = self.pk(self.open())
        for reference, part in (("r-2", "20"), ("r-2", "30"), ("", "30")):
            self.decide("transfer", partial, sum=part, reference=reference)
        assert self.decide("settle", partial) == 303
        mistaken = self.pk(self.open())
        assert self.decide("transfer", mistaken, sum="20") == 303
        (transfer,) = self._query(select(Transfer.id).filter_by(payment_id=mistaken))
        assert self.decide(f"transfers/{transfer}/void", mistaken, reason="typo") == 303
        late = self.pk(self.open())
        with self.later():
            assert self.decide("accept", late) == 409
            assert self.decide("transfer", late, sum="500") == 303

    def decide(self, what: str, pk: int = 0, version: int = 0, **fields: Any) -> int:
        """What an operator decides of a payment as it is now, or of a new one."""
        pk = pk or self.pk(self.open())
        (now,) = self._query(select(Payment.version).filter_by(id=pk))
        return self.post(f"/payments/{pk}/{what}", version=version or now, **fields).status_code

    def _webhook_pages(self) -> None:
        (webhook,) = self._query(select(Webhook.id).order_by(Webhook.id.desc()).limit(1))
        assert self.browser.get(f"/webhooks/{webhook}").status_code == 200
        assert self.post(f"/webhooks/{webhook}/resend").status_code == 303
        since = {"since": f"{self.clock() - timedelta(days=3):%Y-%m-%dT%H:%M}"}
        for delivered in ({}, {"delivered": "1"}):
            again = {"merchant": self.keys.merch_id, **since, **delivered}
            assert self.post("/webhooks/resend", **again).status_code == 303
        for endpoint in self._keys(Endpoint):
            assert self.browser.get(f"/endpoints/{endpoint}").status_code == 200
            assert self.post(f"/endpoints/{endpoint}/try").status_code == 303
            assert self.post(f"/endpoints/{endpoint}/resend", **since).status_code == 303

    def log_out(self) -> None:
        assert self.post("/logout").status_code == 303
        assert self.post("/login", username="chief", password=PASSWORD).status_code == 303
        assert self.post("/logout/everywhere").status_code == 303

    # Machines, and the worker

    def all_machines(self) -> None:
        for path in ("/health/live", "/health/ready", "/health/worker"):
            assert self.browser.get(path).status_code in (200, 503)
        assert self.browser.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 200

    def doctor(self) -> None:
        self.command("doctor")

    def deliver(self) -> None:
        """The worker among events of all kinds: well, failing, held, tried again, given up, released; with payments
        that are due to expire."""
        self.shop.statuses = [500] * 12
        for _ in range(6):
            self.update(self.open(), "cancel")
        self.command("deliver", "--once", "--seconds", "10")
        assert self._query(select(Breaker.held_since))[0] is not None
        self.shop.statuses = []
        for endpoint in self._query(select(Breaker.endpoint_id)):
            self.post(f"/endpoints/{endpoint}/try")
        self.command("deliver", "--once", "--seconds", "10")
        for _ in range(3):
            self.open()
        with self.later():
            self.command("deliver", "--once", "--seconds", "10")

    def command(self, *arguments: str) -> None:
        result = self.app.test_cli_runner().invoke(args=arguments)
        assert result.exception is None or isinstance(result.exception, SystemExit), result

    # What is there

    def pk(self, payment_id: str) -> int:
        return int(self._query(select(Payment.id).filter_by(payment_id=payment_id))[0])

    def _keys(self, model: Any) -> Sequence[int]:
        return self._query(select(model.id).order_by(model.id))

    def _query(self, query: Any) -> Any:
        with self.own.connect() as connection:
            return connection.scalars(query).all()


# InnoDB tells it anew no sooner than every 0.1 s.
_WAITS = text("SELECT COUNT(*) FROM information_schema.innodb_trx WHERE trx_state = 'LOCK WAIT'")


def _until(condition: Callable[[], Any]) -> None:
    pause = threading.Event()
    for _ in range(30):
        if condition():
            return
        pause.wait(0.15)
    raise AssertionError("it never came true")
