"""`flask backup` and `flask restore`, between both databases."""

from __future__ import annotations

import json
import re
import sqlite3
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from flask import Flask
from sqlalchemy import select, text, update

from cerber.backups import filling, tallies
from cerber.db.transactions import reading
from cerber.encryption import Vault
from cerber.operators.models import Operator
from cerber.webhooks.models import Webhook
from tests.integration.backups.conftest import contents, run, start_worker
from tests.support.factories import MerchantKeys, get_wallet, open_payment
from tests.support.workers import change, states

pytestmark = pytest.mark.slow

KINDS = ("sqlite", "mariadb")


@pytest.mark.parametrize("kind", KINDS)
def test_a_restored_gateway_holds_what_the_original_did(
    lived_in: Flask, keys: MerchantKeys, elsewhere: Callable[[str], Flask], tmp_path: Path, kind: str
) -> None:
    file = tmp_path / "backup.zip"
    code, said = run(lived_in, "backup", str(file))
    assert code == 0, said
    assert "CERBER_ENCRYPTION_KEYS" in said
    assert file.stat().st_mode & 0o777 == 0o600

    restored = elsewhere(kind)
    code, said = run(restored, "restore", str(file))
    assert code == 0, said
    assert contents(restored) == contents(lived_in)
    assert run(restored, "balance", "verify") == (0, "all is well\n")
    same = {"payment_id": "Ödəniş-3", "sum": "10.50", "user_wallet": "wallet-3"}
    assert get_wallet(restored.test_client(), keys, **same).status_code == 200
    assert get_wallet(restored.test_client(), keys, payment_id="new").status_code == 200, "and goes on"
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith(".")) == []


def test_a_backup_can_be_read_without_cerber(lived_in: Flask, tmp_path: Path) -> None:
    run(lived_in, "backup", str(tmp_path / "backup.zip"))
    with zipfile.ZipFile(tmp_path / "backup.zip") as packed:
        manifest = json.loads(packed.read("manifest.json"))
        packed.extract("cerber.db", tmp_path)
    assert manifest["tables"]["payments"]["rows"] == 4
    with sqlite3.connect(tmp_path / "cerber.db") as connection:
        [(found,)] = connection.execute("SELECT count(*) FROM payments")
    connection.close()
    assert found == 4


def test_old_events_are_not_sent_again_unless_one_asks(
    lived_in: Flask, elsewhere: Callable[[str], Flask], tmp_path: Path
) -> None:
    file = tmp_path / "backup.zip"
    change(lived_in, update(Webhook).where(Webhook.state == "due").values(lease="a dead worker's"))
    assert "due" in states(lived_in)
    waiting = states(lived_in).count("due")
    run(lived_in, "backup", str(file))

    quiet, loud = elsewhere("sqlite"), elsewhere("sqlite")
    _, said = run(quiet, "restore", str(file))
    assert f"{waiting} webhooks that were on their way were given up" in said
    assert "due" not in states(quiet)
    run(loud, "restore", str(file), "--deliver")
    assert states(loud) == states(lived_in)
    with loud.app_context(), reading() as session:
        assert session.scalars(select(Webhook.lease).where(Webhook.lease.is_not(None))).all() == []


def test_sessions_and_workers_stay_behind(lived_in: Flask, elsewhere: Callable[[str], Flask], tmp_path: Path) -> None:
    start_worker(lived_in)
    run(lived_in, "backup", str(tmp_path / "backup.zip"))
    restored = elsewhere("sqlite")
    run(restored, "restore", str(tmp_path / "backup.zip"))
    assert _session_key(restored) != _session_key(lived_in)
    assert restored.test_client().get("/health/worker").get_json()["workers_alive"] == 0


def _session_key(app: Flask) -> str:
    with app.app_context(), reading() as session:
        return session.scalars(select(Operator.session_key)).one()


def test_live_data_are_replaced_only_by_force_and_backed_up_first(
    lived_in: Flask, keys: MerchantKeys, tmp_path: Path
) -> None:
    file = tmp_path / "backup.zip"
    run(lived_in, "backup", str(file))
    before = contents(lived_in)
    open_payment(lived_in, keys, payment_id="since then")
    after = contents(lived_in)
    code, said = run(lived_in, "restore", str(file))
    assert (code, len(said.splitlines())) == (1, 1)
    assert "--force" in said
    assert contents(lived_in) == after

    assert run(lived_in, "restore", str(file), "--force")[0] == 0
    assert contents(lived_in) == before
    [first] = tmp_path.glob("before-restore-*.zip")
    assert run(lived_in, "restore", str(first), "--force")[0] == 0
    assert contents(lived_in) == after


def test_nothing_is_restored_under_a_running_worker(lived_in: Flask, tmp_path: Path) -> None:
    run(lived_in, "backup", str(tmp_path / "backup.zip"))
    start_worker(lived_in)
    code, said = run(lived_in, "restore", str(tmp_path / "backup.zip"), "--force")
    assert code == 1
    assert "stop them" in said


