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
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
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
from tests.support.databases import ENV, dispose
from tests.support.factories import MerchantKeys, get_wallet, make_merchant, make_wallet
from tests.support.forked_workers import ForkedWorkers, forked_workers
from tests.support.mariadb_server import Server
from tests.support.receivers import Arrival, Connection, Receiver
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
class Answered:
    """An arrival, whose it was, and how it was answered."""

    event: str
    body: bytes
    headers: dict[str, str]
    worker: int
    status: int
    at: float


class Servers:
    """One merchant's servers, each of which is an endpoint of its own.

    `rough` ones fail now and then, the first of them six times in a row, which trips its breaker; some answers of
    all but the last are slow. `gate` holds answers back while it is cleared.
    """

    def __init__(self, chance: random.Random, count: int, *, rough: bool) -> None:
        self.arrivals: list[Answered] = []
        self.gate = threading.Event()
        self.gate.set()
        self._chance = chance
        self._rough = rough
        self._turns: Counter[int] = Counter()
        self._changed = threading.Condition()
        self._receivers = [Receiver(partial(self._serve, place)) for place in range(count)]
        self.urls = [receiver.url for receiver in self._receivers]

    def close(self) -> None:
        self.gate.set()
        for receiver in self._receivers:
            receiver.close()

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

    def _serve(self, place: int, connection: Connection) -> None:
        while (arrival := connection.arrival()) is not None:
            status, pause = self._take(place, arrival)
            time.sleep(pause)
            self.gate.wait(30)
            connection.answer(status)

    def _take(self, place: int, arrival: Arrival) -> tuple[int, float]:
        """The status, and after how many seconds."""
        with self._changed:
            status, pause = self._decide(place)
            event, worker = arrival.headers["webhook-id"], int(arrival.headers["user-agent"].split()[1])
            self.arrivals.append(Answered(event, arrival.body, arrival.headers, worker, status, arrival.at))
            self._changed.notify_all()
        return status, pause

    def _decide(self, place: int) -> tuple[int, float]:
        self._turns[place] += 1
        if not self._rough or place == len(self.urls) - 1:
            return 200, 0.0
        pause = 0.05 if self._chance.random() < 0.3 else 0.0
        if place == 0:
            return (500 if self._turns[place] % 30 >= 24 else 200), pause
        return (500 if self._chance.random() < 0.04 else 200), pause


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
                        decisions.record_transfer(row.id, version, "operator:a", transfer, f"{row.id}-{version}")
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


def assert_delivered(app: Flask, keys: MerchantKeys, arrivals: list[Answered], count: int) -> None:
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


def assert_recorded(app: Flask, arrivals: list[Answered]) -> None:
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


def again(arrivals: list[Answered]) -> list[tuple[Answered, Answered]]:
    """Those that came again after an answer that said all was well, each with that earlier one."""
    latest: dict[str, Answered] = {}
    found = []
    for one in arrivals:
        before = latest.get(one.event)
        if before is not None and before.status == 200:
            found.append((before, one))
        latest[one.event] = one
    return found


@contextmanager
def producing(producer: Producer) -> Iterator[None]:
    """It makes payments meanwhile, and has finished the last one at the end."""
    producer.done.clear()
    with ThreadPoolExecutor(1) as threads:
        running = threads.submit(producer.run)
        try:
            yield
        finally:
            producer.done.set()
        running.result()


def kill_often(workers: ForkedWorkers, servers: Servers, chance: random.Random) -> dict[int, float]:
    """Kills workers at random moments, and starts another for each. When each of them was killed."""
    killed: dict[int, float] = {}
    alive = [workers.start() for _ in range(WORKERS)]
    for kills in range(KILLS):
        if kills % 10 == 0:
            servers.wait_for_more(10)  # however slow the machine is, they get something done
        threading.Event().wait(chance.expovariate(1 / LIVES))
        victim = alive.pop(chance.randrange(WORKERS))
        killed[victim] = time.monotonic()
        os.kill(victim, signal.SIGKILL)
        alive.append(workers.start())
    return killed


