"""The rows of the web: rates of calls, and what a web worker holds."""

from __future__ import annotations

import json
import secrets
import statistics
from collections.abc import Callable
from dataclasses import replace

from sqlalchemy import insert

from benchmarks import bare, load, places
from benchmarks.places import Place
from benchmarks.results import Result, Size, memory
from benchmarks.shop import Shop, app_on
from cerber.context import now
from cerber.db.engines import db


def get_status(at: Place, size: Size) -> list[Result]:
    shop = Shop(at)
    keys = [f"{n}" for n in range(1000)]
    with app_on(at):
        shop.pay(keys)
    _bare_rows(at, keys)
    turn = [keys[n % len(keys)] for n in range(size.requests)]
    ours = [shop.signed("GET", "get_status", {"payment_id": key}) for key in turn]
    theirs = [load.request("GET", "/row", json.dumps({"key": key}).encode(), {}) for key in turn]
    return [_compared("get_status", at, size, lambda: ours, lambda: theirs, 0.8)]


def limited(at: Place, size: Size) -> list[Result]:
    """get_status with requests counted, against the same with CERBER_RATE_LIMIT=0."""
    shop = Shop(at)
    with app_on(at):
        shop.pay(["1"])
    asked = [shop.signed("GET", "get_status", {"payment_id": "1"})] * size.requests
    counting = replace(at, env=at.env | {"CERBER_RATE_LIMIT": "10000000"})
    with places.gunicorn(counting, "wsgi:app") as (port, _), places.gunicorn(at, "wsgi:app") as (free, _):
        for each in (port, free):
            load.rate(each, asked[:200])
        rates = [(load.rate(port, asked), load.rate(free, asked)) for _ in range(2 * size.rounds)]
    ratio = statistics.median(a / b for a, b in rates)
    ours, theirs = (statistics.median(column) for column in zip(*rates, strict=True))
    detail = f"{ours:.0f}/s against {theirs:.0f}/s"
    return [Result("get_status, counted", at.kind, ratio, "of uncounted", detail, least=0.9)]


def get_wallet(at: Place, size: Size) -> list[Result]:
    shop = Shop(at)
    _bare_rows(at, [])

    def theirs() -> list[bytes]:
        bodies = [{"key": secrets.token_hex(8), "sum": n} for n in range(size.requests)]
        return [load.request("POST", "/row", json.dumps(body).encode(), {}) for body in bodies]

    def ours() -> list[bytes]:
        return [shop.opening(secrets.token_hex(8), n) for n in range(size.requests)]

    return [_compared("get_wallet", at, size, ours, theirs, 0.5 if at.kind == "sqlite" else 0.4)]


def side_by_side(at: Place, size: Size) -> list[Result]:
    """get_wallet by 16 clients against one."""
    if at.kind == "sqlite":  # it has one lock
        return []
    shop = Shop(at)

    def openings() -> list[bytes]:
        return [shop.opening(secrets.token_hex(8), n) for n in range(size.requests)]

    with places.gunicorn(at, "wsgi:app") as (port, _):
        load.rate(port, openings()[:200])
        rates = [
            (load.rate(port, openings(), clients=16), load.rate(port, openings(), clients=1))
            for _ in range(size.rounds)
        ]
    many, one = (statistics.median(column) for column in zip(*rates, strict=True))
    ratio = statistics.median(a / b for a, b in rates)
    detail = f"{many:.0f}/s by 16 clients against {one:.0f}/s by one, two web processes"
    return [Result("get_wallet, side by side", at.kind, ratio, "times one client", detail, least=1.5)]


def web_memory(at: Place, size: Size) -> list[Result]:
    """One web worker through whole payments: opened, reported paid, asked for."""
    shop = Shop(at)

    def half() -> list[bytes]:
        requests = []
        for n in range(size.half // 4):
            key = secrets.token_hex(8)
            paid = {"payment_id": key, "status": "accept"}
            asked = {"payment_id": key}
            requests += [
                shop.opening(key, n),
                shop.signed("POST", "update_status", paid),
                *[shop.signed("GET", "get_status", asked)] * 2,
            ]
        return requests

    with places.gunicorn(at, "wsgi:app", workers=1) as (port, master):
        (pid,) = places.children(master)
        load.rate(port, half(), clients=1)
        before = places.megabytes(pid)
        load.rate(port, half(), clients=1)
        after = places.megabytes(pid)
    return memory("memory, web worker", at, size, before, after, 80)


def _bare_rows(at: Place, keys: list[str]) -> None:
    with app_on(at):
        bare.Base.metadata.create_all(db.engine)
        if keys:
            values = [{"key": key, "status": "accept", "sum": 50_000, "made_at": now()} for key in keys]
            db.session.execute(insert(bare.Row.__table__), [{"row_key": v.pop("key"), **v} for v in values])
            db.session.commit()


def _compared(
    name: str,
    at: Place,
    size: Size,
    ours: Callable[[], list[bytes]],
    theirs: Callable[[], list[bytes]],
    least: float,
) -> Result:
    """Both run all the time, and are asked in turns."""
    with places.gunicorn(at, "wsgi:app") as (our_port, _), places.gunicorn(at, "benchmarks.bare:make()") as (port, _):
        load.rate(port, theirs()[:200])
        load.rate(our_port, ours()[:200])
        rates = [(load.rate(our_port, ours()), load.rate(port, theirs())) for _ in range(size.rounds)]
    ratio = statistics.median(a / b for a, b in rates)
    our_rate, their_rate = (statistics.median(column) for column in zip(*rates, strict=True))
    spread = f"{min(a / b for a, b in rates):.2f} to {max(a / b for a, b in rates):.2f}"
    detail = f"{our_rate:.0f}/s against {their_rate:.0f}/s; rounds {spread}"
    return Result(name, at.kind, ratio, "of the bare app", detail, least=least)
