"""Entries and their sums: whoever folds, dies or writes at the same time, each change counts once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import func, insert, select, update
from sqlalchemy.exc import IntegrityError, ProgrammingError

from cerber.app import create_app
from cerber.config import ROOT
from cerber.db.engines import db
from cerber.db.transactions import reading
from cerber.errors import NotPossible, VersionChanged
from cerber.ledger import folding, posting
from cerber.ledger.accounts import Accounts
from cerber.ledger.models import LedgerEntry, LedgerSum
from cerber.ledger.periods import WIDTHS
from cerber.payments import decisions
from cerber.payments.models import Payment
from tests.support import bustle
from tests.support.clock import now
from tests.support.databases import dispose
from tests.support.factories import MerchantKeys, call, make_wallet, open_payment
from tests.support.workers import stop, until, worker

HOUR = datetime(2026, 11, 24, 6, tzinfo=UTC)  # in which the factory's payments are created
IN_SUMS = Accounts(ordered=-500_00, received=200_00, written_off=300_00)


@pytest.fixture
def settled(app: Flask, keys: MerchantKeys) -> int:
    """A payment of 500 that was settled at 200: three entries."""
    key = open_payment(app, keys)
    with app.app_context():
        decisions.record_transfer(key, 1, "operator:a", 200_00)
        decisions.settle(key, 2, "operator:a")
    return key


def entries(app: Flask) -> list[LedgerEntry]:
    with app.app_context(), reading() as session:
        return list(session.scalars(select(LedgerEntry).order_by(LedgerEntry.id)))


def sums(app: Flask) -> list[LedgerSum]:
    with app.app_context(), reading() as session:
        return list(session.scalars(select(LedgerSum).order_by(LedgerSum.width)))


def unfolded(app: Flask) -> int:
    return sum(entry.unfolded_merchant_id is not None for entry in entries(app))


def accounts(row: LedgerEntry | LedgerSum) -> Accounts:
    return Accounts(*(getattr(row, name) for name in Accounts._fields))


def balance(app: Flask, keys: MerchantKeys, **fields: str) -> dict[str, Any]:
    answer = call(app.test_client(), "GET", "get_balance", keys.balance_secret, {"merch_id": keys.merch_id} | fields)
    assert answer.status_code == 200, answer.text
    return dict(json.loads(answer.text))


def test_each_change_of_money_is_an_entry_in_its_transaction(app: Flask, settled: int) -> None:
    assert [(entry.version, accounts(entry)) for entry in entries(app)] == [
        (1, Accounts(ordered=-500_00, expected=500_00)),
        (2, Accounts(expected=-200_00, received=200_00)),
        (3, Accounts(expected=-300_00, written_off=300_00)),
    ]
    assert {entry.hour for entry in entries(app)} == {HOUR}
    assert unfolded(app) == 3


def test_a_change_that_moves_no_money_is_no_entry(app: Flask, keys: MerchantKeys) -> None:
    key = open_payment(app, keys)
    with app.app_context():
        decisions.merchant_update(key, "merchant:shop-1", accept=True)
    assert len(entries(app)) == 1


def test_entries_are_folded_into_one_sum_of_each_width_and_only_once(app: Flask, settled: int) -> None:
    for expected in (3, 0):
        with app.app_context():
            assert folding.fold_all() == expected
        assert [(row.width, accounts(row)) for row in sums(app)] == [(width, IN_SUMS) for width in WIDTHS]
        assert unfolded(app) == 0


def test_later_entries_are_added_to_the_sums(app: Flask, keys: MerchantKeys) -> None:
    key = open_payment(app, keys)
    with app.app_context():
        folding.fold_all()
        decisions.cancel(key, 1, "operator:a")
        folding.fold_all()
    assert {accounts(row) for row in sums(app)} == {Accounts(ordered=-500_00, cancelled=500_00)}


def test_more_than_a_batch_is_folded(app: Flask, settled: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folding, "AT_ONCE", 2)
    with app.app_context():
        assert folding.fold_all(seconds=60) == 3
    assert {accounts(row) for row in sums(app)} == {IN_SUMS}


def test_the_database_refuses_what_does_not_add_up(app: Flask, settled: int) -> None:
    with app.app_context():
        folding.fold_all()
        for statement in (
            insert(LedgerEntry).values(payment_id=settled, version=9, at=now(), hour=HOUR, **_unbalanced()),
            update(LedgerEntry).values(received=LedgerEntry.received + 1),
            insert(LedgerSum).values(merchant_id=1, width=1, start=datetime(2020, 1, 1, tzinfo=UTC), **_unbalanced()),
            update(LedgerSum).values(ordered=0),
        ):
            with pytest.raises(IntegrityError):
                db.session.execute(statement)
            db.session.rollback()


def test_the_database_refuses_a_change_that_is_entered_twice(app: Flask, settled: int) -> None:
    with app.app_context():
        with pytest.raises(IntegrityError):
            posting.post(settled, 1, HOUR, 3, now(), Accounts(expected=-1, received=1))
        db.session.rollback()


def test_a_fold_that_is_killed_before_its_commit_has_done_nothing(
    app: Flask, env: dict[str, str], settled: int, keys: MerchantKeys
) -> None:
    before = balance(app, keys)
    code = f"""
