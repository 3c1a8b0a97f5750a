"""What the running app knows besides its database: its settings, its vault, and its clock."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeAlias, cast

from flask import Flask, current_app

from cerber.config import Settings
from cerber.encryption import Vault

Clock: TypeAlias = Callable[[], datetime]  # gives the present, aware, in UTC

_KEY = "cerber"
# The proxy itself costs over a microsecond at each attribute, and the time is asked for all the time.
_app = cast(Callable[[], Flask], current_app._get_current_object)  # type: ignore[attr-defined]


@dataclass(frozen=True, slots=True)
class _Installed:
    settings: Settings
    vault: Vault
    clock: Clock


def system_clock() -> datetime:
    """The machine's time, aware, in UTC."""
    return datetime.now(UTC)


def install(app: Flask, settings: Settings, clock: Clock) -> None:
    """Makes `settings()`, `vault()`, `clock()` and `now()` work inside the app's contexts."""
    app.extensions[_KEY] = _Installed(settings, Vault(settings.encryption_keys), clock)


def settings() -> Settings:
    return _installed().settings


def vault() -> Vault:
    return _installed().vault


def clock() -> Clock:
    """The app's clock itself, to be handed to what runs outside its contexts."""
    return _installed().clock


def now() -> datetime:
    """The present by the app's clock, aware, in UTC."""
    return _installed().clock()


def _installed() -> _Installed:
    return cast(_Installed, _app().extensions[_KEY])
