"""A file of settings: `NAME='value'` lines that a shell and python-dotenv read alike."""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

_UNQUOTABLE = re.compile(r"['\\\x00-\x1f\x7f]")


def text_of(values: Mapping[str, str]) -> str:
    """The lines. In single quotes, so that `user$cerber` stays whole where a shell reads them. Raises ValueError,
    whose message repeats no value, for one that such quotes can't hold."""
    for name, value in values.items():
        if _UNQUOTABLE.search(value):
            raise ValueError(f"{name} can't hold a quote, a backslash or a line break: percent-encode it (%27, %5C)")
    return "".join(f"{name}='{value}'\n" for name, value in values.items())


def write_new(path: Path, text: str) -> None:
    """Writes the file whole or not at all, for its owner alone (0600). Raises FileExistsError where there is one."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.link(draft, path)  # unlike a rename, it takes nobody's place
    finally:
        with suppress(FileNotFoundError):
            draft.unlink()
