"""`flask operator …` for the bad days of an owner: a lost password, a lost phone, somebody who has left."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import pyotp
import pytest
from flask import Flask
from sqlalchemy import select

from cerber.audit.models import AuditEntry
from cerber.context import vault
from cerber.db.engines import db
from cerber.db.transactions import reading
from cerber.errors import CerberError, WrongLogin
from cerber.operators import login, managing, sessions, staff
from cerber.operators.models import Operator

PASSWORD, ANOTHER = "correct horse battery", "staple of another kind"
CHANGES = ["password", "role", "disable", "enable", "remove", "totp-reset"]


@pytest.fixture(autouse=True)
def people(app: Flask) -> None:
    with app.app_context():
        staff.add("boss", PASSWORD, "admin", "cli")
        staff.add("anna", PASSWORD, "operator", "cli")


def run(app: Flask, *arguments: str, stdin: str = "") -> tuple[int, str]:
    result = app.test_cli_runner().invoke(args=["operator", *arguments], input=stdin)
    return result.exit_code, result.output


def lets_in(app: Flask, username: str, password: str = PASSWORD, code: str = "") -> bool:
    with app.app_context():
        try:
            login.log_in(username, password, code, "192.0.2.1")
        except WrongLogin:
            return False
    return True


def session_of(app: Flask, username: str) -> tuple[int, str, str]:
    with app.app_context():
        with reading() as session:
            operator = session.scalars(select(Operator).filter_by(username=username)).one()
        return operator.id, operator.session_key, sessions.begin(operator.id)


def is_open(app: Flask, session: tuple[int, str, str]) -> bool:
    with app.app_context():
        return sessions.find(*session) is not None


def test_a_lost_password_is_set_anew_and_ends_all_sessions(app: Flask) -> None:
    session = session_of(app, "anna")
    assert run(app, "password", "anna", "--password-stdin", stdin=f"{ANOTHER}\n") == (0, "")
    assert not lets_in(app, "anna")
    assert lets_in(app, "anna", ANOTHER)
    assert not is_open(app, session)


@pytest.mark.parametrize("password", ["", "short", "password1234"])
def test_a_password_that_is_guessed_first_is_refused(app: Flask, password: str) -> None:
    session = session_of(app, "anna")
    code, said = run(app, "password", "anna", "--password-stdin", stdin=f"{password}\n")
    assert (code, len(said.splitlines())) == (1, 1)
    assert lets_in(app, "anna")
    assert is_open(app, session)


def test_who_is_disabled_gets_in_no_more_until_enabled(app: Flask) -> None:
    session = session_of(app, "anna")
    assert run(app, "disable", "anna") == (0, "")
    assert not is_open(app, session)
    assert not lets_in(app, "anna")
    assert {row["username"]: row["state"] for row in json.loads(run(app, "list", "--json")[1])} == {
        "anna": "disabled",
        "boss": "active",
    }
    assert run(app, "disable", "anna") == (0, ""), "repeating it is well"
    assert run(app, "enable", "anna") == (0, "")
    assert lets_in(app, "anna")
    assert not is_open(app, session)


def test_a_disabled_operator_with_a_session_key_of_today_is_no_one(app: Flask) -> None:
    run(app, "disable", "anna")
    assert not is_open(app, session_of(app, "anna"))


def test_a_role_changes_both_ways(app: Flask) -> None:
    assert run(app, "role", "anna", "admin") == (0, "")
    assert run(app, "role", "boss", "operator") == (0, "")
    assert run(app, "list") == (0, "anna\tadmin\tactive\nboss\toperator\tactive\n")
    assert run(app, "role", "anna", "king")[0] == 2


def test_a_lost_phone_keeps_nobody_out(app: Flask) -> None:
    with app.app_context():
        anna = db.session.scalars(select(Operator).filter_by(username="anna")).one()
        anna.totp_sealed = vault().seal(pyotp.random_base32())
        db.session.commit()
    assert not lets_in(app, "anna")
    assert run(app, "totp-reset", "anna") == (0, "")
    assert lets_in(app, "anna")


def test_who_has_left_is_removed(app: Flask) -> None:
    session = session_of(app, "anna")
    assert run(app, "remove", "anna") == (0, "")
    assert not is_open(app, session)
    assert run(app, "list") == (0, "boss\tadmin\tactive\n")


@pytest.mark.parametrize("change", [("disable",), ("remove",), ("role", "operator")])
def test_the_last_admin_stays(app: Flask, change: tuple[str, ...]) -> None:
    session = session_of(app, "boss")
    code, said = run(app, change[0], "boss", *change[1:])
    assert (code, said) == (1, "Error: This is the last admin who can log in: make another one first.\n")
    assert is_open(app, session)
    run(app, "role", "anna", "admin")
    run(app, "disable", "anna")
    assert run(app, change[0], "boss", *change[1:])[0] == 1, "a disabled admin can't let anybody in"
    run(app, "enable", "anna")
    assert run(app, change[0], "boss", *change[1:])[0] == 0


def test_where_there_never_was_an_admin_none_is_kept(app: Flask) -> None:
    with app.app_context():
        db.session.delete(db.session.scalars(select(Operator).filter_by(username="boss")).one())
        db.session.commit()
    assert run(app, "disable", "anna") == (0, "")


@pytest.mark.parametrize("change", CHANGES)
def test_a_name_that_nobody_has_is_told(app: Flask, change: str) -> None:
    role = ["admin"] if change == "role" else []
    code, said = run(app, change, "nobody", *role, stdin=f"{ANOTHER}\n")
    assert (code, said) == (1, "Error: There is no operator nobody.\n")


def test_each_change_is_in_the_audit_and_no_password_is(app: Flask) -> None:
    for change in ("password", "disable", "enable", "totp-reset", "remove"):
        run(app, change, "anna", stdin=f"{ANOTHER}\n")
    with app.app_context(), reading() as session:
        entries = session.scalars(select(AuditEntry).order_by(AuditEntry.id)).all()
    assert [entry.action for entry in entries][2:] == [
        "operator_password_changed",
        "operator_disabled",
        "operator_enabled",
        "operator_totp_reset",
        "operator_removed",
    ]
    assert not any(ANOTHER in entry.details for entry in entries)


def test_of_two_admins_who_disable_each_other_one_stays(app: Flask) -> None:
    def disable(username: str) -> bool:
        with app.app_context():
            try:
                managing.disable(username, "cli")
            except CerberError:
                return False
        return True

    with app.app_context():
        staff.add("second", PASSWORD, "admin", "cli")
    for _ in range(20):
        with ThreadPoolExecutor(2) as threads:
            done = list(threads.map(disable, ["boss", "second"]))
        assert sorted(done) == [False, True]
        run(app, "enable", ["boss", "second"][done.index(True)])
