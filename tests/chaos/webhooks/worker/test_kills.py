"""What is promised of webhooks while everything dies: at least once, and in order for one payment.

Workers are killed at random moments, a database server is stopped and killed, all under load.
"""

from __future__ import annotations

import itertools
import os
import random
import signal
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import exists, select
from standardwebhooks import Webhook as StandardWebhook

from cerber.app import create_app
from cerber.db.transactions import OUTAGES, reading
from cerber.errors import VersionChanged
from cerber.payments import decisions
from cerber.payments.models import Payment
from cerber.webhooks.models import Webhook
from tests.support.databases import ENV, dispose, migrate
from tests.support.factories import MerchantKeys, get_wallet, make_merchant, make_wallet
from tests.support.forked_workers import forked_workers
from tests.support.mariadb_server import Server, private_server
from tests.support.workers import attempts, until, webhooks

KILLS = 200
WORKERS = 3
THREADS = 4
LIVES = 0.15  # seconds between two kills, on average
LEASE = 28.0  # seconds until what a dead worker had claimed comes free
LAST_SENT = 12.0  # seconds of its lease after which a worker sends an event no more
UNEXPECTED = "raised an exception"  # as APScheduler says of a turn that did
SETTLED = 60.0  # seconds after the last kill, in which all has arrived
TRANSFERS = (100_00, 150_00, 250_00)  # qəpik, of a payment of 500
# An event may fail often, so that none is given up; a probe of a held endpoint comes soon.
CHAOS = {"CERBER_DELIVERY_THREADS": str(THREADS), "CERBER_RETRY_SCHEDULE": "0" + ",0.2" * 40}


@dataclass(frozen=True)
class Arrival:
    event: str
    body: bytes
    headers: dict[str, str]
    worker: int
    status: int  # that it was answered
    at: float = field(default_factory=time.monotonic)


class Receiver:
    """One merchant's servers, each of which is an endpoint of its own.

    `rough` ones fail now and then, the first of them six times in a row, which trips its breaker; some answers of
    all but the last are slow. `gate` holds answers back while it is cleared.
    """

    def __init__(self, chance: random.Random, *, rough: bool) -> None:
        self.urls: list[str] = []
        self.arrivals: list[Arrival] = []
        self.gate = threading.Event()
        self.gate.set()
        self._chance = chance
        self._rough = rough
        self._turns: Counter[str] = Counter()
        self._changed = threading.Condition()

    def answer(self, origin: str, headers: dict[str, str], body: bytes) -> tuple[int, float]:
        """The status, and after how many seconds."""
        with self._changed:
            status, pause = self._decide(origin)
            worker = int(headers["user-agent"].split()[1])
            self.arrivals.append(Arrival(headers["webhook-id"], body, headers, worker, status))
            self._changed.notify_all()
        return status, pause

    def wait_for(self, body: bytes, seconds: float) -> None:
        """Until it was sent and answered well."""
        with self._changed:
            assert self._changed.wait_for(
                lambda: any(one.body == body and one.status == 200 for one in self.arrivals), seconds
            )

    def wait_for_more(self, count: int, seconds: float = 60) -> None:
        """So many more arrivals than there are now."""
        with self._changed:
            enough = len(self.arrivals) + count
            assert self._changed.wait_for(lambda: len(self.arrivals) >= enough, seconds)

    def _decide(self, origin: str) -> tuple[int, float]:
        self._turns[origin] += 1
        if not self._rough or origin in self.urls[-1]:
            return 200, 0.0
        pause = 0.05 if self._chance.random() < 0.3 else 0.0
        if origin in self.urls[0]:
            return (500 if self._turns[origin] % 30 >= 24 else 200), pause
        return (500 if self._chance.random() < 0.04 else 200), pause


