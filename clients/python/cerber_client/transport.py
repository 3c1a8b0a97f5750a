"""Requests: signed, bounded in time, and repeated where that can help."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Mapping
from http.client import HTTPException
from typing import Any
from urllib.parse import urlencode, urlsplit
from urllib.request import HTTPHandler, HTTPSHandler, OpenerDirector, ProxyHandler, Request

from cerber_client.errors import ApiError, CerberError, Unreachable
from cerber_client.signing import sign_v2
from cerber_client.types import from_json

USER_AGENT = "cerber-client-python/0.1.0"
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 8.0  # seconds


class Transport:
    """`timeout`: seconds for each wait of one attempt. `patience`: seconds after which no further attempt begins."""

    def __init__(self, base_url: str, timeout: float, patience: float) -> None:
        url = urlsplit(base_url)
        if url.scheme not in ("http", "https") or not url.netloc or url.query or url.fragment:
            raise ValueError(f"{base_url!r} is no URL such as https://gateway.example/bot_api/")
        root = base_url.rstrip("/")
        self._root = root[: -len("/bot_api")] if root.endswith("/bot_api") else root
        self._timeout = timeout
        self._patience = patience
        self._opener = _opener()

    def send(self, method: str, name: str, secret: str, fields: Mapping[str, str]) -> Any:
        """The answer to a call. Raises ApiError and Unreachable, after repeats, which each call allows."""
        ends, pause = time.monotonic() + self._patience, FIRST_PAUSE
        while True:
            try:
                return self._attempt(method, name, secret, fields)
            except CerberError as error:
                wait = _wait(error, pause)
                if not error.may_pass or time.monotonic() + wait > ends:
                    raise
            time.sleep(wait)
            pause = min(pause * 2, LONGEST_PAUSE)

    def _attempt(self, method: str, name: str, secret: str, fields: Mapping[str, str]) -> Any:
        status, retry_after, body = self._exchange(_request(self._root, method, name, secret, fields))
        try:
            told = from_json(body.decode())
        except ValueError:
            told = None
        if status == 200 and isinstance(told, dict):
            return told
        raise _refusal(status, retry_after, told)

    def _exchange(self, request: Request) -> tuple[int, str, bytes]:
        try:
            with self._opener.open(request, timeout=self._timeout) as answer:
                return answer.status, answer.headers.get("Retry-After", ""), answer.read()
        except (OSError, HTTPException) as error:
            raise Unreachable(f"The gateway did not answer: {error}") from error


def _opener() -> OpenerDirector:
    """Without what follows redirects (a POST would become a GET) or raises for a status."""
    opener = OpenerDirector()
    for handler in (ProxyHandler(), HTTPHandler(), HTTPSHandler()):
        opener.add_handler(handler)
    return opener


def _request(root: str, method: str, name: str, secret: str, fields: Mapping[str, str]) -> Request:
    path = f"/bot_api/{name}/"
    message = (urlencode(fields) if method == "GET" else json.dumps(fields)).encode()
    headers = {
        "Signature-V2": sign_v2(secret, method, path, int(time.time()), message),
        "User-Agent": USER_AGENT,
        "Accept": "application/json",
    }
    if method == "GET":
        return Request(f"{root}{path}?{message.decode()}", headers=headers)  # noqa: S310 - the scheme was checked
    headers["Content-Type"] = "application/json"
    return Request(f"{root}{path}", message, headers, method=method)  # noqa: S310


def _refusal(status: int, retry_after: str, told: Any) -> ApiError:
    seconds = float(retry_after) if retry_after.isascii() and retry_after.isdigit() else None
    if not isinstance(told, dict) or "code" not in told:
        return ApiError(status, "unexpected", "This is no answer of the gateway's.", retry_after=seconds)
    errors = [(error["field"], error["message"]) for error in told.get("errors", ())]
    return ApiError(status, told["code"], told.get("detail", ""), errors, told.get("payment_status"), seconds)


def _wait(error: CerberError, pause: float) -> float:
    """Seconds before the next attempt: a little at random, so that many clients don't come back at once."""
    named = getattr(error, "retry_after", None) or 0.0
    return max(pause * random.uniform(0.5, 1.0), float(named))  # noqa: S311 - no secret
