"""Passwords at rest: Argon2id."""

from __future__ import annotations

import secrets
from base64 import b64encode

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

SHORTEST = 10
FEWEST_GUESSES = 100_000  # more than who waits as long as he is told has in two years
LOOKED_AT = 64  # characters: a longer one is good or bad by these, and the look takes long

_hasher = PasswordHasher()


def mistake(password: str, username: str) -> str | None:
    """What is wrong with a new password, or None: too short, the user's name, or one that is guessed soon."""
    if len(password) < SHORTEST:
        return f"must have at least {SHORTEST} characters"
    if password.casefold() == username.casefold():
        return "must not be the username"
    from zxcvbn import zxcvbn  # its lists take 16 MB, and a web process makes no operators

    if zxcvbn(password[:LOOKED_AT], user_inputs=[username])["guesses"] < FEWEST_GUESSES:
        return "is one of those that are guessed first: take several words, or let a password manager make one"
    return None


def hashed(password: str) -> str:
    """What is kept of a password. Takes 64 MB and a tenth of a second."""
    return _hasher.hash(password)


def fits(password_hash: str, password: str) -> bool:
    """Whether the password is the one of the hash."""
    try:
        return _hasher.verify(password_hash, password)
    except (VerificationError, InvalidHashError):
        return False


def nobodys_hash() -> str:
    """Checked where there is no such operator, so that the answer takes as long: of the present costs, and of no
    password that anybody knows."""
    salt, digest = (b64encode(secrets.token_bytes(size)).decode().rstrip("=") for size in (16, 32))
    costs = f"m={_hasher.memory_cost},t={_hasher.time_cost},p={_hasher.parallelism}"
    return f"$argon2id$v=19${costs}${salt}${digest}"
