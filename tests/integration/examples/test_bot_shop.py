"""The shop in a chat, as its own process, between a stand-in for the Bot API and a real gateway."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select

from cerber.config import ROOT
from cerber.db.transactions import reading
from cerber.payments import decisions
from cerber.payments.models import Payment
from tests.support.factories import MerchantKeys
from tests.support.gateway import let_a_minute_pass, running_web

pytestmark = pytest.mark.slow
CHAT = 77


class Chat:
    """What buyers write, and what they are told."""

    def __init__(self) -> None:
        self._updates: list[dict[str, Any]] = []
        self._said: list[dict[str, Any]] = []
        self._last: dict[str, Any] = {}
        self._changed = threading.Condition()

    def write(self, text: str) -> None:
        number = len(self._updates) + 1
        self._put({"message": {"message_id": number, "chat": {"id": CHAT}, "from": {"id": CHAT}, "text": text}})

    def press(self, data: str, by: int = CHAT) -> None:
        self._put({"callback_query": {"id": "1", "from": {"id": by}, "data": data}})

    def wait_for(self, words: str) -> dict[str, Any]:
        """The next message, which holds these words. A shop that was killed may have said its last one twice."""
        with self._changed:
            assert self._changed.wait_for(self._news, 30), f"nobody said {words}"
            said = self._last = self._said.pop(0)
        assert words in said["text"], said
        return said

    def answer(self, method: str, fields: dict[str, Any]) -> Any:
        with self._changed:
            if method == "getUpdates":
                fresh: Callable[[], list[Any]] = lambda: self._updates[fields["offset"] :]  # noqa: E731
                self._changed.wait_for(fresh, 0.1)
                return fresh()
            assert method == "sendMessage"
            self._said.append(fields)
            self._changed.notify_all()
            return {}

    def _news(self) -> bool:
        while self._said and self._said[0] == self._last:
            self._said.pop(0)
        return bool(self._said)

    def _put(self, update: dict[str, Any]) -> None:
        with self._changed:
            self._updates.append({"update_id": len(self._updates), **update})
            self._changed.notify_all()


@pytest.fixture
def chat() -> Iterator[tuple[Chat, str]]:
    """The chat, and the address of the Bot API's stand-in."""
    chat = Chat()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            fields = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            body = json.dumps({"ok": True, "result": chat.answer(self.path.rpartition("/")[2], fields)}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            with suppress(OSError):  # a shop that was killed waits no longer
                self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    yield chat, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@contextmanager
def running_shop(folder: Path, gateway: str, keys: MerchantKeys, bot_api: str) -> Iterator[None]:
    env = {
        "CERBER_URL": f"{gateway}/bot_api/",
        "MERCH_ID": keys.merch_id,
        "PAYMENT_SECRET": keys.payment_secret,
        "BALANCE_SECRET": keys.balance_secret,
        "BOT_API_URL": bot_api,
        "BOT_TOKEN": "1:a",
        "SHOP_DATABASE": str(folder / "shop.db"),
        "PYTHONPATH": str(ROOT / "clients" / "python"),
        "no_proxy": "*",
    }
    command = [sys.executable, str(ROOT / "examples" / "bot_shop" / "shop.py")]
    with subprocess.Popen(command, env=os.environ | env, stderr=subprocess.DEVNULL) as process:
        try:
            yield
        finally:
            process.kill()  # as when the power goes


def transfer(app: Flask, amount: int) -> None:
    """An operator records what came, in qəpik."""
    with app.app_context(), reading() as session:
        payment = session.scalars(select(Payment)).one()
    with app.app_context():
        decisions.record_transfer(payment.id, payment.version, "operator:a", amount)
    let_a_minute_pass(app)


def test_a_shop_without_a_server_sells_through_kills_and_outages(
    app: Flask, env: dict[str, str], keys: MerchantKeys, chat: tuple[Chat, str], tmp_path: Path
) -> None:
    buyer, bot_api = chat
    with running_web(env) as gateway:
        with running_shop(tmp_path, gateway, keys, bot_api):
            buyer.write("hello")
            buyer.wait_for("Write /buy coffee or tea")
            buyer.write("/buy coffee 994501234567")
            offered = buyer.wait_for("Send 4.50 manat to 99450")
            (paid, cancel), *_ = offered["reply_markup"]["inline_keyboard"]
            assert cancel["text"] == "Cancel"
            buyer.press(cancel["callback_data"], by=78)  # not the buyer: nothing is said, and nothing cancelled
            buyer.press(paid["callback_data"])
            buyer.wait_for("Thank you")
            transfer(app, 200)
            buyer.wait_for("2 of 4.50 manat have come so far")
        transfer(app, 250)
        with running_shop(tmp_path, gateway, keys, bot_api):  # started again, it goes on where it was
            buyer.wait_for("Paid: 4.50 manat have come. Here is your coffee!")
            buyer.press(cancel["callback_data"])
            buyer.wait_for("This order is closed: accept.")
