"""Secrets at rest: sealed with the first of the Fernet keys, opened with any of them, so that keys can be rotated."""

from __future__ import annotations

from collections.abc import Sequence

from cryptography.fernet import Fernet, InvalidToken, MultiFernet


class Vault:
    """Seals and opens short texts. Opening what another key sealed raises `cryptography.fernet.InvalidToken`."""

    def __init__(self, keys: Sequence[str]) -> None:
        self._first = Fernet(keys[0])
        self._fernet = MultiFernet([Fernet(key) for key in keys])

    def seal(self, text: str) -> str:
        return self._fernet.encrypt(text.encode()).decode()

    def open(self, sealed: str) -> str:
        return self._fernet.decrypt(sealed.encode()).decode()

    def is_under_first_key(self, sealed: str) -> bool:
        """Whether the older keys aren't needed for it. Raises InvalidToken where no key opens it."""
        try:
            self._first.decrypt(sealed.encode())
        except InvalidToken:
            self.open(sealed)
            return False
        return True
