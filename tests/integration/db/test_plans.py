"""The plan of every statement that the doors send, on 100,000 payments, whatever statistics the database has.

All that can be done is done once, and the statements are caught in the driver. Then each is explained, and run again
to be counted, without statistics and with each kind of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from argon2 import PasswordHasher
from flask import Flask
from sqlalchemy import Connection, column, delete, func, table
from sqlalchemy.exc import OperationalError

from cerber.app import create_app
from cerber.db.engines import db
from cerber.db.tables import Base
from cerber.operators import passwords
from tests.support.clock import Clock
from tests.support.databases import dispose
from tests.support.doors import TOKEN, Doors
from tests.support.plans import Plan, Planner
from tests.support.seeded import Seeded, seeded
from tests.support.shop import open_shop
from tests.support.statements import Statement, caught

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]  # it seeds for half a minute, and then uses all there is

HISTORY = ("--payments", "100000", "--merchants", "3", "--days", "365")
DOORS = ("log_in", "all_calls", "deliver", "all_pages", "all_machines", "doctor", "log_out")
# What a statement may do at most: steps of SQLite's machine, rows that MariaDB reads. A scan of the payments takes
# at least 300,000 and 100,000. A search looks at a thousand hits in each of the ways that it may be meant, and doctor
# at a sample of a thousand payments, and at the sums of 1,024 days.
MOST = {door: {"sqlite": 30_000, "mariadb": 2_000} for door in DOORS}
MOST |= {door: {"sqlite": 200_000, "mariadb": 15_000} for door in ("all_pages", "doctor")}
SORTED = 1_001
# Read along a key, from its one end and with a LIMIT, which no plan tells from a scan.
ALONG_A_KEY = (
    r"FROM webhook_attempts ORDER BY webhook_attempts.id LIMIT",  # the oldest, to be pruned
    r"FROM webhooks ORDER BY webhooks.id DESC LIMIT",  # the newest, for the list
    r"FROM audit_entries ORDER BY audit_entries.id DESC LIMIT",  # the last decisions, for the desk
    r"webhooks.created_at <= \S+ ORDER BY webhooks.id DESC LIMIT",  # past those of the last minute (webhooks/feed.py)
)
STATISTICS = {"sqlite": ("none", "analyze", "optimize"), "mariadb": ("none", "analyze")}
OF_A_SHAPE = 3  # statements that differ in their values alone, of which so many are looked at


@pytest.fixture(scope="module", params=["sqlite", "mariadb"])
def history(
    request: pytest.FixtureRequest, sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Seeded]:
    with seeded(request.param, sqlite_template, tmp_path_factory.mktemp("plans"), *HISTORY) as made:
        yield made


@pytest.fixture(scope="module")
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="module")
def app(history: Seeded, clock: Clock) -> Iterator[Flask]:
    app = create_app(history.env | {"CERBER_METRICS_TOKEN": TOKEN}, clock)
    app.testing = True
    yield app
    dispose(app)


@pytest.fixture(scope="module")
def doors(app: Flask, history: Seeded, clock: Clock) -> Iterator[Doors]:
    with open_shop() as (shop, url):
        yield Doors(app, history.merchants[0], clock, url, shop)


@dataclass
class Sent:
    """What was sent through one door, a few statements of each shape."""

    door: str
    statements: list[Statement]


@pytest.fixture(scope="module")
def sent(app: Flask, doors: Doors) -> list[Sent]:
    found = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(passwords, "_hasher", PasswordHasher(time_cost=1, memory_cost=64, parallelism=1))
        for door in DOORS:
            with caught(app) as statements:
                getattr(doors, door)()
            found.append(Sent(door, _few(statements)))
    return found


def _few(statements: list[Statement]) -> list[Statement]:
    shapes: dict[str, list[Statement]] = {}
    for statement in statements:
        shapes.setdefault(statement.shape, []).append(statement)
    return [one for same in shapes.values() for one in same[:: -(-len(same) // OF_A_SHAPE)]]


@pytest.fixture
def planner(app: Flask) -> Iterator[Planner]:
    with app.app_context():
        yield Planner(db.engine)


@pytest.mark.parametrize(
    "text",
    [
        "SELECT COUNT(*) FROM payments WHERE received > 1",
        "SELECT id FROM payments ORDER BY received DESC LIMIT 50",
        "SELECT id FROM payments WHERE merchant_id = 1 ORDER BY received DESC LIMIT 50",
        "SELECT SUM(attempts) FROM webhooks AS w WHERE w.merchant_id = 1",
        "UPDATE webhooks SET attempts = 1 WHERE attempts = 5",
        "SELECT wallet_id, MAX(due_at) FROM payments GROUP BY wallet_id",
    ],
)
def test_a_statement_that_does_is_found(planner: Planner, text: str) -> None:
    with planner.connected() as connection:
        assert not holds(planner.plan(connection, Statement(text, ())), MOST["all_calls"][planner.name])


def test_no_statement_scans_what_grows_or_sorts_more_than_was_looked_up(sent: list[Sent], planner: Planner) -> None:
    wrong = []
    for statistics in STATISTICS[planner.name]:
        know(planner, statistics, sent)
        with planner.connected() as connection:
            for through in sent:
                plans = [planner.plan(connection, statement) for statement in through.statements]
                failed = [plan for plan in plans if not holds(plan, MOST[through.door][planner.name])]
                wrong += [f"{through.door}, statistics {statistics}: {plan}" for plan in failed]
    assert not wrong, f"{len(wrong)} statements, the first of them:\n" + "\n\n".join(wrong[:5])


def holds(plan: Plan, most: int) -> bool:
    """Whether it begins where an index says, and does no more than it may. SQLite doesn't tell how many rows it puts
    in order: there the latter speaks of sorts, too."""
    walks = any(re.search(walk, plan.statement.shape) for walk in ALONG_A_KEY)
    return (not plan.scans or walks) and plan.steps <= most and plan.sorted_rows <= SORTED


def know(planner: Planner, statistics: str, sent: list[Sent]) -> None:
    """Gives the database these statistics and no other."""
    with planner.connected() as connection:
        (_know_on_sqlite if planner.name == "sqlite" else _know_on_mariadb)(connection, statistics)
    if statistics == "optimize":
        raw = planner.driver()
        for statement in (one for through in sent for one in through.statements):
            raw.execute(f"EXPLAIN {statement.text}", statement.values)  # of what was asked it makes statistics
        raw.execute("PRAGMA optimize")
        assert raw.execute("SELECT COUNT(*) FROM sqlite_stat1").fetchone()[0] > 10
        raw.close()
    planner.forget()  # a connection reads them when it is opened


def _know_on_sqlite(connection: Connection, statistics: str) -> None:
    with suppress(OperationalError):  # there was never a table for them
        connection.exec_driver_sql("DELETE FROM sqlite_stat1")
    if statistics == "analyze":
        connection.exec_driver_sql("ANALYZE")
    connection.commit()


def _know_on_mariadb(connection: Connection, statistics: str) -> None:
    for kept in ("table_stats", "column_stats", "index_stats"):
        ours = column("db_name") == func.database()
        connection.execute(delete(table(kept, column("db_name"), schema="mysql")).where(ours))
    connection.commit()
    connection.exec_driver_sql("FLUSH TABLES")
    if statistics == "analyze":
        for name in Base.metadata.tables:
            connection.exec_driver_sql(f"ANALYZE TABLE {name} PERSISTENT FOR ALL").all()


def test_every_route_was_used(app: Flask, sent: list[Sent], doors: Doors) -> None:
    routes = {rule.endpoint for rule in app.url_map.iter_rules() if not rule.endpoint.endswith("static")}
    assert routes == doors.routes, "tests/support/doors.py has to use each route, with each of its filters"
