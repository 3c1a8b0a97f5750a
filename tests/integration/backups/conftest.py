"""A gateway with something of everything in it, and databases to put it into."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import insert

from cerber.app import create_app
from cerber.backups.tallies import Tally, tables, tally
from cerber.db.engines import db
from cerber.operators import staff
from cerber.payments import decisions
from cerber.webhooks.models import Figure
from cerber.webhooks.worker import heartbeats
from tests.support.databases import dispose, empty_database
from tests.support.factories import MerchantKeys, open_payment
from tests.support.workers import attempts, decide, until


@pytest.fixture
def lived_in(app: Flask, keys: MerchantKeys) -> Flask:
    """Payments in each state, one event delivered in vain and others on their way, an operator, figures."""
    whole, part, cancelled, _ = (
        open_payment(app, keys, payment_id=f"Ödəniş-{number}", sum="10.50", user_wallet=f"wallet-{number}")
        for number in range(4)
    )
    decide(app, whole, 1_000, 50)
    decide(app, part, 400)
    with app.app_context():
        decisions.cancel(cancelled, 1, "operator:anna")
        staff.add("anna", "correct horse battery", "admin", "cli")
        db.session.execute(insert(Figure).values(name="attempts", label="x", value=7))
        db.session.commit()
    until(lambda: run(app, "deliver", "--once", "--seconds", "0.1")[0] == 0 and attempts(app))
    return app


@pytest.fixture
def elsewhere(
    request: pytest.FixtureRequest, env: dict[str, str], tmp_path: Path
) -> Iterator[Callable[[str], Flask]]:
    """Makes a gateway on an empty database of a kind, with the same keys."""
    with ExitStack() as opened:

        def make(kind: str) -> Flask:
            if kind == "mariadb":
                request.getfixturevalue("mysql_url")  # skips where there is no server
            url = opened.enter_context(empty_database(kind, tmp_path))
            app = create_app(env | {"CERBER_DATABASE_URL": url})
            app.testing = True
            opened.callback(dispose, app)
            return app

        yield make


def contents(app: Flask) -> dict[str, Tally]:
    """What each table holds, but for what a copy leaves behind or writes itself."""
    left = {"workers", "silence", "operators", "audit_entries", "webhooks"}
    with app.app_context(), db.engines["reads"].connect() as connection:
        return {table.name: tally(connection, table) for table in tables() if table.name not in left}


def start_worker(app: Flask) -> None:
    with app.app_context():
        heartbeats.start("host:1")


def run(app: Flask, *arguments: str) -> tuple[int, str]:
    """A command; its exit status and all that it said."""
    result = app.test_cli_runner().invoke(args=list(arguments))
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.output
