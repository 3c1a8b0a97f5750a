"""A shop on the web that is told by webhooks what became of its payments.

Run it with CERBER_URL, MERCH_ID, PAYMENT_SECRET and SHOP_URL (its own public address) in the environment:
`flask --app shop run`. It keeps its orders in the SQLite file that SHOP_DATABASE names.
"""

from __future__ import annotations

import os
import secrets
import sqlite3
from typing import Any

import orders
from cerber_client import ApiError, BadWebhook, Cerber, Unreachable, read_webhook
from flask import Flask, abort, redirect, render_template_string, request
from flask.typing import ResponseReturnValue

app = Flask(__name__)
PRICES = {"coffee": "4.50", "tea": "3"}
PAYMENT_SECRET = os.environ["PAYMENT_SECRET"]
cerber = Cerber(os.environ["CERBER_URL"], os.environ["MERCH_ID"], PAYMENT_SECRET)
orders.create(os.environ.get("SHOP_DATABASE", "shop.db"))

CATALOGUE = """<!doctype html><title>Shop</title><h1>Shop</h1>
{% for item, price in prices.items() %}
<form method="post" action="/buy/{{ item }}">{{ item }}, {{ price }} manat: from wallet
  <input name="user_wallet" required> <button>Buy</button></form>
{% endfor %}"""

ORDER = """<!doctype html><title>Your order</title><h1>{{ order.item }}: {{ order.state }}</h1>
<p>{{ order.received }} of {{ order.sum }} manat have come.</p>
{% if order.state in ("new", "part paid") %}
<p>Send {{ order.sum }} manat to <a href="{{ order.wallet_link }}">{{ order.wallet_number }}</a>.</p>
<img alt="QR code of the wallet" src="data:image/png;base64,{{ order.image }}">
<form method="post" action="/orders/{{ order.payment_id }}/accept"><button>I have paid</button></form>
<form method="post" action="/orders/{{ order.payment_id }}/cancel"><button>Cancel</button></form>
{% endif %}"""


@app.get("/")
def catalogue() -> str:
    return render_template_string(CATALOGUE, prices=PRICES)


@app.post("/buy/<item>")
def buy(item: str) -> ResponseReturnValue:
    """The order is stored before the gateway hears of it, so that no webhook is about an unknown one."""
    if item not in PRICES:
        abort(404)
    payment_id = secrets.token_hex(16)  # nobody guesses another buyer's page
    orders.add(payment_id, item, PRICES[item])
    callback_url = os.environ["SHOP_URL"] + "/hook"
    wallet = cerber.get_wallet(payment_id, request.form["user_wallet"], PRICES[item], callback_url)
    orders.set_wallet(payment_id, wallet.wallet_number, wallet.wallet_link, wallet.image)
    return redirect(f"/orders/{payment_id}", 303)


@app.get("/orders/<payment_id>")
def order(payment_id: str) -> str:
    return render_template_string(ORDER, order=known(payment_id))


@app.post("/orders/<payment_id>/<any(accept, cancel):status>")
def tell(payment_id: str, status: Any) -> ResponseReturnValue:
    """The buyer says so. Nothing is given away for it: the webhook decides."""
    known(payment_id)
    cerber.update_status(payment_id, status)
    return redirect(f"/orders/{payment_id}", 303)


@app.post("/hook")
def hook() -> ResponseReturnValue:
    """Verify the raw bytes, store, answer. The same event may come twice, and an old one late."""
    try:
        event = read_webhook(request.get_data(), request.headers, PAYMENT_SECRET)
    except BadWebhook as error:
        return f"{error}\n", 400
    # A cancel that comes late, after more was heard of the payment, is not to undo that: ask what the payment now is.
    still_cancelled = event.kind == "cancel" and cerber.get_status(event.payment_id or "") == "cancel"
    orders.learn(event, still_cancelled=still_cancelled)
    return "", 204


@app.errorhandler(ApiError)
@app.errorhandler(Unreachable)
def refused(error: ApiError | Unreachable) -> ResponseReturnValue:
    """For a buyer, who may try again; and for a webhook, which then comes again by itself."""
    app.logger.warning("%s", error)
    if isinstance(error, ApiError) and error.code == "invalid":
        return "That is no number of a wallet.\n", 422
    if isinstance(error, ApiError) and error.status == 409:
        return f"This order is closed: {error.payment_status}.\n", 409
    return "We can't take payments now. Please try again in a moment.\n", 503


def known(payment_id: str) -> sqlite3.Row:
    found = orders.find(payment_id)
    if found is None:
        abort(404)
    return found
