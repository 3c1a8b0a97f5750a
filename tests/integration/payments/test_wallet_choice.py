"""Many at once: the choice of a wallet, equal calls, and payments that are due while others ask."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import Connection, event, insert, select, text, update

from cerber.db.engines import db
from cerber.db.transactions import reading
from cerber.merchants import accounts
from cerber.merchants.models import Merchant
from cerber.payments import decisions, expiry, opening
from cerber.payments.models import Payment
from cerber.wallets import registry
from cerber.wallets.models import Wallet
from tests.support.clock import now
from tests.support.factories import CALLBACK, bodies, call, get_wallet, make_merchant, make_wallet, open_payment
from tests.support.workers import until


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


def test_all_wallets_are_filled_and_none_beyond_its_limit(app: Flask) -> None:
    keys = make_merchant(app)
    for _ in range(4):
        make_wallet(app, daily_limit=500_00)
    with ThreadPoolExecutor(12) as pool:
        answers = list(
            pool.map(lambda n: get_wallet(app.test_client(), keys, payment_id=f"p{n}", sum="100"), range(40))
        )
    assert Counter(answer.status_code for answer in answers) == {200: 20, 503: 20}
    assert {answer.json["code"] for answer in answers if answer.status_code == 503} == {"no_wallet_available"}
    with app.app_context(), reading() as session:
        assert session.scalars(select(Wallet.expected)).all() == [500_00] * 4


@contextmanager
def held(app: Flask, number: str) -> Iterator[Connection]:
    """The wallet, locked by somebody who decides."""
    with app.app_context(), db.engine.connect() as connection:
        connection.execute(select(Wallet.id).filter_by(number=number).with_for_update())
        yield connection
        connection.rollback()


@pytest.mark.parametrize(
    "database_url", ["mariadb"], indirect=True
)  # on SQLite one transaction after the other writes
def test_a_wallet_that_another_is_changing_keeps_nobody_waiting(app: Flask) -> None:
    first, second = make_wallet(app), make_wallet(app)
    keys = make_merchant(app)
    with held(app, first):
        assert get_wallet(app.test_client(), keys).json["wallet_number"] == second


@pytest.mark.parametrize("database_url", ["mariadb"], indirect=True)
@pytest.mark.parametrize("used", [False, True])
def test_the_only_wallet_free_of_the_sum_is_waited_for(app: Flask, used: bool) -> None:
    """`used`: who holds it takes it for the same sum. Then both have it under way, and the other was used before."""
    shared, free = make_wallet(app), make_wallet(app)
    keys = make_merchant(app)
    open_payment(app, keys, payment_id="1")
    with held(app, free) as holder, ThreadPoolExecutor(1) as pool:
        answer = pool.submit(get_wallet, app.test_client(), keys, payment_id="2")
        wait_until_one_waits_for(app, holder)
        if used:
            with app.app_context(), reading() as session:
                row = dict(session.execute(select(Payment.__table__)).mappings().one())
                pk = session.scalars(select(Wallet.id).filter_by(number=free)).one()
            holder.execute(update(Wallet).filter_by(id=pk).values(last_used_at=now()))
            holder.execute(insert(Payment.__table__).values(row | {"id": 99, "payment_id": "0", "wallet_id": pk}))
        holder.commit()
        taken = answer.result(20).json["wallet_number"]
    assert taken == (shared if used else free)


WAITS_FOR = text(
    "SELECT count(*) FROM information_schema.innodb_lock_waits JOIN information_schema.innodb_trx ON trx_id = "
    "blocking_trx_id WHERE trx_mysql_thread_id = :holder"
)


def wait_until_one_waits_for(app: Flask, holder: Connection) -> None:
    holder_id = holder.scalar(text("SELECT CONNECTION_ID()"))
    with app.app_context(), reading() as session:
        # InnoDB tells what it told before, unless it was left in peace for 0.1 s
        until(lambda: session.scalar(WAITS_FOR, {"holder": holder_id}), every=0.15)


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
        registry.set_paused(other, "cli", paused=True)
    make_due(app)
    answer = get_wallet(app.test_client(), keys, payment_id="next", sum="125")
    assert answer.json["wallet_number"] == full


def test_a_due_payment_holds_no_room_though_another_wallet_has_some(app: Flask) -> None:
    turn = make_wallet(app, daily_limit=500_00)
    make_wallet(app)
    keys = make_merchant(app)
    open_payment(app, keys, payment_id="1", sum="500")
    open_payment(app, keys, payment_id="2", sum="300")
    make_due(app)
    answer = get_wallet(app.test_client(), keys, payment_id="next", sum="400")
    assert answer.json["wallet_number"] == turn


def test_a_due_payment_counts_once_when_it_expires_at_last(app: Flask) -> None:
    make_wallet(app, daily_limit=500_00)
    keys = make_merchant(app)
    due = open_payment(app, keys)
    make_due(app)
    open_payment(app, keys, payment_id="2", sum="499")
    assert get_wallet(app.test_client(), keys, payment_id="3", sum="1.01").status_code == 503
    with app.app_context():
        expiry.expire(due)
    assert get_wallet(app.test_client(), keys, payment_id="3", sum="1.01").status_code == 503
    assert get_wallet(app.test_client(), keys, payment_id="4", sum="1").status_code == 200


def test_what_is_confirming_keeps_its_room_after_its_time(app: Flask) -> None:
    make_wallet(app, daily_limit=500_00)
    keys = make_merchant(app)
    key = open_payment(app, keys)
    with app.app_context():
        decisions.merchant_update(key, "merchant:shop-1", accept=True)
    make_due(app)
    assert get_wallet(app.test_client(), keys, payment_id="2", sum="1").status_code == 503


def test_a_due_payment_holds_its_sum_as_a_cancelled_one_does(app: Flask) -> None:
    held, other = make_wallet(app), make_wallet(app)
    keys = make_merchant(app)
    open_payment(app, keys, payment_id="1", sum="7")
    open_payment(app, keys, payment_id="2", sum="8")
    make_due(app)
    assert get_wallet(app.test_client(), keys, payment_id="3", sum="7").json["wallet_number"] == other
    assert get_wallet(app.test_client(), keys, payment_id="4", sum="9").json["wallet_number"] == held


@pytest.mark.parametrize("capped", [False, True])
def test_a_payment_is_opened_in_few_statements(app: Flask, capped: bool) -> None:
    """Each is a round trip, and most are inside a transaction that others may wait for."""
    make_wallet(app, daily_limit=500_00)
    open_payment(app, make_merchant(app), sum="400")
    make_due(app)
    seen: list[str] = []
    with app.app_context():
        with reading() as session:
            merchant = session.scalars(select(Merchant.id)).one()
        accounts.limit_open("shop-1", None if capped else 0, "cli")
        for engine in db.engines.values():
            event.listen(engine, "before_cursor_execute", lambda *about: seen.append(about[2]))
        opening.open_payment(merchant, opening.Opening("next", "99450", 400_00, CALLBACK, None, "now"))
        counting = {"sqlite": 1, "mysql": 2}[db.engine.dialect.name] if capped else 0
    assert len(seen) == 5 + counting, seen
