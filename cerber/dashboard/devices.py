"""Devices that have logged in before: a signed cookie, which opens nothing. It only keeps the failed log-ins of
others from being held against its owner."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from flask import Response, current_app, request
from itsdangerous import BadData, URLSafeTimedSerializer

COOKIE = "cerber_device"
PATH = "/login"
REMEMBERED = 180 * 86400  # seconds since the last log-in
MOST_NAMES = 8  # of people who share a device


@dataclass(frozen=True, slots=True)
class Device:
    """`names`: who logged in on it, the last one last."""

    id: str
    names: tuple[str, ...]

    def id_for(self, username: str) -> str | None:
        """The id, where this is a device of that person."""
        return self.id if username in self.names else None


def present() -> Device:
    """The one that asks; a new one where it shows no cookie of ours."""
    try:
        known, names = _serializer().loads(request.cookies.get(COOKIE, ""), max_age=REMEMBERED)
    except BadData:
        return Device(secrets.token_hex(16), ())
    return Device(known, tuple(names))


def remember(response: Response, device: Device, username: str) -> None:
    """Makes it a device of this person."""
    names = (*(name for name in device.names if name != username), username)[-MOST_NAMES:]
    response.set_cookie(
        COOKIE,
        str(_serializer().dumps([device.id, names])),
        max_age=REMEMBERED,
        path=PATH,
        httponly=True,
        samesite="Lax",
        secure=current_app.session_interface.get_cookie_secure(current_app),
    )


def _serializer() -> URLSafeTimedSerializer:
    return URLSafeTimedSerializer(str(current_app.secret_key), salt="cerber device")