@contextmanager
def receiving(chance: random.Random, endpoints: int, *, rough: bool) -> Iterator[Receiver]:
    receiver = Receiver(chance, rough=rough)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if len(body) < int(self.headers["Content-Length"]):
                return  # killed while it sent
            headers = {name.lower(): value for name, value in self.headers.items()}
            status, pause = receiver.answer(headers["host"], headers, body)
            time.sleep(pause)
            receiver.gate.wait(30)
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *args: object) -> None:
            pass

    class Doors(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 128

        def handle_error(self, request: object, client_address: object) -> None:
            """Whoever was to be answered was killed."""

    with ExitStack() as open_ones:
        for _ in range(endpoints):
            server = open_ones.enter_context(Doors(("127.0.0.1", 0), Handler))
            receiver.urls.append(f"http://127.0.0.1:{server.server_port}/hook")
            threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
            open_ones.callback(server.shutdown)
        yield receiver


class Producer:
    """A merchant and an operator, who make payments of three events each until `done`.

    Whatever fails while the database is away is looked at again, and goes on where it stands.
    """

    def __init__(self, app: Flask, keys: MerchantKeys, urls: list[str], pace: float) -> None:
        self.count = 0  # of payments
        self.refused = 0  # how often the database was away
        self.done = threading.Event()
        self._app = app
        self._keys = keys
        self._urls = itertools.cycle(urls)
        self._pace = pace

    def run(self) -> None:
        client = self._app.test_client()
        while not self.done.wait(self._pace):
            self.make_one(client)

    def make_one(self, client: FlaskClient) -> int:
        """Its number."""
        number = self.count + 1
        url = next(self._urls)
        while get_wallet(client, self._keys, payment_id=str(number), callback_url=url).status_code != 200:
            self._wait()
        while not self._decide(number):
            self._wait()
        self.count = number
        return number

    def _wait(self) -> None:
        self.refused += 1
        threading.Event().wait(0.05)

    def _decide(self, number: int) -> bool:
        """Records what is still missing. Whether the database let it."""
        try:
            with self._app.app_context():
                with reading() as session:
                    row = session.scalars(select(Payment).filter_by(payment_id=str(number))).one()
                for version, transfer in enumerate(TRANSFERS, start=1):
                    if row.version <= version:
                        decisions.record_transfer(row.id, version, "operator:a", transfer)
        except (*OUTAGES, VersionChanged):  # the latter: it was committed, but nobody heard of it
            return False
        return True


def expected(number: int) -> list[bytes]:
    """The bodies of a payment's events, in order: contract section 5."""
    return [
        f'{{"payment_id": {number}, "confirm_sum": "100", "payment_sum": "500"}}'.encode(),
        f'{{"payment_id": {number}, "confirm_sum": "250", "payment_sum": "500"}}'.encode(),
        f'{{"status": "confirm", "payment_id": "{number}", "confirm_sum": "500"}}'.encode(),
    ]


def is_settled(app: Flask) -> bool:
    with app.app_context(), reading() as session:
        return not session.scalar(select(exists().where(Webhook.state == "due")))


def assert_delivered(app: Flask, keys: MerchantKeys, arrivals: list[Arrival], count: int) -> None:
    """Each event at least once, byte for byte and signed; no payment's events out of order."""
    bodies = {body: (number, place) for number in range(1, count + 1) for place, body in enumerate(expected(number))}
    assert {one.body for one in arrivals if one.status == 200} == set(bodies)
    by_event = {webhook.event_id: webhook.body.encode() for webhook in webhooks(app)}
    assert sorted(by_event.values()) == sorted(bodies)
    answered: dict[int, int] = defaultdict(int)  # how many of a payment's events were answered well
    for one in arrivals:
        assert by_event[one.event] == one.body
        StandardWebhook(keys.payment_secret).verify(one.body, one.headers)
        number, place = bodies[one.body]
        # Each waits for those before it; none comes again when a later one has come.
        assert answered[number] in (place, place + 1), [(a.at, a.body) for a in arrivals if a.event == one.event]
        if one.status == 200:
            answered[number] = place + 1


def assert_recorded(app: Flask, arrivals: list[Arrival]) -> None:
    """The outbox and its log tell the same as the receiver."""
    tried = defaultdict(list)
    for attempt in attempts(app):
        tried[attempt.webhook_id].append(str(attempt.outcome))
    seen = Counter((one.event, str(one.status)) for one in arrivals)
    for webhook in webhooks(app):
        outcomes = Counter(tried[webhook.id])
        assert (webhook.state, webhook.lease, webhook.closed_at is None) == ("delivered", None, False)
        assert 1 <= webhook.attempts <= outcomes.total()
        assert set(outcomes) <= {"200", "500"}
        assert outcomes["200"] >= 1
        for status, times in outcomes.items():
            assert times <= seen[webhook.event_id, status]


def again(arrivals: list[Arrival]) -> list[tuple[Arrival, Arrival]]:
    """Those that came again after an answer that said all was well, each with that earlier one."""
    latest: dict[str, Arrival] = {}
    found = []
    for one in arrivals:
        before = latest.get(one.event)
        if before is not None and before.status == 200:
            found.append((before, one))
        latest[one.event] = one
    return found


@pytest.mark.timeout(300)
def test_killed_200_times_workers_deliver_all_in_order_and_twice_only_around_a_kill(
    app: Flask, env: dict[str, str], tmp_path: Path
) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")  # noqa: T201 - pytest shows it where the test fails
    chance = random.Random(seed)
    keys = make_merchant(app)
    for _ in range(3):
        make_wallet(app)
    killed: dict[int, float] = {}
    with (
        receiving(random.Random(seed), 6, rough=True) as receiver,
        forked_workers(env | CHAOS, tmp_path / "log") as workers,
        ThreadPoolExecutor(1) as threads,
    ):
        producer = Producer(app, keys, receiver.urls, pace=0.05)
        producing = threads.submit(producer.run)
        try:
            alive = [workers.start() for _ in range(WORKERS)]
            for kills in range(KILLS):
                if kills % 10 == 0:
                    receiver.wait_for_more(10)  # however slow the machine is, they get something done
                threading.Event().wait(chance.expovariate(1 / LIVES))
                victim = alive.pop(chance.randrange(WORKERS))
                killed[victim] = time.monotonic()
                os.kill(victim, signal.SIGKILL)
                alive.append(workers.start())
        finally:
            producer.done.set()
        producing.result()
        until(lambda: is_settled(app), SETTLED)
        ended = workers.ended()
        log = workers.log
    arrivals = receiver.arrivals
    assert ended == dict.fromkeys(killed, -signal.SIGKILL)  # and nobody ended otherwise
    assert "Traceback" not in log, log
    assert_delivered(app, keys, arrivals, producer.count)
    assert_recorded(app, arrivals)
    twice = again(arrivals)
    for first, second in twice:
        assert first.worker in killed, "its worker lived, and could have recorded it"
        assert killed[first.worker] <= second.at
        assert second.at - first.at >= LEASE - LAST_SENT
    assert len(twice) <= KILLS * THREADS
    # It was no quiet time: many died who had work, and all that can go wrong did.
    assert len({one.worker for one in arrivals} & set(killed)) >= KILLS / 10
    assert {one.status for one in arrivals} == {200, 500}
    print(f"{len(arrivals)} arrivals, {len(twice)} of them again")  # noqa: T201


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with private_server() as server:
        migrate(server.url)
        yield server


@pytest.fixture
def on_server(server: Server) -> Iterator[Flask]:
    app = create_app(ENV | {"CERBER_DATABASE_URL": server.url})
    app.testing = True
    yield app
    dispose(app)


@pytest.mark.timeout(300)
def test_a_server_restarted_under_load_loses_nothing_and_workers_go_on_within_seconds(
    on_server: Flask, server: Server, tmp_path: Path
) -> None:
    app = on_server
    keys = make_merchant(app)
    for _ in range(3):
        make_wallet(app)
    env = ENV | CHAOS | {"CERBER_DATABASE_URL": server.url}
    with (
        receiving(random.Random(), 4, rough=False) as receiver,
        forked_workers(env, tmp_path / "log") as workers,
        ThreadPoolExecutor(1) as threads,
    ):
        producer = Producer(app, keys, receiver.urls, pace=0.02)
        alive = {workers.start(), workers.start()}
        longest = 0.0  # outage
        for end in (Server.stop, Server.kill) * 3:
            producing = threads.submit(producer.run)
            try:
                receiver.wait_for_more(30)
                receiver.gate.clear()
                receiver.wait_for_more(2)
                refused, ended_at = producer.refused, time.monotonic()
                end(server)
                until(lambda: producer.refused > refused)  # noqa: B023 - it's called here
                receiver.gate.set()  # the answers come while they can't be recorded
                until(lambda: producer.refused > refused + 5)  # noqa: B023
                server.start()
                longest = max(longest, time.monotonic() - ended_at)
            finally:
                receiver.gate.set()
                producer.done.set()
            producing.result()
            producer.done.clear()
            receiver.wait_for(expected(producer.make_one(app.test_client()))[0], seconds=15)
        until(lambda: is_settled(app), SETTLED)
        ended = workers.ended()
        log = workers.log
    arrivals = receiver.arrivals
    assert ended == {}
    assert {one.worker for one in arrivals} == alive
    assert UNEXPECTED not in log, log  # SQLAlchemy shows a traceback where a connection breaks in a transaction
    assert_delivered(app, keys, arrivals, producer.count)
    assert_recorded(app, arrivals)
    # What came of an attempt is kept until it can be recorded, so nothing comes again that a lease still covers.
    assert not again(arrivals) or longest >= LEASE - LAST_SENT
