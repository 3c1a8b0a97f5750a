"""A shop in a chat, on a machine that nobody can reach from outside: it asks the chat and the gateway for news.

Run it with BOT_TOKEN, CERBER_URL, MERCH_ID, PAYMENT_SECRET and BALANCE_SECRET in the environment. It keeps its orders
in the SQLite file that SHOP_DATABASE names, and goes on where it was when it is started again.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import time
from typing import Any

from bot_api import BotApi
from cerber_client import ApiError, Cerber, CerberError, Event

PRICES = {"coffee": "4.50", "tea": "3"}
TELL = {
    "accept": "Paid: {confirm_sum} manat have come. Here is your {item}!",
    "cancel": "Your order of {item} is cancelled. If you have sent money, it will still be found.",
    "change_sum": "{confirm_sum} of {payment_sum} manat have come so far; please send the rest.",
}

log = logging.getLogger("shop")


class Store:
    """Orders, and how far the chat and the events have been read."""

    def __init__(self, path: str) -> None:
        self._database = sqlite3.connect(path)
        with self._database as database:
            database.execute("CREATE TABLE IF NOT EXISTS orders (payment_id PRIMARY KEY, chat INTEGER, item TEXT)")
            database.execute("CREATE TABLE IF NOT EXISTS places (name PRIMARY KEY, place)")

    def add_order(self, payment_id: str, chat: int, item: str) -> None:
        with self._database as database:
            database.execute("INSERT OR IGNORE INTO orders VALUES (?, ?, ?)", (payment_id, chat, item))

    def order(self, payment_id: str | None) -> tuple[int, str] | None:
        found = self._database.execute("SELECT chat, item FROM orders WHERE payment_id = ?", (payment_id,))
        row: tuple[int, str] | None = found.fetchone()
        return row

    def place(self, name: str) -> Any:
        row = self._database.execute("SELECT place FROM places WHERE name = ?", (name,)).fetchone()
        return row and row[0]

    def set_place(self, name: str, place: object) -> None:
        with self._database as database:
            database.execute("INSERT OR REPLACE INTO places VALUES (?, ?)", (name, place))


class Shop:
    """One turn after the other: first what buyers wrote, then what became of their payments."""

    def __init__(self, bot: BotApi, cerber: Cerber, store: Store) -> None:
        self._bot = bot
        self._cerber = cerber
        self._store = store

    def run(self) -> None:
        while True:
            try:
                self._turn()
            except (CerberError, OSError) as error:  # the same update or event comes again in the next turn
                log.warning("%s", error)
                time.sleep(1)

    def _turn(self) -> None:
        for update in self._bot.updates(self._store.place("update") or 0):
            self._hear(update)
            self._store.set_place("update", update["update_id"] + 1)
        for event in self._cerber.events(self._store.place("event"), follow=False):
            self._learn(event)
            self._store.set_place("event", event.id)  # told first: at worst a buyer is told twice

    def _hear(self, update: dict[str, Any]) -> None:
        if "callback_query" in update:
            self._pressed(update["callback_query"])
        elif "text" in update.get("message", {}):
            self._asked(update["message"])

    def _asked(self, message: dict[str, Any]) -> None:
        """`/buy coffee 994501234567`: what, and from which wallet the buyer will pay."""
        chat, words = message["chat"]["id"], message["text"].split()
        if len(words) != 3 or words[0] != "/buy" or words[1] not in PRICES:
            self._bot.say(chat, f"Write /buy {' or '.join(PRICES)} and the number of your wallet.")
            return
        item = words[1]
        payment_id = f"chat-{chat}-{message['message_id']}"  # of the message: asked twice, it is one payment
        self._store.add_order(payment_id, chat, item)
        try:
            wallet = self._cerber.get_wallet(payment_id, user_wallet=words[2], sum=PRICES[item])
        except ApiError as error:
            self._bot.say(chat, _apology(error))
            return
        text = f"Send {PRICES[item]} manat to {wallet.wallet_number}: {wallet.wallet_link}"
        self._bot.say(chat, text, {"I have paid": f"accept {payment_id}", "Cancel": f"cancel {payment_id}"})

    def _pressed(self, button: dict[str, Any]) -> None:
        status, _, payment_id = button["data"].partition(" ")
        order = self._store.order(payment_id)
        if order is None or order[0] != button["from"]["id"] or status not in ("accept", "cancel"):
            return
        try:
            self._cerber.update_status(payment_id, "accept" if status == "accept" else "cancel")
        except ApiError as error:
            self._bot.say(order[0], _apology(error))
        else:
            self._bot.say(order[0], "Thank you, we are looking." if status == "accept" else "As you wish.")

    def _learn(self, event: Event) -> None:
        order = self._store.order(event.payment_id)
        if order is not None and event.kind in TELL:
            chat, item = order
            told = {"item": item, "confirm_sum": event.confirm_sum, "payment_sum": event.payment_sum}
            self._bot.say(chat, TELL[event.kind].format(**told))


def _apology(error: ApiError) -> str:
    """For a buyer. Raises what is for the shop's owner: a wrong secret, a gateway that is away."""
    if error.code == "no_wallet_available":
        return "All our wallets are busy. Please try again in half a minute."
    if error.code == "invalid":
        return "That is no number of a wallet."
    if error.status == 409:
        return f"This order is closed: {error.payment_status}."
    raise error


def main() -> None:
    logging.basicConfig(level=logging.INFO)
    env = os.environ
    cerber = Cerber(env["CERBER_URL"], env["MERCH_ID"], env["PAYMENT_SECRET"], env["BALANCE_SECRET"])
    bot = BotApi(env.get("BOT_API_URL", "https://api.telegram.org"), env["BOT_TOKEN"])
    Shop(bot, cerber, Store(env.get("SHOP_DATABASE", "shop.db"))).run()


if __name__ == "__main__":
    main()