import os
from cerber.ledger import folding
from wsgi import app
def add_and_die(*given, add=folding.add):
    add(*given)
    os.kill(os.getpid(), {int(signal.SIGKILL)})
folding.add = add_and_die
with app.app_context():
    folding.fold_all()
"""
    died = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=os.environ | env, check=False, timeout=60)
    assert died.returncode == -signal.SIGKILL
    assert sums(app) == []
    assert unfolded(app) == 3
    assert balance(app, keys) == before
    with app.app_context():
        assert until(folding.fold_all) == 3  # MySQL may need a moment to see that the other has gone
    assert {accounts(row) for row in sums(app)} == {IN_SUMS}
    assert balance(app, keys) == before


def test_an_entry_that_cannot_be_folded_is_told_and_stops_nothing(
    app: Flask, settled: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: object) -> None:
        raise ProgrammingError("INSERT", {}, Exception("no such table"))

    with app.app_context(), monkeypatch.context() as broken:
        broken.setattr(folding, "add", refuse)
        assert folding.fold_all() == 0
    assert "can't be folded" in caplog.text
    with app.app_context():
        assert folding.fold_all() == 3


@pytest.mark.parametrize("arguments", [(), ("--once",)])
def test_the_worker_folds(app: Flask, env: dict[str, str], settled: int, arguments: tuple[str, ...]) -> None:
    with worker(env, *arguments) as process:
        until(lambda: not unfolded(app))
        if not arguments:
            stop(process)
    assert {accounts(row) for row in sums(app)} == {IN_SUMS}


@pytest.mark.slow
@pytest.mark.parametrize("_round", range(2))
def test_no_moment_shows_more_or_less_than_there_is(app: Flask, keys: MerchantKeys, _round: int) -> None:
    """Operators move sums between the accounts while two workers fold: what was asked for stays the same."""
    for _ in range(7):
        make_wallet(app)
    pks = [open_payment(app, keys, payment_id=str(number), sum="5") for number in range(40)]
    over = threading.Event()
    deciding = [
        partial(bustle.decide, app, [*pks[n::4], *pks[n::4]], n, (NotPossible, VersionChanged)) for n in range(4)
    ]
    folds, reads = [partial(bustle.fold_until, app, over)] * 2, [partial(_read_until, app, keys, 40 * 5, over)] * 2
    done = bustle.all_at_once(deciding, [*folds, *reads], over)
    assert min(done[2:]) > 2
    with app.app_context():
        folding.fold_all(seconds=60)
    assert unfolded(app) == 0
    with app.app_context(), reading() as session:
        rows = session.scalars(select(Payment)).all()
        received, entered = session.execute(select(func.sum(LedgerSum.received), func.count())).one()
    assert entered == len(WIDTHS)
    assert received == len(WIDTHS) * sum(row.received for row in rows)
    assert balance(app, keys)["confirm_sum"] * 100 == sum(row.received for row in rows)


def _read_until(app: Flask, keys: MerchantKeys, whole: int, over: threading.Event) -> int:
    """How often the balance was read, and was whole each time."""
    reads = 0
    interval = {"start_date": "2026-11-24T05:59:59.999999Z", "end_date": "2026-11-24T07:00:00.000001Z"}
    while not over.is_set():
        for fields in ({}, interval):
            assert sum(balance(app, keys, **fields).values()) == whole
            reads += 1
    return reads


@pytest.mark.parametrize("database_url", ["mariadb"], indirect=True)  # on SQLite one writes at a time
def test_sixteen_changes_of_one_merchants_payments_wait_for_no_other(
    app: Flask, env: dict[str, str], keys: MerchantKeys, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of them have made their entry before the first commits, and a worker is in the middle of a fold, too."""
    pks = []
    for number in range(16):
        make_wallet(app)  # each payment takes one that was never used: a wallet's counters are locked by its changes
        pks.append(open_payment(app, keys, payment_id=str(number)))
    with app.app_context():
        for pk in pks[:8]:
            decisions.record_transfer(pk, 1, "operator:a", 1_00, f"{pk}-1")
    _meet_in_the_middle(monkeypatch, threading.Barrier(17))
    other = create_app(env)  # one process has fewer connections than that

    def accept(number: int) -> None:
        with (app if number % 2 else other).app_context():
            decisions.accept(pks[number], 2 if number < 8 else 1, "operator:a", f"{pks[number]}-2")

    def fold() -> int:
        with app.app_context():
            return folding.fold()

    with ThreadPoolExecutor(17) as pool:
        folded = pool.submit(fold)
        list(pool.map(accept, range(16)))
        assert folded.result() == 24
    dispose(other)
    assert balance(app, keys) == {"canceled_sum": 0, "confirm_sum": 16 * 500, "pending_sum": 0}


def _meet_in_the_middle(monkeypatch: pytest.MonkeyPatch, meeting: threading.Barrier) -> None:
    """Whoever has made an entry, or added entries up, waits there for all others before it commits."""

    def then_wait(deed: Callable[..., None]) -> Callable[..., None]:
        def done(*given: Any) -> None:
            deed(*given)
            meeting.wait(20)

        return done

    monkeypatch.setattr(posting, "post", then_wait(posting.post))
    monkeypatch.setattr(folding, "add", then_wait(folding.add))


def _unbalanced() -> dict[str, int]:
    return Accounts(ordered=-500, expected=499)._asdict()
