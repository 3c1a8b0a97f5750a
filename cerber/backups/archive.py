"""The file of a backup: a zip of the snapshot and of a manifest that says what must be in it."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import sqlite3
import zipfile
from contextlib import closing, suppress
from pathlib import Path
from typing import IO, Any

from cerber.errors import NotRestored

MANIFEST, DATABASE = "manifest.json", "cerber.db"
FORMAT = 1
PIECE = 1 << 20  # bytes


def write(file: Path, snapshot: Path, manifest: dict[str, Any]) -> None:
    """Writes the backup whole or not at all, for its owner alone, and reads it again before it gets its name. Raises
    NotRestored where what was written isn't what was meant."""
    _check_sqlite(snapshot)
    with snapshot.open("rb") as database:
        full = {"format": FORMAT, "sha256": _digest(database)} | manifest
    draft = file.with_name(f".{file.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w+b") as out:
            _pack(out, snapshot, full)
            out.flush()
            os.fsync(out.fileno())
        _verify(draft)
        os.link(draft, file)  # unlike a rename, it takes nobody's place
    finally:
        with suppress(FileNotFoundError):
            draft.unlink()


def unpack(file: Path, snapshot: Path) -> dict[str, Any]:
    """Writes the snapshot of a backup into a new file; its manifest. Raises NotRestored for what is no whole one."""
    try:
        with zipfile.ZipFile(file) as packed:
            manifest = _manifest(packed)
            with packed.open(DATABASE) as inside, snapshot.open("xb") as out:
                digest = _digest(inside, out)
    except (zipfile.BadZipFile, KeyError, ValueError, EOFError, zipfile.zlib.error) as error:  # type: ignore[attr-defined]
        raise NotRestored(f"{file} is no whole backup: {error}.") from None
    if digest != manifest["sha256"]:
        raise NotRestored(f"{file} is damaged: what is in it is not what was written.")
    _check_sqlite(snapshot)
    return manifest


def _pack(out: IO[bytes], snapshot: Path, manifest: dict[str, Any]) -> None:
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=4) as packed:
        packed.writestr(MANIFEST, json.dumps(manifest, indent=1))
        packed.write(snapshot, DATABASE)


def _verify(file: Path) -> None:
    with zipfile.ZipFile(file) as packed, packed.open(DATABASE) as inside:
        if _digest(inside) != _manifest(packed)["sha256"]:
            raise NotRestored("What was written can't be read again as it was: is the disk well?")


def _manifest(packed: zipfile.ZipFile) -> dict[str, Any]:
    manifest: dict[str, Any] = json.loads(packed.read(MANIFEST))
    if manifest["format"] != FORMAT:
        raise ValueError("it was made by a newer version of Cerber, so update first")
    return manifest


def _check_sqlite(snapshot: Path) -> None:
    try:
        with closing(sqlite3.connect(snapshot)) as connection:
            found = connection.execute("PRAGMA integrity_check").fetchone()[0]
    except sqlite3.DatabaseError as error:
        found = str(error)
    if found != "ok":
        raise NotRestored(f"The snapshot is damaged: {found}.")


def _digest(source: IO[bytes], out: IO[bytes] | None = None) -> str:
    """Of all that comes, which is handed on to `out`."""
    digest = hashlib.sha256()
    while piece := source.read(PIECE):
        digest.update(piece)
        if out is not None:
            out.write(piece)
    return digest.hexdigest()