def assert_again_only_around_a_kill(arrivals: list[Answered], killed: dict[int, float]) -> None:
    twice = again(arrivals)
    for first, second in twice:
        assert first.worker in killed, "its worker lived, and could have recorded it"
        assert killed[first.worker] <= second.at
        assert second.at - first.at >= LEASE - LAST_SENT
    assert len(twice) <= KILLS * THREADS
    print(f"{len(arrivals)} arrivals, {len(twice)} of them again")  # noqa: T201


@pytest.mark.timeout(300)
def test_killed_200_times_workers_deliver_all_in_order_and_twice_only_around_a_kill(
    app: Flask, env: dict[str, str], tmp_path: Path
) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")  # noqa: T201 - pytest shows it where the test fails
    keys = make_merchant(app)
    for _ in range(3):
        make_wallet(app)
    with (
        closing(Servers(random.Random(seed), 6, rough=True)) as servers,
        forked_workers(env | CHAOS, tmp_path / "log") as workers,
    ):
        producer = Producer(app, keys, servers.urls, pace=0.05)
        with producing(producer):
            killed = kill_often(workers, servers, random.Random(seed))
        until(lambda: is_settled(app), SETTLED)
        ended = workers.ended()
        log = workers.log
    arrivals = servers.arrivals
    assert ended == dict.fromkeys(killed, -signal.SIGKILL)  # and nobody ended otherwise
    assert "Traceback" not in log, log
    assert_delivered(app, keys, arrivals, producer.count)
    assert_recorded(app, arrivals)
    assert_again_only_around_a_kill(arrivals, killed)
    # It was no quiet time: many died who had work, and all that can go wrong did.
    assert len({one.worker for one in arrivals} & set(killed)) >= KILLS / 10
    assert {one.status for one in arrivals} == {200, 500}


@pytest.fixture
def on_server(server: Server) -> Iterator[Flask]:
    app = create_app(ENV | {"CERBER_DATABASE_URL": server.url})
    app.testing = True
    yield app
    dispose(app)


def outage(server: Server, end: Callable[[Server], None], servers: Servers, producer: Producer) -> float:
    """Ends the server in the middle of deliveries, and starts it again. For how many seconds it was away."""
    with producing(producer):
        try:
            servers.wait_for_more(30)
            servers.gate.clear()
            servers.wait_for_more(2)
            refused, ended_at = producer.refused, time.monotonic()
            end(server)
            until(lambda: producer.refused > refused)
            servers.gate.set()  # the answers come while they can't be recorded
            until(lambda: producer.refused > refused + 5)
            server.start()
            return time.monotonic() - ended_at
        finally:
            servers.gate.set()


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
        closing(Servers(random.Random(), 4, rough=False)) as servers,
        forked_workers(env, tmp_path / "log") as workers,
    ):
        producer = Producer(app, keys, servers.urls, pace=0.02)
        alive = {workers.start(), workers.start()}
        longest = 0.0
        for end in (Server.stop, Server.kill) * 3:
            longest = max(longest, outage(server, end, servers, producer))
            servers.wait_for(expected(producer.make_one(app.test_client()))[0], seconds=15)
        until(lambda: is_settled(app), SETTLED)
        ended = workers.ended()
        log = workers.log
    arrivals = servers.arrivals
    assert ended == {}
    assert {one.worker for one in arrivals} == alive
    assert UNEXPECTED not in log, log  # SQLAlchemy shows a traceback where a connection breaks in a transaction
    assert_delivered(app, keys, arrivals, producer.count)
    assert_recorded(app, arrivals)
    # What came of an attempt is kept until it can be recorded, so nothing comes again that a lease still covers.
    assert not again(arrivals) or longest >= LEASE - LAST_SENT
