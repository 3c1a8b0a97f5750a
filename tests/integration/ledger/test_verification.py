"""`flask balance verify`: what was damaged is found, told and mended, while others go on writing."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select, text

from cerber.audit.models import AuditEntry
from cerber.cli import balance as command
from cerber.db.engines import db
from cerber.db.transactions import reading
from cerber.errors import CerberError
from cerber.ledger import folding, posting
from cerber.payments import books, decisions, mending, verification
from cerber.payments.models import Payment
from cerber.payments.verification import Place
from tests.support import bustle
from tests.support.factories import MerchantKeys, call, make_merchant, make_wallet, open_payment

HOUR = "2026-11-24T06:00Z"
PERIODS = [
    f"merch_id shop-1, start {start}T00:00Z, hours {hours}"
    for start, hours in (("2026-11-24", 24), ("2026-11-11", 768), ("2026-01-27", 24576))
]
ALL = "-1000 ordered, +500 expected, +200 received, +300 written off"
NONE = "+1000 ordered, -500 expected, -200 received, -300 written off"
# What is done to the database, and what is said of it.
DAMAGES = {
    "an entry is gone": (
        "DELETE FROM ledger_entries WHERE version = 2 AND payment_id = {key}",
        ["payment (merch_id shop-1, payment_id settled) lacks -200 expected, +200 received"],
    ),
    "an entry says something else": (
        "UPDATE ledger_entries SET received = received - 500, cancelled = cancelled + 500 WHERE payment_id = {key} "
        "AND version = 3",
        ["payment (merch_id shop-1, payment_id settled) lacks +5 received, -5 cancelled"],
    ),
    "an hour's sum says something else": (
        "UPDATE ledger_sums SET expected = expected + 1, ordered = ordered - 1 WHERE width = 1 AND merchant_id = 1",
        [
            f"hour (merch_id shop-1, start {HOUR}, hours 1) lacks +0.01 ordered, -0.01 expected",
            *(f"period ({period}) lacks -0.01 ordered, +0.01 expected" for period in PERIODS),
        ],
    ),
    "an hour's sum is gone": (
        "DELETE FROM ledger_sums WHERE width = 1 AND merchant_id = 1",
        [
            f"hour (merch_id shop-1, start {HOUR}, hours 1) lacks {ALL}",
            *(f"period ({period}) lacks {NONE}" for period in PERIODS),
        ],
    ),
    "a day's sum is gone": (
        "DELETE FROM ledger_sums WHERE width = 24 AND merchant_id = 1",
        [f"period ({PERIODS[0]}) lacks {ALL}"],
    ),
    "there is a sum of nothing": (
        "INSERT INTO ledger_sums SELECT merchant_id, 24, 24, ordered, expected, received, written_off, cancelled, "
        "overpaid FROM ledger_sums WHERE width = 24 AND merchant_id = 1",
        [f"period (merch_id shop-1, start 1970-01-02T00:00Z, hours 24) lacks {NONE}"],
    ),
    "a wallet expects too much": (
        "UPDATE wallets SET expected = expected + 7 WHERE number = '99450'",
        ["wallet (number 99450) lacks -0.07 expected"],
    ),
    "an entry is marked that is in no sum": (
        "UPDATE ledger_entries SET unfolded_merchant_id = NULL",
        [
            f"hour (merch_id shop-2, start {HOUR}, hours 1) lacks -3 ordered, +3 expected",
        ],
    ),
}


@pytest.fixture
def keys(app: Flask) -> Iterator[MerchantKeys]:
    """Two merchants; of the first a payment of 500 that was settled at 200 and an open one, folded."""
    make_wallet(app, "99450")
    keys = make_merchant(app)
    settled = open_payment(app, keys, payment_id="settled")
    open_payment(app, keys, payment_id="open")
    with app.app_context():
        decisions.record_transfer(settled, 1, "operator:a", 200_00, "M10-1")
        decisions.settle(settled, 2, "operator:a")
        folding.fold_all()
    open_payment(app, make_merchant(app, "shop-2"), payment_id="other", sum="3")
    return keys


def verify(app: Flask, *options: str) -> tuple[int, list[str]]:
    result = app.test_cli_runner().invoke(args=["balance", "verify", *options])
    assert result.stderr == ""
    return result.exit_code, result.stdout.splitlines()


def damage(app: Flask, statement: str) -> None:
    with app.app_context():
        key = db.session.scalar(select(Payment.id).filter_by(payment_id="settled"))
        merchants = db.session.scalar(select(Payment.merchant_id).filter_by(payment_id="settled"))
        db.session.execute(text(statement.replace("merchant_id = 1", f"merchant_id = {merchants}").format(key=key)))
        db.session.commit()


def balance(app: Flask, keys: MerchantKeys) -> dict[str, Any]:
    answer = call(app.test_client(), "GET", "get_balance", keys.balance_secret, {"merch_id": keys.merch_id})
    return dict(json.loads(answer.text))


def test_good_books_are_found_well(app: Flask, keys: MerchantKeys) -> None:
    assert verify(app) == (0, ["all is well"])
    assert verify(app, "--json") == (0, [])


@pytest.mark.parametrize("what", DAMAGES)
def test_what_is_wrong_is_told_and_mended(app: Flask, keys: MerchantKeys, what: str) -> None:
    statement, told = DAMAGES[what]
    right = balance(app, keys)
    damage(app, statement)
    assert verify(app) == (1, [*told, f"{len(told)} wrong, 0 mended"])
    _, mended = verify(app, "--repair")
    assert mended[0] == f"{told[0]}, mended"
    assert verify(app) == (0, ["all is well"])
    assert balance(app, keys) == right
    with app.app_context(), reading() as session:
        actors = session.scalars(select(AuditEntry.actor).where(AuditEntry.action.startswith("mend_"))).all()
    assert set(actors) == {"cli"}


def test_a_payment_that_differs_from_its_transfers_is_told_and_left_to_a_person(
    app: Flask, keys: MerchantKeys
) -> None:
    damage(app, "UPDATE transfers SET sum = sum + 1")
    told = "transfers (merch_id shop-1, payment_id settled) lacks +0.01 received"
    for options in ((), ("--repair",)):
        assert verify(app, *options) == (1, [told, "1 wrong, 0 mended"])


def test_it_is_told_as_json_too(app: Flask, keys: MerchantKeys) -> None:
    damage(app, DAMAGES["a wallet expects too much"][0])
    code, (line,) = verify(app, "--repair", "--json")
    assert code == 0
    assert json.loads(line) == {
        "wrong": "wallet",
        "where": {"number": "99450"},
        "lacks": {"expected": "-0.07"},
        "mended": True,
    }


def test_what_a_process_of_the_version_before_wrote_is_mended(
    app: Flask, keys: MerchantKeys, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It knows no entries. The payments that it opened go on in the new one."""
    with monkeypatch.context() as before:
        before.setattr(posting, "post", lambda *_: None)
        old = open_payment(app, keys, payment_id="old", sum="30")
    with app.app_context():
        decisions.record_transfer(old, 1, "operator:a", 10_00, "M10-old")
    assert balance(app, keys) == {"canceled_sum": 300, "confirm_sum": 210, "pending_sum": 490}
    assert verify(app, "--repair")[0] == 0
    assert balance(app, keys) == {"canceled_sum": 300, "confirm_sum": 210, "pending_sum": 520}
    assert verify(app) == (0, ["all is well"])
    with app.app_context():
        decisions.settle(old, 3, "operator:a")  # the page is shown anew: the mending was a change, too
    assert verify(app) == (0, ["all is well"])


