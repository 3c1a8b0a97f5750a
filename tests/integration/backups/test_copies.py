"""`flask copy-to`: growing from SQLite to MySQL, and back."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from flask import Flask

from cerber.backups import filling
from cerber.db import schema
from cerber.db.engines import db
from tests.integration.backups.conftest import contents, run, start_worker
from tests.support.factories import MerchantKeys, get_wallet
from tests.support.workers import states

pytestmark = pytest.mark.slow


[HEAD] = schema.heads()


def url_of(app: Flask) -> str:
    with app.app_context():
        return db.engine.url.render_as_string(hide_password=False)


@pytest.mark.parametrize("kind", ["sqlite", "mariadb"])
def test_a_copy_goes_on_and_its_original_is_silent(
    lived_in: Flask, keys: MerchantKeys, elsewhere: Callable[[str], Flask], kind: str
) -> None:
    copy = elsewhere(kind)
    code, said = run(lived_in, "copy-to", url_of(copy))
    assert code == 0, said
    assert contents(copy) == contents(lived_in)
    assert states(copy) == states(lived_in)
    assert get_wallet(copy.test_client(), keys, payment_id="new").status_code == 200
    assert run(copy, "deliver", "--once")[0] == 0

    for _ in range(2):
        code, said = run(lived_in, "deliver", "--once")
        assert (code, len(said.splitlines())) == (1, 1)
        assert "was copied to" in said
    assert "`flask deliver --go-on`" in run(lived_in, "doctor")[1]
    assert run(lived_in, "deliver", "--once", "--go-on")[0] == 0
    assert run(lived_in, "deliver", "--once")[0] == 0


def test_a_database_in_use_is_left_alone(
    lived_in: Flask, keys: MerchantKeys, elsewhere: Callable[[str], Flask]
) -> None:
    copy = elsewhere("sqlite")
    assert run(lived_in, "copy-to", url_of(copy))[0] == 0
    get_wallet(copy.test_client(), keys, payment_id="new")
    there = contents(copy)
    code, said = run(lived_in, "copy-to", url_of(copy))
    assert code == 1
    assert "not empty" in said
    assert contents(copy) == there


def test_nothing_is_copied_under_a_running_worker(lived_in: Flask, elsewhere: Callable[[str], Flask]) -> None:
    start_worker(lived_in)
    code, said = run(lived_in, "copy-to", url_of(elsewhere("sqlite")))
    assert code == 1
    assert "stop them" in said


def test_a_bad_url_is_one_line_that_repeats_nothing_of_it(lived_in: Flask) -> None:
    code, said = run(lived_in, "copy-to", "postgresql://me:secret@host/db")
    assert (code, len(said.splitlines())) == (1, 1)
    assert "secret" not in said


@pytest.mark.parametrize("kind", ["sqlite", "mariadb"])
def test_cut_off_at_any_table_it_goes_on(
    lived_in: Flask, elsewhere: Callable[[str], Flask], kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy, once, kept = elsewhere(kind), filling._empty, []
    wanted = contents(lived_in)

    def dies(target: object, table: filling.Table) -> None:
        if table.name == wall:
            raise MemoryError  # as good as a kill: nothing handles it
        kept.append(table.name)
        once(target, table)  # type: ignore[arg-type]

    for wall in ("operators", "payments", "webhook_attempts", ""):
        with monkeypatch.context() as patched:
            patched.setattr(filling, "_empty", dies)
            result = lived_in.test_cli_runner().invoke(args=["copy-to", url_of(copy)])
        ready = copy.test_client().get("/health/ready").status_code
        assert (result.exit_code, ready) == ((1, 503) if wall else (0, 200)), (wall, result.output)
    assert contents(copy) == wanted
    assert kept.count("merchants") == 1, "what was whole was kept"


def test_of_two_who_fill_one_database_at_once_the_first_does_not_call_it_whole(
    lived_in: Flask, elsewhere: Callable[[str], Flask], monkeypatch: pytest.MonkeyPatch
) -> None:
    copy, once, begun = elsewhere("sqlite"), filling._fill_table, []

    def meanwhile(target: filling.Connection, source: object, table: object, say: object) -> int:
        if not begun:
            begun.append(table)
            target.execute(filling.text("UPDATE alembic_version SET version_num = 'unfinished copy another'"))
            target.commit()
        return once(target, source, table, say)  # type: ignore[arg-type]

    monkeypatch.setattr(filling, "_fill_table", meanwhile)
    code, said = run(lived_in, "copy-to", url_of(copy))
    assert code == 1
    assert "Another one fills this database" in said
    assert copy.test_client().get("/health/ready").status_code == 503


def test_a_worker_says_that_the_schema_is_old(app: Flask) -> None:
    with app.app_context():
        db.session.execute(filling.text("UPDATE alembic_version SET version_num = '0009'"))
        db.session.execute(filling.text("DROP TABLE silence"))
        db.session.commit()
    try:
        assert run(app, "deliver", "--once") == (
            1,
            "Error: The database's schema is not current: run `flask db upgrade`.\n",
        )
    finally:
        with app.app_context():
            db.metadata.tables["silence"].create(db.engine)
            db.session.execute(filling.text("UPDATE alembic_version SET version_num = :head"), {"head": HEAD})
            db.session.commit()
