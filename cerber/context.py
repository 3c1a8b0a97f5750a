"""What the running app knows besides its database: its settings, its vault, and the time."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import cast

from flask import Flask, current_app

from cerber.config import Settings
from cerber.encryption import Vault

_KEY = "cerber"


def install(app: Flask, settings: Settings) -> None:
    """Makes `settings()` and `vault()` work inside the app's contexts."""
    app.extensions[_KEY] = (settings, Vault(settings.encryption_keys))


def settings() -> Settings:
    return cast(tuple[Settings, Vault], current_app.extensions[_KEY])[0]


def vault() -> Vault:
    return cast(tuple[Settings, Vault], current_app.extensions[_KEY])[1]


def now() -> datetime:
    """The present, aware, in UTC."""
    return datetime.now(UTC)
