"""The rows of refused signatures: what one costs among a thousand merchants, and whether its time tells anything.

In the process itself, without sockets: whoever asks over a network sees these differences through far more noise.
"""

from __future__ import annotations

import hashlib
import json
import random
import statistics
import time
from collections.abc import Callable

from flask import Flask
from sqlalchemy import insert, select

from benchmarks.places import Place
from benchmarks.results import Result, Size
from benchmarks.shop import Shop, app_on
from cerber import signing
from cerber.context import now, vault
from cerber.db.engines import db
from cerber.merchants.models import Merchant, MerchantSecret

MERCHANTS = 1_000
KNOWN = "known-1"

Ask = Callable[[], None]


def refused(at: Place, size: Size) -> list[Result]:
    """An update_status that nobody signed: all secrets are tried."""
    with app_on(at) as app:
        _crowd(at)
        times = _times({"refused": _asking(app, "POST", "update_status", {"payment_id": "none"})}, size.asked)
    value = statistics.median(times["refused"]) * 1000
    detail = f"p95 {statistics.quantiles(times['refused'], n=20)[-1] * 1000:.2f} ms, {MERCHANTS} merchants"
    return [Result("refused signature", at.kind, value, "ms", detail, most=5)]


def told_apart(at: Place, size: Size) -> list[Result]:
    """Medians of refusals about what is there and what isn't, in turns; the unknown is asked twice: the noise."""
    with app_on(at) as app:
        _crowd(at)
        merchants = _compared(app, size, "get_balance", "merch_id", KNOWN)
        payments = _compared(app, size, "get_status", "payment_id", KNOWN)
        first = _first_requests(at)
    rows = (("merchant", merchants), ("payment id", payments), ("merchant, first request", first))
    return [_difference(name, at, times) for name, times in rows]


def _compared(app: Flask, size: Size, call: str, field: str, known: str) -> dict[str, list[float]]:
    values = {"known": known, "unknown": "nobody1", "unknown again": "nobody2"}
    return _times({name: _asking(app, "GET", call, {field: value}) for name, value in values.items()}, size.asked)


def _first_requests(at: Place) -> dict[str, list[float]]:
    """Each of a process that has just started: an app that has asked nothing yet."""
    times: dict[str, list[float]] = {"known": [], "unknown": [], "unknown again": []}
    values = {"known": KNOWN, "unknown": "nobody1", "unknown again": "nobody2"}
    for _ in range(20):
        for name in random.sample(list(times), 3):
            with app_on(at) as app:
                app.test_client().get("/health/live")
                times[name] += _times({name: _asking(app, "GET", "get_balance", {"merch_id": values[name]})}, 1)[name]
    return times


def _times(asks: dict[str, Ask], count: int) -> dict[str, list[float]]:
    """Seconds of each, so many times in turns, in an order that changes."""
    times: dict[str, list[float]] = {name: [] for name in asks}
    for _ in range(count):
        for name in random.sample(list(asks), len(asks)):
            began = time.perf_counter()
            asks[name]()
            times[name].append(time.perf_counter() - began)
    return times


def _asking(app: Flask, method: str, call: str, fields: dict[str, str]) -> Ask:
    client, body = app.test_client(), json.dumps(fields).encode()
    headers = {"Signature": signing.sign(signing.new_secret(), body)}

    def ask() -> None:
        status = client.open(f"/bot_api/{call}/", method=method, data=body, headers=headers).status_code
        if status != 401:
            raise RuntimeError(f"{call} answered {status}")

    return ask


def _difference(name: str, at: Place, times: dict[str, list[float]]) -> Result:
    known, unknown, again = (statistics.median(each) * 1e6 for each in times.values())
    apart, noise = abs(known - (unknown + again) / 2), abs(unknown - again)
    detail = f"medians {known:.1f}, {unknown:.1f} and {again:.1f} µs of {len(times['known'])}; noise {noise:.1f}"
    return Result(f"told apart, {name}", at.kind, apart, "µs", detail, most=max(5.0, 2 * round(noise, 1)))


def _crowd(at: Place) -> None:
    """A thousand merchants, one of them with a payment. Inside an app context."""
    shop = Shop(at, KNOWN)
    at_once = now()
    names = [{"merch_id": f"m-{n}", "created_at": at_once} for n in range(MERCHANTS - 1)]
    db.session.execute(insert(Merchant), names)
    keys = db.session.scalars(select(Merchant.id).where(Merchant.merch_id != KNOWN)).all()
    secrets = [_secret(key, kind) for key in keys for kind in signing.SecretKind]
    db.session.execute(insert(MerchantSecret), secrets)
    shop.pay([KNOWN])


def _secret(merchant: int, kind: signing.SecretKind) -> dict[str, object]:
    secret = signing.new_secret()
    fingerprint = hashlib.sha256(secret.encode()).hexdigest()
    made = {"merchant_id": merchant, "kind": kind, "sealed": vault().seal(secret), "fingerprint": fingerprint}
    return made | {"created_at": now()}
