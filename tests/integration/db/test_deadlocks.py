"""What nobody foresaw: MySQL breaks a deadlock by undoing one of two transactions, or gives a lock too late. That one
runs again, and its caller sees nothing."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from time import monotonic, sleep

import pytest
from flask import Flask
from sqlalchemy import Connection, event, select, text, update
from sqlalchemy.exc import OperationalError

from cerber.db import engines
from cerber.db.engines import db
from cerber.db.transactions import reading, transaction
from cerber.wallets.models import Wallet
from tests.support.factories import make_wallet

_WAITING = text("SELECT trx_state FROM information_schema.innodb_trx WHERE trx_mysql_thread_id = :id")


@pytest.fixture
def rows(app: Flask) -> list[str]:
    """Two wallets to take in opposite orders, and some more that give one of the two transactions more weight."""
    return [make_wallet(app) for _ in range(20)]


def label(connection: Connection, number: str, said: str) -> None:
    connection.execute(update(Wallet).filter_by(number=number).values(label=said))


def wait_until_it_waits(connection_id: int) -> None:
    ends = monotonic() + 10
    with reading() as session:
        while session.scalar(_WAITING, {"id": connection_id}) != "LOCK WAIT":
            assert monotonic() < ends, "the other transaction never came to wait"
            sleep(0.15)  # InnoDB tells what it told before, unless it was left in peace for 0.1 s


@pytest.mark.parametrize("database_url", ["mariadb"], indirect=True)  # SQLite has one lock, and no deadlocks
@pytest.mark.parametrize("nested", [False, True])
def test_the_one_that_is_undone_runs_again(app: Flask, rows: list[str], nested: bool) -> None:
    first, second, *others = rows
    runs: list[int] = []
    taken: list[Future[None]] = []
    with app.app_context(), db.engine.connect() as other, ThreadPoolExecutor(1) as pool:
        for number in (second, *others):  # MySQL undoes the transaction that wrote less
            label(other, number, "other")
        other_id = other.scalar(text("SELECT CONNECTION_ID()"))

        def take_the_first() -> None:
            label(other, first, "other")
            other.commit()

        @transaction
        def take_both() -> None:
            runs.append(len(runs))
            label(db.session.connection(), first, "ours")
            if runs == [0]:
                taken.append(pool.submit(take_the_first))
                wait_until_it_waits(other_id)
            with db.session.begin_nested() if nested else nullcontext():
                label(db.session.connection(), second, "ours")

        take_both()
        taken[0].result(10)
        with reading() as session:
            labels = dict(session.execute(select(Wallet.number, Wallet.label)).all())
    assert runs == [0, 1]
    assert [labels[number] for number in rows] == ["ours", "ours"] + ["other"] * len(others)


class Slow:
    """A use case that needs a lock which another transaction holds. `runs` counts how often it began."""

    def __init__(self, number: str) -> None:
        self._number = number
        self.runs = 0

    @transaction
    def label(self) -> None:
        self.runs += 1
        label(db.session.connection(), self._number, "ours")


@pytest.fixture
def short_waits(app: Flask) -> None:
    """One second in place of LOCK_SECONDS."""
    with app.app_context():
        event.listen(db.engine, "connect", lambda raw, _: raw.cursor().execute("SET innodb_lock_wait_timeout = 1"))


@pytest.mark.usefixtures("short_waits")
@pytest.mark.parametrize("database_url", ["mariadb"], indirect=True)
def test_one_that_was_not_given_its_lock_asks_again(app: Flask, rows: list[str]) -> None:
    slow = Slow(rows[0])
    with app.app_context(), db.engine.connect() as holder, ThreadPoolExecutor(1) as pool:
        label(holder, rows[0], "other")

        def give_free(_: object) -> None:
            if slow.runs == 1:
                holder.rollback()

        event.listen(db.engine, "handle_error", give_free)

        def run() -> None:
            with app.app_context():
                slow.label()

        pool.submit(run).result(10)
        with reading() as session:
            assert session.scalars(select(Wallet.label).filter_by(number=rows[0])).one() == "ours"
    assert slow.runs == 2


@pytest.mark.usefixtures("short_waits")
@pytest.mark.parametrize("database_url", ["mariadb"], indirect=True)
def test_nobody_waits_for_locks_longer_than_a_caller_waits(
    app: Flask, rows: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "BUSY_SECONDS", engines.LOCK_SECONDS)
    slow = Slow(rows[0])
    with app.app_context(), db.engine.connect() as holder:
        label(holder, rows[0], "other")
        with pytest.raises(OperationalError):
            slow.label()
        holder.rollback()
    assert slow.runs == 1