@pytest.mark.parametrize("kind", KINDS)
def test_killed_half_way_it_passes_for_no_database_and_is_done_again(
    lived_in: Flask, elsewhere: Callable[[str], Flask], tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(lived_in, "backup", str(tmp_path / "backup.zip"))
    restored, filled = elsewhere(kind), []
    once = filling._fill_table

    def dies(target: object, source: object, table: object, say: object) -> int:
        filled.append(table)
        if len(filled) == 6:
            raise MemoryError  # as good as a kill: nothing handles it
        return once(target, source, table, say)  # type: ignore[arg-type]

    with monkeypatch.context() as patched:
        patched.setattr(filling, "_fill_table", dies)
        result = restored.test_cli_runner().invoke(args=["restore", str(tmp_path / "backup.zip")])
        assert isinstance(result.exception, MemoryError)
    assert restored.test_client().get("/health/ready").status_code == 503
    assert "half of a copy" in run(restored, "doctor")[1]
    assert run(restored, "backup", str(tmp_path / "no.zip"))[0] == 1
    code, said = run(restored, "restore", str(tmp_path / "backup.zip"))
    assert code == 0, said
    assert contents(restored) == contents(lived_in)


def test_a_row_that_changes_on_its_way_is_found(
    lived_in: Flask, elsewhere: Callable[[str], Flask], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(lived_in, "backup", str(tmp_path / "backup.zip"))
    restored, once = elsewhere("sqlite"), filling._empty

    def then_another_writes(target: object, table: tallies.Table) -> None:
        once(target, table)  # type: ignore[arg-type]
        if table.name == "figures":
            target.execute(text("INSERT INTO figures VALUES ('x', 'y', 1)"))  # type: ignore[attr-defined]

    monkeypatch.setattr(filling, "_empty", then_another_writes)
    code, said = run(restored, "restore", str(tmp_path / "backup.zip"))
    assert code == 1
    assert "The rows of figures did not arrive" in said
    assert restored.test_client().get("/health/ready").status_code == 503


def test_a_damaged_backup_is_refused_and_changes_nothing(lived_in: Flask, tmp_path: Path) -> None:
    file = tmp_path / "backup.zip"
    run(lived_in, "backup", str(file))
    before, whole = contents(lived_in), file.read_bytes()
    for damage in ("cut", "byte", "empty", "text", "newer", "swapped"):
        file.write_bytes(whole)
        _spoil(file, damage)
        code, said = run(lived_in, "restore", str(file), "--force")
        assert code == 1, (damage, said)
        assert str(file) in said.splitlines()[-1], damage
        assert contents(lived_in) == before, damage


def _spoil(file: Path, damage: str) -> None:
    if damage in ("newer", "swapped"):
        _rewrite(file, damage)
        return
    whole = file.read_bytes()
    middle = len(whole) // 2
    spoilt = whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :]
    file.write_bytes({"cut": whole[:middle], "byte": spoilt, "empty": b"", "text": b"no backup"}[damage])


def _rewrite(file: Path, damage: str) -> None:
    with zipfile.ZipFile(file) as packed:
        manifest, database = json.loads(packed.read("manifest.json")), packed.read("cerber.db")
    if damage == "newer":
        manifest["schema"] = "9999"
    else:
        database = database[:-1] + bytes([database[-1] ^ 1])
    with zipfile.ZipFile(file, "w") as packed:
        packed.writestr("manifest.json", json.dumps(manifest))
        packed.writestr("cerber.db", database)


def test_a_daily_task_keeps_the_newest(lived_in: Flask, tmp_path: Path) -> None:
    names = [f"cerber-2026110{day}T000000Z.zip" for day in range(1, 5)]
    for name in (*names, "cerber-mine.zip", "before-restore-20200101T000000Z.zip"):
        (tmp_path / name).write_text("old")
    code, said = run(lived_in, "backup", "--to", str(tmp_path), "--keep", "2")
    assert code == 0, said
    left = {path.name for path in tmp_path.glob("*.zip")}
    assert {"cerber-mine.zip", "before-restore-20200101T000000Z.zip", names[-1]} <= left
    assert len(left) == 4
    assert not set(names[:-1]) & left


def test_a_name_that_is_taken_is_left_alone(lived_in: Flask, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    code, said = run(lived_in, "backup", str(tmp_path / "mine"))
    assert (code, len(said.splitlines())) == (1, 1)
    assert (tmp_path / "mine").read_text() == "mine"


def test_other_keys_are_told(lived_in: Flask, elsewhere: Callable[[str], Flask], tmp_path: Path) -> None:
    run(lived_in, "backup", str(tmp_path / "backup.zip"))
    restored = elsewhere("sqlite")
    installed = restored.extensions["cerber"]
    object.__setattr__(installed, "vault", Vault([Fernet.generate_key().decode()]))
    code, said = run(restored, "restore", str(tmp_path / "backup.zip"))
    assert code == 1
    assert re.search("2 secrets can't be opened: put the CERBER_ENCRYPTION_KEYS", said)
