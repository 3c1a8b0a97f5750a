"""What is thrown away after a while: a batch at a time, by every worker, by `flask deliver --once` too."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from flask import Flask
from sqlalchemy import func, insert, select, update

from cerber.db.engines import db
from cerber.db.transactions import reading
from cerber.operators.models import FailedLogin
from cerber.payments import decisions
from cerber.webhooks.models import Breaker, Endpoint, Worker
from cerber.webhooks.worker import heartbeats, pruning
from tests.support.clock import now
from tests.support.factories import MerchantKeys, make_merchant, open_payment
from tests.support.workers import change, put, worker

HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def count(app: Flask, model: Any) -> int:
    with app.app_context(), reading() as session:
        return session.scalar(select(func.count()).select_from(model)) or 0


def fail(app: Flask, number: int, age: timedelta) -> None:
    rows = [{"username": f"n{n}", "address": "x", "told": False, "at": now() - age} for n in range(number)]
    change(app, insert(FailedLogin).values(rows))


def test_failed_log_ins_of_yesterday_go_in_small_batches(app: Flask) -> None:
    for _ in range(3):
        fail(app, 300, 25 * HOUR)
    fail(app, 7, 23 * HOUR)
    with app.app_context():
        more = [(pruning.prune(), count(app, FailedLogin)) for _ in range(3)]
    assert more == [(True, 407), (False, 7), (False, 7)]


def test_workers_that_are_long_gone_are_forgotten_but_the_last_one(app: Flask) -> None:
    for name, age in (("c", 25 * HOUR), ("a", 9 * DAY), ("b", 3 * DAY)):
        change(app, insert(Worker).values(name=name, started_at=now() - age, heartbeat_at=now() - age))
    with app.app_context():
        pruning.prune()
        last = heartbeats.last_seen()
        assert last is not None
        assert (last.name, count(app, Worker)) == ("c", 1)
        heartbeats.start("new")
        pruning.prune()
        assert count(app, Worker) == 1


def test_endpoints_that_nothing_ever_went_to_are_forgotten_after_ninety_days(app: Flask, keys: MerchantKeys) -> None:
    other = make_merchant(app, "shop-2")
    put(app, keys, "https://sent.example.com/hook", "1")
    open_payment(app, keys, payment_id="1", callback_url="https://open.example.com:443/hook")
    open_payment(app, other, payment_id="2", callback_url="https://idle.example.com/hook")
    with app.app_context():
        merchant = db.session.scalars(select(Endpoint.merchant_id)).first()
        for name in ("idle", "failing", "young"):
            row = Endpoint(merchant_id=merchant, origin=f"https://{name}.example.com", created_at=now())
            db.session.add(row)
            db.session.flush()
            if name == "failing":
                db.session.add(Breaker(endpoint_id=row.id, failures=1, probes=0, why="x"))
        db.session.commit()
    change(app, update(Endpoint).where(Endpoint.origin.not_like("%young%")).values(created_at=now() - 91 * DAY))
    with app.app_context():
        pruning.prune()
        with reading() as session:
            left = session.execute(select(Endpoint.origin, Endpoint.merchant_id == merchant)).all()
    assert sorted((origin.split("//")[1].split(".")[0], bool(mine)) for origin, mine in left) == [
        ("failing", True),
        ("idle", False),
        ("open", True),
        ("sent", True),
        ("young", True),
    ]


def test_a_scheduled_task_prunes_too(app: Flask, env: dict[str, str], keys: MerchantKeys) -> None:
    fail(app, 3, 25 * HOUR)
    with worker(env, "--once") as process:
        assert process.wait(60) == 0
    assert count(app, FailedLogin) == 0


def test_a_payment_whose_endpoint_was_forgotten_is_told_all_the_same(app: Flask, keys: MerchantKeys) -> None:
    key = open_payment(app, keys, callback_url="https://shop.example.com/hook")
    with app.app_context():
        db.session.execute(Endpoint.__table__.delete())
        db.session.commit()
        decisions.cancel(key, 1, "operator:ayla")
    assert count(app, Endpoint) == 1