def test_two_who_mend_the_same_add_it_once(app: Flask, keys: MerchantKeys) -> None:
    for what in ("an entry is gone", "an hour's sum is gone", "a wallet expects too much"):
        damage(app, DAMAGES[what][0])
    with app.app_context():
        found = [wrong for part in verification.walk(Place()) for wrong in part.wrong]
    start = threading.Barrier(2)

    def mend() -> None:
        with app.app_context():
            start.wait(10)
            for wrong in found:
                mending.mend(wrong, "cli")

    with ThreadPoolExecutor(2) as pool:
        for mended in [pool.submit(mend) for _ in range(2)]:
            mended.result(60)
    assert verify(app) == (0, ["all is well"])


def test_it_goes_through_all_parts_and_on_from_each(
    app: Flask, keys: MerchantKeys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(books, "AT_ONCE", 1)
    for created in ("2026-11-24T10:59:59+04:00", "2026-11-25T12:00:00+04:00", "2999-12-31", "1970-01-01"):
        open_payment(app, keys, payment_id=created, create_time=created)
    damage(app, "UPDATE ledger_sums SET expected = expected + 1, ordered = ordered - 1 WHERE width = 24576")
    with app.app_context():
        parts = list(verification.walk(Place()))
    assert {part.place.stage for part in parts} == {"payments", "hours", "periods", "wallets"}
    assert sum(part.place.stage == "payments" for part in parts) >= 7
    places = [part.place for part in parts]
    for number, place in enumerate(places):
        assert Place.parse(str(place)) == place
        with app.app_context():
            assert [part.place for part in verification.walk(place)] == places[number:]
    (wrong,) = [part for part in parts if part.wrong]
    assert verify(app, "--from", str(wrong.place))[0] == 1
    assert verify(app, "--from", str(places[-1]))[0] == 0


def test_stopped_it_tells_where_to_go_on(app: Flask, keys: MerchantKeys, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(since: Place, walk: Callable[..., Any] = verification.walk) -> Iterator[Any]:
        for part in walk(since):
            yield part
            if part.place.stage == "hours":
                raise KeyboardInterrupt

    monkeypatch.setattr(verification, "walk", stopped)
    monkeypatch.setattr(command, "TOLD_EVERY", 0.0)
    result = app.test_cli_runner().invoke(args=["balance", "verify"])
    assert result.exit_code == 1
    *_, told, last = result.stderr.splitlines()
    place = told.removeprefix("at ")
    assert last == f"Error: Stopped. Go on with --from {place}"
    monkeypatch.undo()
    assert verify(app, "--from", place) == (0, ["all is well"])


def test_nothing_is_found_wrong_nor_spoilt_while_others_write(app: Flask, keys: MerchantKeys) -> None:
    for _ in range(3):
        make_wallet(app)
    pks = [open_payment(app, keys, payment_id=str(number), sum="5") for number in range(24)]
    with app.app_context(), reading() as session:
        first = session.get_one(Payment, pks[0])
        hour = books.Key(first.merchant_id, 1, first.create_time)
    over = threading.Event()

    def verify_and_mend() -> int:
        """Mends parts that are well, as if they weren't."""
        walks = 0
        while not over.is_set():
            with app.app_context():
                for part in verification.walk(Place()):
                    assert part.wrong == []
                mending.mend(books.Wrong(books.Kind.HOUR, hour, books.NOTHING), "cli")
                mending.mend(books.Wrong(books.Kind.PAYMENT, books.Key(pks[0]), books.NOTHING), "cli")
            walks += 1
        return walks

    deciding = [partial(bustle.decide, app, pks[n::3] * 3, n, (CerberError,)) for n in range(3)]
    _, walks = bustle.all_at_once(deciding, [partial(bustle.fold_until, app, over), verify_and_mend], over)
    assert walks > 0
    assert verify(app) == (0, ["all is well"])


def test_doctor_runs_a_sample(app: Flask, keys: MerchantKeys) -> None:
    assert doctor(app)["ok"]
    for what in ("an entry is gone", "an hour's sum is gone", "a wallet expects too much"):
        damage(app, DAMAGES[what][0])
        found = doctor(app)
        assert not found["ok"]
        assert found["message"].endswith(": run `flask balance verify --repair`")
        verify(app, "--repair")
        assert doctor(app)["ok"]


def test_doctor_tells_when_nobody_folds(app: Flask, keys: MerchantKeys) -> None:
    assert "1 entries wait" in doctor(app)["message"]
    damage(app, "UPDATE ledger_entries SET at = '2020-01-01 00:00:00.000000' WHERE unfolded_merchant_id IS NOT NULL")
    found = doctor(app)
    assert not found["ok"]
    assert "start `flask deliver`" in found["message"]


def doctor(app: Flask) -> dict[str, Any]:
    result = app.test_cli_runner().invoke(args=["doctor", "--json"])
    (found,) = [check for check in json.loads(result.stdout)["checks"] if check["name"] == "books"]
    return dict(found)
