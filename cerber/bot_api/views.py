"""The calls of the merchants' API: authenticate, parse, one service call, answer."""

from __future__ import annotations

import json
from typing import Any

from flask import Blueprint, Response, request

from cerber.bot_api import auth, body, schemas
from cerber.bot_api.body import Fields
from cerber.bot_api.limits import Call
from cerber.bot_api.schemas import Circumstances, Invalid
from cerber.context import now, settings
from cerber.errors import NotFound, PaymentNotFound, WebhookBodySent
from cerber.payments import balance, decisions, opening
from cerber.payments.states import is_due
from cerber.signing import SecretKind
from cerber.timestamps import utc_text
from cerber.webhooks import bodies, feed
from cerber.webhooks.callback_urls import parse_callback_url
from cerber.webhooks.feed import HappenedEvent

blueprint = Blueprint("bot_api", __name__, url_prefix="/bot_api")

# Served with and without the last slash, never redirected; OPTIONS is a wrong method like any other.
_AS_SENT: dict[str, Any] = {"strict_slashes": False, "provide_automatic_options": False}


@blueprint.post("/get_wallet/", **_AS_SENT)
def get_wallet() -> Response:
    fields = _fields()
    merchant, known = auth.opener(fields)
    shown = opening.open_payment(merchant, schemas.get_wallet(fields, _circumstances()), known)
    return _answer(
        payment_id=bodies.payment_number(shown.payment_id),
        wallet_link=shown.link,
        image=shown.image,
        wallet_number=shown.number,
    )


@blueprint.post("/update_status/", **_AS_SENT)
def update_status() -> Response:
    fields = _fields()
    found = auth.payment(fields, Call.UPDATE)
    if "confirm_sum" in fields.values:
        raise WebhookBodySent("This is the body of a webhook; a request has no confirm_sum.")
    payment_id, status = schemas.update_status(fields)
    payment = _known(found)
    became = decisions.merchant_update(payment.id, f"merchant:{payment.merch_id}", accept=status == "accept")
    number = bodies.payment_number(payment_id)
    return _answer(paymnet_id=number, payment_id=number, status=became)


@blueprint.get("/get_status/", **_AS_SENT)
def get_status() -> Response:
    fields = _fields()
    found = auth.payment(fields, Call.READ)
    payment_id = schemas.get_status(fields)
    payment = _known(found)
    due = is_due(payment.status, payment.due_at, now())
    status = decisions.current_status(payment.id) if due else payment.status
    return _answer(payment_id=bodies.payment_number(payment_id), status=status)


@blueprint.get("/get_balance/", **_AS_SENT)
def get_balance() -> Response:
    fields = _fields()
    merchant = auth.merchant(fields, SecretKind.BALANCE, Call.READ)
    asked = schemas.get_balance(fields, _circumstances())
    text = balance.body(merchant, asked.start, asked.end)
    if asked.callback_url:
        balance.send(merchant, asked.start, asked.end, asked.callback_url, text)
    return Response(text, mimetype="application/json")


@blueprint.get("/get_events/", **_AS_SENT)
def get_events() -> Response:
    fields = _fields()
    merchant = auth.merchant(fields, SecretKind.BALANCE, Call.READ)
    asked = schemas.get_events(fields)
    try:
        page = feed.after(merchant, asked.after, asked.limit)
    except NotFound:
        raise Invalid([("after", "is no event of yours")]) from None
    return _answer(events=[_event(event) for event in page.events], cursor=page.cursor, has_more=page.has_more)


def _event(event: HappenedEvent) -> dict[str, object]:
    return {
        "webhook-id": event.event_id,
        "kind": event.kind,
        "payment_id": None if event.payment_id is None else bodies.payment_number(event.payment_id),
        "body": event.body,
        "time": utc_text(event.at, "microseconds"),
        "state": event.state,
        "attempts": event.attempts,
    }


def _fields() -> Fields:
    query = request.environ.get("QUERY_STRING", "").encode("latin-1")
    return body.read(request.get_data(), request.mimetype, query, from_query=request.method != "POST")


def _circumstances() -> Circumstances:
    return Circumstances(settings().timezone, _own_host(), settings().allow_private_callbacks)


def _own_host() -> tuple[str, int] | None:
    """This gateway's own host and port, to which no webhook may go."""
    address = settings().base_url or request.host_url
    try:
        own = parse_callback_url(address, own_host=None, allow_private=True)
    except ValueError:  # a Host header that is none names nobody's host
        return None
    return own.host, own.port


def _known(found: auth.Found | None) -> auth.Found:
    if found is None:
        raise PaymentNotFound("You have no payment with this payment_id.")
    return found


def _answer(**members: object) -> Response:
    return Response(json.dumps(members), mimetype="application/json")
