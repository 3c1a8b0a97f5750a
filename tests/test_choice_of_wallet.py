"""Many at once: the choice of a wallet, equal calls, and payments that are due while others ask."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

from flask import Flask
from sqlalchemy import func, select, update

from cerber.context import now
from cerber.database import db, reading
from cerber.models import Payment
from cerber.services import wallets
from tests.factories import bodies, call, get_wallet, make_merchant, make_wallet, open_payment


def make_due(app: Flask) -> None:
    with app.app_context():
        db.session.execute(update(Payment).values(due_at=now() - timedelta(seconds=1)))
        db.session.commit()


def test_payments_of_one_sum_at_once_take_different_wallets(app: Flask) -> None:
    keys = make_merchant(app)
    for _ in range(16):
        make_wallet(app, daily_limit=500_00)
    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda n: get_wallet(app.test_client(), keys, payment_id=f"p{n}"), range(16)))
    assert Counter(answer.status_code for answer in answers) == {200: 16}
    assert len({answer.json["wallet_number"] for answer in answers}) == 16


def test_equal_calls_that_fill_the_wallet_all_get_the_same_answer(app: Flask) -> None:
    make_wallet(app, daily_limit=500_00)
    keys = make_merchant(app)
    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(lambda _: get_wallet(app.test_client(), keys), range(20)))
    assert Counter(answer.status_code for answer in answers) == {200: 20}
    assert len({answer.text for answer in answers}) == 1


def test_nobody_is_told_pending_of_what_is_due(app: Flask) -> None:
    make_wallet(app)
    keys = make_merchant(app)
    open_payment(app, keys)
    make_due(app)
    ask = {"payment_id": "3636363"}
    with ThreadPoolExecutor(8) as pool:
        answers = list(
            pool.map(lambda _: call(app.test_client(), "GET", "get_status", keys.payment_secret, ask), range(8))
        )
    assert Counter(answer.json["status"] for answer in answers) == {"cancel": 8}
    assert len(bodies(app)) == 1


def test_a_long_backlog_of_due_payments_holds_no_room(app: Flask) -> None:
    full, other = make_wallet(app, daily_limit=130_00), make_wallet(app)
    keys = make_merchant(app)
    for number in range(210):
        open_payment(app, keys, payment_id=str(number), sum="1")
    with app.app_context():
        wallets.set_paused(other, paused=True)
    make_due(app)
    answer = get_wallet(app.test_client(), keys, payment_id="next", sum="125")
    assert answer.json["wallet_number"] == full
    with app.app_context(), reading() as session:
        open_ones = session.scalar(select(func.count()).where(Payment.status == "pending"))
    assert open_ones <= 110
