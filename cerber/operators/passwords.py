"""Passwords at rest: Argon2id."""

from __future__ import annotations

import secrets
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

_hasher = PasswordHasher()


def hashed(password: str) -> str:
    """What is kept of a password. Takes 64 MB and a tenth of a second."""
    return _hasher.hash(password)


def fits(password_hash: str, password: str) -> bool:
    """Whether the password is the one of the hash."""
    try:
        return _hasher.verify(password_hash, password)
    except (VerificationError, InvalidHashError):
        return False


@cache
def nobodys_hash() -> str:
    """Checked where there is no such operator, so that the answer takes as long. Nobody knows its password.

    Not made at import: it takes 64 MB for a moment, and a worker logs nobody in.
    """
    return hashed(secrets.token_urlsafe(32))
