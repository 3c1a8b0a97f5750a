"""Whole payments: opened, asked for twice, reported paid, accepted by an operator, told to the merchant."""

from __future__ import annotations

import http.client
import re
import secrets
from dataclasses import dataclass, field
from urllib.parse import urlencode

from sqlalchemy import select

from benchmarks import load, places
from benchmarks.places import Place
from benchmarks.receiver import Receiver, receiver
from benchmarks.results import Result, Size
from benchmarks.shop import Shop, app_on
from cerber.db.engines import db
from cerber.db.tables import Base
from cerber.operators import staff
from cerber.payments.models import Payment

MOST_MS = {"sqlite": 7.0, "mariadb": 10.0}
MOST_KB = 1.9


def life(at: Place, size: Size) -> list[Result]:
    """The CPU of web and worker for one of them, and the room that it takes."""
    shop = Shop(at)
    with receiver() as target, places.gunicorn(at, "wsgi:app") as (port, master), places.worker(at) as deliver:
        desk = Desk(at, port)
        pids = [master, *places.children(master), deliver]
        _live(at, shop, desk, target, 50)  # what is loaded once
        cpu, room = sum(map(places.cpu_seconds, pids)), _room(at)
        _live(at, shop, desk, target, size.lives)
        used = (sum(map(places.cpu_seconds, pids)) - cpu) / size.lives * 1000
    kilobytes = (_room(at) - room) / size.lives / 1024
    told = f"{size.lives:,} payments: open, status twice, accept, decision, webhook"
    return [
        Result("one payment, CPU", at.kind, used, "ms", told, most=MOST_MS[at.kind]),
        Result("one payment, room", at.kind, kilobytes, "KB", told, most=MOST_KB),
    ]


def _live(at: Place, shop: Shop, desk: Desk, target: Receiver, count: int) -> None:
    keys = [secrets.token_hex(8) for _ in range(count)]
    for n, key in enumerate(keys):
        desk.sent(shop.opening(key, n, target.url()))
        for _ in range(2):
            desk.sent(shop.signed("GET", "get_status", {"payment_id": key}))
        desk.sent(shop.signed("POST", "update_status", {"payment_id": key, "status": "accept"}))
    with app_on(at):
        pks = db.session.scalars(select(Payment.id).where(Payment.payment_id.in_(keys))).all()
    for pk in pks:
        desk.accept(pk)
    target.wait(count)
    shop.wait_until_recorded()


@dataclass
class Desk:
    """An operator's browser, and a socket for merchants."""

    at: Place
    port: int
    cookie: str = ""
    token: str = field(init=False)

    def __post_init__(self) -> None:
        password = secrets.token_hex(16)
        with app_on(self.at):
            staff.add("bench", password, "admin", "benchmark")
        self.token = self._fresh_token("/login")
        self._posted("/login", username="bench", password=password)
        self.token = self._fresh_token("/payments/")

    def accept(self, pk: int) -> None:
        self._posted(f"/payments/{pk}/accept", version="2")

    def sent(self, request: bytes) -> None:
        """A merchant's request, made before."""
        load.send(self.port, request)

    def _posted(self, path: str, **fields: str) -> None:
        body = urlencode({"csrf_token": self.token, **fields})
        answer = self._asked("POST", path, body, **{"Content-Type": "application/x-www-form-urlencoded"})
        if answer.status != 303:
            raise RuntimeError(f"{path} answered {answer.status}")

    def _fresh_token(self, path: str) -> str:
        page = self._asked("GET", path).read().decode()
        return re.findall(r'name="csrf_token" value="([^"]+)"', page)[0]

    def _asked(self, method: str, path: str, body: str = "", **headers: str) -> http.client.HTTPResponse:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        connection.request(method, path, body, {"Cookie": self.cookie} | headers)
        answer = connection.getresponse()
        for given in answer.headers.get_all("Set-Cookie") or ():
            self.cookie = given.partition(";")[0]
        return answer


def _room(at: Place) -> int:
    """Bytes of all tables and indexes."""
    with app_on(at), db.engine.connect() as connection:
        if at.kind == "sqlite":
            pages, size = (connection.exec_driver_sql(f"PRAGMA page_{what}").scalar() for what in ("count", "size"))
            return int(pages) * int(size)
        for name in Base.metadata.tables:
            connection.exec_driver_sql(f"ANALYZE TABLE {name}").all()
        size = "SELECT SUM(data_length + index_length) FROM information_schema.tables WHERE table_schema = DATABASE()"
        return int(connection.exec_driver_sql(size).scalar() or 0)
