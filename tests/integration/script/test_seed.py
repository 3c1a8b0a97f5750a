"""script/seed: a history that could have happened, on either database."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select, text

from cerber import signing
from cerber.app import create_app
from cerber.config import ROOT
from cerber.db.engines import db
from cerber.db.transactions import read_connection
from tests.support.databases import ENV, dispose
from tests.support.factories import call
from tests.support.seeded import Seeded, empty, seed, seeded, told

pytestmark = pytest.mark.slow

PAYMENTS = 3_000
UNTIL = "2026-11-24T20:00:00+04:00"
AS_ASKED = ("--payments", str(PAYMENTS), "--merchants", "4", "--days", "30", "--until", UNTIL)

# What holds of every history. Each query finds the rows of which it doesn't.
HOLDS = {
    "a wallet expects what its open payments lack": """
        SELECT w.id FROM wallets w WHERE w.expected <> (SELECT COALESCE(SUM(p.sum - p.received), 0) FROM payments p
        WHERE p.wallet_id = w.id AND p.status IN ('pending', 'confirming'))""",
    "a wallet received today what was recorded since midnight in Baku": """
        SELECT w.id FROM wallets w WHERE w.received_on <> '2026-11-24' OR w.received_today <>
        (SELECT COALESCE(SUM(t.sum), 0) FROM transfers t WHERE t.wallet_id = w.id AND t.voided_at IS NULL
        AND t.recorded_at >= '2026-11-23 20:00:00.000000')""",
    "a wallet was last used by its newest payment": """
        SELECT w.id FROM wallets w
        WHERE w.last_used_at <> (SELECT MAX(p.opened_at) FROM payments p WHERE p.wallet_id = w.id)""",
    "a payment received the transfers that were not voided": """
        SELECT p.id FROM payments p WHERE p.received <>
        (SELECT COALESCE(SUM(t.sum), 0) FROM transfers t WHERE t.payment_id = p.id AND t.voided_at IS NULL)""",
    "a transfer came to the wallet of its payment": """
        SELECT t.id FROM transfers t JOIN payments p ON p.id = t.payment_id WHERE t.wallet_id <> p.wallet_id""",
    "each change is in the audit log, and raised the version": """
        SELECT p.id FROM payments p
        WHERE p.version - 1 <> (SELECT COUNT(*) FROM audit_entries a WHERE a.payment_id = p.id)""",
    "the last webhook of a closed payment says how it ended": """
        SELECT p.id FROM payments p WHERE p.closed_at IS NOT NULL AND COALESCE(
        (SELECT w.kind FROM webhooks w WHERE w.payment_id = p.id ORDER BY w.id DESC LIMIT 1), '') <> p.status""",
    "a payment is accepted once at most": """
        SELECT w.payment_id FROM webhooks w WHERE w.kind = 'accept' GROUP BY w.payment_id HAVING COUNT(*) > 1""",
    "nothing is left to send": """
        SELECT id FROM webhooks WHERE state = 'due' OR closed_at IS NULL OR closed_at < created_at""",
    "each attempt is in the log": """
        SELECT w.id FROM webhooks w
        WHERE w.attempts <> (SELECT COUNT(*) FROM webhook_attempts a WHERE a.webhook_id = w.id)""",
    "what was delivered was answered, what was given up was not": """
        SELECT w.id FROM webhooks w WHERE (w.state = 'delivered') <>
        EXISTS (SELECT 1 FROM webhook_attempts a WHERE a.webhook_id = w.id AND a.outcome = '200')""",
    "the webhooks of a payment went out one after the other": """
        SELECT b.id FROM webhooks a JOIN webhooks b ON b.payment_id = a.payment_id AND b.id > a.id
        JOIN webhook_attempts t ON t.webhook_id = b.id WHERE t.at < a.closed_at""",
    "an open payment is not due": """
        SELECT id FROM payments WHERE status = 'pending' AND due_at <= '2026-11-24 16:00:00.000000'""",
    "a payment holds its sum for a day after its end": """
        SELECT id FROM payments WHERE holds_sum_until <= COALESCE(closed_at, opened_at)""",
    "payments' keys rise with time": """
        SELECT a.id FROM payments a JOIN payments b ON b.id = a.id + 1 WHERE b.opened_at < a.opened_at""",
    "webhooks' keys rise with time": """
        SELECT a.id FROM webhooks a JOIN webhooks b ON b.id = a.id + 1 WHERE b.created_at < a.created_at""",
    "the audit log's keys rise with time": """
        SELECT a.id FROM audit_entries a JOIN audit_entries b ON b.id = a.id + 1 WHERE b.at < a.at""",
    "the ledger's entries of a payment add up to where its sum stands": """
        SELECT p.id FROM payments p JOIN ledger_entries e ON e.payment_id = p.id
        GROUP BY p.id, p.sum, p.received, p.status HAVING SUM(e.ordered) <> -p.sum OR SUM(e.received) <> p.received
        OR SUM(e.cancelled) <> CASE p.status WHEN 'cancel' THEN p.sum ELSE 0 END
        OR SUM(e.written_off) <> CASE WHEN p.status = 'accept' AND p.received < p.sum
        THEN p.sum - p.received ELSE 0 END
        UNION ALL SELECT p.id FROM payments p LEFT JOIN ledger_entries e ON e.payment_id = p.id WHERE e.id IS NULL""",
    "the ledger's sums are those of its entries": """
        SELECT width FROM ledger_sums GROUP BY width
        HAVING SUM(received) <> (SELECT SUM(received) FROM ledger_entries)
        OR SUM(expected) <> (SELECT SUM(expected) FROM ledger_entries)""",
    "every row names rows that are there": """
        SELECT t.id FROM transfers t LEFT JOIN payments p ON p.id = t.payment_id WHERE p.id IS NULL
        UNION ALL SELECT w.id FROM webhooks w LEFT JOIN payments p ON p.id = w.payment_id
        LEFT JOIN endpoints e ON e.id = w.endpoint_id AND e.merchant_id = w.merchant_id
        WHERE p.id IS NULL OR e.id IS NULL OR w.merchant_id <> p.merchant_id
        UNION ALL SELECT a.id FROM webhook_attempts a LEFT JOIN webhooks w ON w.id = a.webhook_id WHERE w.id IS NULL
        UNION ALL SELECT p.id FROM payments p LEFT JOIN merchants m ON m.id = p.merchant_id
        LEFT JOIN wallets w ON w.id = p.wallet_id WHERE m.id IS NULL OR w.id IS NULL""",
}
BODIES = "SELECT w.body, p.payment_id, p.received FROM webhooks w JOIN payments p ON p.id = w.payment_id"
TOTALS = """
    SELECT m.merch_id, SUM(CASE WHEN p.received > p.sum THEN p.received ELSE p.sum END) AS total
    FROM payments p JOIN merchants m ON m.id = p.merchant_id GROUP BY m.merch_id"""
# What a history of this size has of everything. Each query counts.
HAS = {
    "all payments": ("SELECT COUNT(*) FROM payments", PAYMENTS),
    "open payments": ("SELECT COUNT(*) FROM payments WHERE status = 'pending'", 1),
    "payments that wait for a person": ("SELECT COUNT(*) FROM payments WHERE status = 'confirming'", 1),
    "accepted payments": ("SELECT COUNT(*) FROM payments WHERE status = 'accept'", PAYMENTS // 2),
    "payments that expired": ("SELECT COUNT(*) FROM payments WHERE cancel_cause = 'expired'", PAYMENTS // 20),
    "cancels by merchants": ("SELECT COUNT(*) FROM payments WHERE cancel_cause = 'merchant'", PAYMENTS // 50),
    "cancels by operators": ("SELECT COUNT(*) FROM payments WHERE cancel_cause = 'operator'", PAYMENTS // 100),
    "late money": ("SELECT COUNT(*) FROM payments WHERE status = 'accept' AND cancel_cause IS NOT NULL", 20),
    "settlements": ("SELECT COUNT(*) FROM payments WHERE status = 'accept' AND received < sum", 50),
    "money too much": ("SELECT COUNT(*) FROM payments WHERE received > sum", 20),
    "parts": ("SELECT COUNT(*) FROM webhooks WHERE kind = 'change_sum'", 100),
    "voids": ("SELECT COUNT(*) FROM transfers WHERE voided_at IS NOT NULL", 10),
    "transfers with a reference": ("SELECT COUNT(*) FROM transfers WHERE live_reference IS NOT NULL", 500),
    "transfers without one": ("SELECT COUNT(*) FROM transfers WHERE reference IS NULL", 500),
    "webhooks that were given up": ("SELECT COUNT(*) FROM webhooks WHERE state = 'given_up'", 10),
    "webhooks that took several attempts": (
        "SELECT COUNT(*) FROM webhooks WHERE state = 'delivered' AND attempts > 1",
        50,
    ),
    "dates that can't be read": ("SELECT COUNT(*) FROM payments WHERE NOT create_time_read", 1),
    "merchants": ("SELECT COUNT(DISTINCT merchant_id) FROM payments", 4),
    "wallets": ("SELECT COUNT(DISTINCT wallet_id) FROM payments", 20),
    "spellings of payers": ("SELECT COUNT(DISTINCT LENGTH(user_wallet)) FROM payments", 4),
}


@pytest.fixture(scope="module", params=["sqlite", "mariadb"])
def history(
    request: pytest.FixtureRequest, sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Seeded]:
    with seeded(request.param, sqlite_template, tmp_path_factory.mktemp("seed"), *AS_ASKED) as made:
        yield made


@pytest.fixture
def app(history: Seeded) -> Iterator[Flask]:
    app = create_app(history.env)
    yield app
    dispose(app)


def asked(app: Flask, query: str) -> list[Any]:
    with app.app_context(), read_connection() as connection:
        return list(connection.execute(text(query)).all())


def everything(app: Flask, table: str) -> list[Any]:
    with app.app_context(), read_connection() as connection:
        return list(connection.execute(select(db.metadata.tables[table]).order_by("id")).all())


@pytest.mark.parametrize("what", HOLDS)
def test_it_holds_that(app: Flask, what: str) -> None:
    assert asked(app, HOLDS[what]) == []


@pytest.mark.parametrize("what", HAS)
def test_there_are(app: Flask, what: str) -> None:
    query, least = HAS[what]
    assert asked(app, query)[0][0] >= least


def test_each_body_says_what_its_payment_had_received(app: Flask) -> None:
    rows = asked(app, BODIES)
    assert all(str(json.loads(row.body)["payment_id"]) == row.payment_id for row in rows)
    final = asked(app, f"{BODIES} WHERE w.kind = 'accept'")
    assert all(round(float(json.loads(row.body)["confirm_sum"]) * 100) == row.received for row in final)


def test_its_merchants_can_ask_for_their_balance(app: Flask, history: Seeded) -> None:
    assert [keys.merch_id for keys in history.merchants] == ["seed-1", "seed-2", "seed-3", "seed-4"]
    totals = {row.merch_id: row.total for row in asked(app, TOTALS)}
    for keys in history.merchants:
        answer = call(app.test_client(), "GET", "get_balance", keys.balance_secret, {"merch_id": keys.merch_id})
        assert answer.status_code == 200
        assert round(sum(answer.get_json().values()) * 100) == totals[keys.merch_id]


def test_a_second_history_is_refused_and_told_where_to_go(history: Seeded) -> None:
    again = seed(history.url, *AS_ASKED)
    assert (again.returncode, again.stdout) == (1, "")
    (line,) = again.stderr.splitlines()
    assert "already" in line
    assert "flask db upgrade" in line


def test_the_same_number_makes_the_same_history(
    history: Seeded, app: Flask, sqlite_template: Path, tmp_path: Path
) -> None:
    with seeded("sqlite", sqlite_template, tmp_path, *AS_ASKED) as same:
        other = create_app(same.env)
        for table in ("payments", "transfers", "webhook_attempts", "audit_entries", "webhooks"):
            assert everything(app, table) == everything(other, table)
        dispose(other)


@pytest.fixture
def url(sqlite_template: Path, tmp_path: Path) -> Iterator[str]:
    with empty("sqlite", sqlite_template, tmp_path) as made:
        yield made


def test_the_first_merchant_may_bring_its_secrets(url: str) -> None:
    given = {"payment_secret": signing.new_secret(), "balance_secret": signing.new_secret()}
    finished = seed(url, "--payments", "20", "--merchants", "2", "--secrets-stdin", stdin=json.dumps(given))
    assert [keys.merch_id for keys in told(finished)] == ["seed-2"]
    app = create_app(ENV | {"CERBER_DATABASE_URL": url})
    answer = call(app.test_client(), "GET", "get_balance", given["balance_secret"], {"merch_id": "seed-1"})
    assert answer.status_code == 200
    dispose(app)


def test_the_script_itself_shows_its_progress_and_keeps_to_what_is_there(url: str) -> None:
    env = os.environ | ENV | {"CERBER_DATABASE_URL": url}
    command = ["script/seed", "--payments", "50", "--merchants", "1", "--days", "1"]
    finished = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=60)
    assert [keys.merch_id for keys in told(finished)] == ["seed-1"]
    assert "50 of 50 payments" in finished.stderr


@pytest.mark.parametrize("arguments", [(), ("--payments", "0"), ("--payments", "9", "--until", "soon")])
def test_a_mistake_is_told_in_a_line(url: str, arguments: tuple[str, ...]) -> None:
    finished = seed(url, *arguments)
    assert finished.returncode in (1, 2)
    assert finished.stdout == ""
    assert "Traceback" not in finished.stderr


def test_an_empty_file_is_no_database_yet(tmp_path: Path) -> None:
    finished = seed(f"sqlite:///{tmp_path / 'none.db'}", "--payments", "9")
    assert finished.returncode == 1
    assert "flask db upgrade" in finished.stderr
