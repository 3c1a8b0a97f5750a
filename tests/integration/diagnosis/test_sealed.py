"""Encryption keys: lost, wrong, and rotated; told by `flask doctor`, mended by `flask secrets rotate-keys`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

import pyotp
import pytest
from cryptography.fernet import Fernet
from flask import Flask
from sqlalchemy import select

from cerber.app import create_app
from cerber.context import vault
from cerber.db.engines import db
from cerber.db.transactions import reading
from cerber.diagnosis import sealed
from cerber.merchants.models import MerchantSecret
from cerber.operators import staff
from cerber.operators.models import Operator
from tests.support.databases import ENV, dispose
from tests.support.factories import MerchantKeys, get_wallet, make_merchant, make_wallet

OLD, NEW = ENV["CERBER_ENCRYPTION_KEYS"], Fernet.generate_key().decode()


@contextmanager
def keyed(env: dict[str, str], *keys: str) -> Iterator[Flask]:
    """The same gateway, with these encryption keys."""
    other = create_app(env | {"CERBER_ENCRYPTION_KEYS": ",".join(keys)})
    other.testing = True
    yield other
    dispose(other)


def rotate(app: Flask) -> tuple[int, str]:
    result = app.test_cli_runner().invoke(args=["secrets", "rotate-keys"])
    return result.exit_code, result.output


def doctor(app: Flask) -> tuple[bool, str]:
    result = app.test_cli_runner().invoke(args=["doctor", "--json"])
    [found] = [check for check in json.loads(result.stdout)["checks"] if check["name"] == "secrets"]
    return found["ok"], found["message"]


def serves(app: Flask, keys: MerchantKeys, payment_id: str) -> int:
    return get_wallet(app.test_client(), keys, payment_id=payment_id).status_code


@pytest.fixture
def shops(app: Flask) -> list[MerchantKeys]:
    make_wallet(app)
    return [make_merchant(app, f"shop-{number}") for number in range(5)]


def test_doctor_says_that_a_key_is_lost_and_what_to_do(env: dict[str, str], shops: list[MerchantKeys]) -> None:
    with keyed(env, NEW) as lost:
        ok, message = doctor(lost)
        assert not ok
        assert message.startswith("10 of 10 can't be opened: put the key that sealed them back")
        assert serves(lost, shops[0], "1") == 401, "and every merchant is refused meanwhile"
        code, said = rotate(lost)
        assert code == 1
        assert "10 can't be opened" in said
        assert len(said.splitlines()) == 1


def test_after_a_rotation_the_old_key_may_go(env: dict[str, str], app: Flask, shops: list[MerchantKeys]) -> None:
    code_secret = pyotp.random_base32()
    with app.app_context():
        staff.add("anna", "correct horse battery", "admin", "cli")
        staff.add("without", "correct horse battery", "admin", "cli")
        db.session.scalars(select(Operator).filter_by(username="anna")).one().totp_sealed = vault().seal(code_secret)
        db.session.commit()
    with keyed(env, NEW, OLD) as both:
        assert doctor(both) == (True, "11 of 11 are under an older key: `flask secrets rotate-keys`, then it may go")
        code, said = rotate(both)
        assert code == 0
        assert "Sealed 11 anew" in said
        assert "The other 1 in CERBER_ENCRYPTION_KEYS may go" in said
        assert rotate(both)[1].startswith("Sealed 0 anew")
    with keyed(env, NEW) as fresh:
        assert doctor(fresh) == (True, "11, all of them opened by the first key")
        assert [serves(fresh, keys, "1") for keys in shops] == [200] * 5
        with fresh.app_context(), reading() as session:
            anna = session.scalars(select(Operator).filter_by(username="anna")).one()
            assert vault().open(anna.totp_sealed or "") == code_secret


def test_stopped_half_way_it_goes_on(
    env: dict[str, str], app: Flask, shops: list[MerchantKeys], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sealed, "AT_ONCE", 3)
    batches, once = [], sealed._reseal_rows

    def dies_at_the_third(*arguments: object) -> int:
        batches.append(arguments)
        if len(batches) == 3:
            raise MemoryError  # as good as a kill: nothing handles it
        return once(*arguments)  # type: ignore[arg-type]

    with keyed(env, NEW, OLD) as both:
        monkeypatch.setattr(sealed, "_reseal_rows", dies_at_the_third)
        assert rotate(both)[0] != 0
        with both.app_context():
            assert sealed.look() == sealed.Sealed(10, 0, 4)
        assert serves(both, shops[4], "1") == 200
        monkeypatch.setattr(sealed, "_reseal_rows", once)
        assert "Sealed 4 anew" in rotate(both)[1]
        with both.app_context():
            assert sealed.look() == sealed.Sealed(10, 0, 0)


def test_a_secret_rotated_at_the_same_time_is_kept(
    env: dict[str, str], app: Flask, shops: list[MerchantKeys], monkeypatch: pytest.MonkeyPatch
) -> None:
    once = sealed._reseal_rows
    given: list[str] = []

    def after_a_rotation(*arguments: object) -> int:
        if not given:
            result = both.test_cli_runner().invoke(args=["merchant", "rotate", "shop-0", "payment"])
            given.append(json.loads(result.stdout)["secret"])
        return once(*arguments)  # type: ignore[arg-type]

    with keyed(env, NEW, OLD) as both:
        monkeypatch.setattr(sealed, "_reseal_rows", after_a_rotation)
        assert rotate(both)[0] == 0
    with keyed(env, NEW) as fresh, fresh.app_context(), reading() as session:
        opened = [vault().open(row.sealed) for row in session.scalars(select(MerchantSecret))]
    assert {given[0], shops[0].payment_secret} <= set(opened)
    assert len(opened) == 11


def test_with_the_keys_lost_for_good_new_secrets_bring_everything_back(
    env: dict[str, str], shops: list[MerchantKeys]
) -> None:
    with keyed(env, NEW) as lost:
        for shop in shops:
            given = {
                kind: json.loads(
                    lost.test_cli_runner()
                    .invoke(args=["merchant", "rotate", shop.merch_id, kind, "--overlap-hours", "0"])
                    .stdout
                )["secret"]
                for kind in ("payment", "balance")
            }
            fresh = MerchantKeys(shop.merch_id, given["payment"], given["balance"])
            assert serves(lost, fresh, "1") == 200
        assert doctor(lost) == (True, "10, all of them opened by the first key")
        assert rotate(lost)[0] == 0
