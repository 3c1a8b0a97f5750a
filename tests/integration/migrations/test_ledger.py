"""Migration 0008 enters the payments that are there, and may be killed at any moment."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from typing import Any

import pytest
from flask import Flask
from flask_migrate import downgrade, upgrade
from sqlalchemy import func, select, update

from cerber.config import ROOT
from cerber.db.engines import db
from cerber.db.transactions import reading
from cerber.ledger.models import LedgerEntry
from cerber.payments import decisions, expiry
from cerber.payments.models import Payment
from tests.support.factories import MerchantKeys, call, make_merchant, open_payment

BEFORE = "0002"
CREATED = ("1970-01-01T00:00:00+23:59", "2999-12-31T23:59:59.999999-23:59", "24.11.2026 11:59", "no date at all")
INTERVALS: tuple[dict[str, str], ...] = (
    {},
    {"end_date": "1970-01-01"},
    {"start_date": "2999-12-31"},
    {"start_date": "2026-11-24T07:58:59.999999Z", "end_date": "2026-11-24T09:00:00.000001Z"},
)


@pytest.fixture
def keys(app: Flask, keys: MerchantKeys) -> MerchantKeys:
    """Payments in all states, and of far times, of the version before."""
    pks = [open_payment(app, keys, payment_id=f"{n}", sum="5", create_time=CREATED[n % 4]) for n in range(12)]
    open_payment(app, make_merchant(app, "shop-2"), payment_id="other", sum="7")
    with app.app_context():
        for pk, amounts in ((pks[0], (500,)), (pks[1], (200,)), (pks[2], (200,)), (pks[3], (900,))):
            for version, amount in enumerate(amounts, start=1):
                decisions.record_transfer(pk, version, "operator:a", amount, f"{pk}-{version}")
        decisions.settle(pks[2], 2, "operator:a")
        decisions.cancel(pks[4], 1, "operator:a")
        db.session.execute(update(Payment).where(Payment.id == pks[5]).values(due_at=Payment.opened_at))
        db.session.commit()
        expiry.expire_due()
    return keys


def balances(app: Flask, keys: MerchantKeys) -> list[dict[str, Any]]:
    answers = [
        call(app.test_client(), "GET", "get_balance", keys.balance_secret, {"merch_id": keys.merch_id} | fields)
        for fields in INTERVALS
    ]
    return [json.loads(answer.text) for answer in answers]


def entries(app: Flask) -> int:
    with app.app_context(), reading() as session:
        return session.scalars(select(func.count()).select_from(LedgerEntry)).one()


def assert_well(app: Flask) -> None:
    result = app.test_cli_runner().invoke(args=["balance", "verify"])
    assert (result.exit_code, result.stdout) == (0, "all is well\n")


def test_payments_of_the_version_before_are_entered(app: Flask, keys: MerchantKeys) -> None:
    before = balances(app, keys)
    with app.app_context():
        downgrade(revision=BEFORE)
        upgrade()
    assert balances(app, keys) == before
    assert entries(app) == 13
    assert_well(app)


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["before", "after"])
def test_killed_around_a_commit_it_goes_on_where_it_was(
    app: Flask, env: dict[str, str], keys: MerchantKeys, moment: str
) -> None:
    before = balances(app, keys)
    with app.app_context():
        downgrade(revision=BEFORE)
    code = f"""
import os
from flask_migrate import upgrade
from sqlalchemy import Engine, event
from wsgi import app
from cerber.cli import migrations
@event.listens_for(Engine, "{moment}_cursor_execute")
def die(connection, cursor, statement, *_):
    if statement == "COMMIT":
        os.kill(os.getpid(), {int(signal.SIGKILL)})
with app.app_context():
    migrations.add_migrations(app)
    upgrade()
"""
    died = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=os.environ | env, check=False, timeout=60)
    assert died.returncode == -signal.SIGKILL
    assert entries(app) == (13 if moment == "after" else 0)
    with app.app_context():
        upgrade()
    assert balances(app, keys) == before
    assert entries(app) == 13
    assert_well(app)
