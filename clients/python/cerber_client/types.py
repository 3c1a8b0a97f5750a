"""What the calls give. Ids are always text, whatever JSON made of them; sums are decimal texts in manat."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Status = Literal["pending", "confirming", "accept", "cancel"]
Kind = Literal["accept", "cancel", "change_sum", "balance"]


@dataclass(frozen=True)
class Wallet:
    """Where the payer is to send the money. `image`: a QR code of the link, PNG in base64."""

    payment_id: str
    wallet_number: str
    wallet_link: str
    image: str

    @property
    def png(self) -> bytes:
        return base64.b64decode(self.image)


@dataclass(frozen=True)
class Balance:
    """Sums of a shop's payments: received, awaited, and cancelled or written off."""

    confirm_sum: str
    pending_sum: str
    canceled_sum: str


@dataclass(frozen=True)
class Event:
    """What happened, out of a webhook or out of get_events. Handle each `id` once.

    `confirm_sum`: all that has come for the payment so far; `payment_sum`: what it is for, told with `change_sum`
    alone. `body`: the text as it was signed. `time` (RFC 3339), `state` and `attempts` of the webhook's delivery are
    known where the event was pulled.
    """

    id: str
    kind: Kind
    payment_id: str | None
    confirm_sum: str | None
    payment_sum: str | None
    balance: Balance | None
    body: str
    time: str | None = None
    state: str | None = None
    attempts: int | None = None


@dataclass(frozen=True)
class EventPage:
    """`cursor`: what to ask for the next page with, as `after`."""

    events: Sequence[Event]
    cursor: str | None
    has_more: bool


def from_json(text: str) -> Any:
    """JSON with all numbers as their own text: no sum becomes a float, and an id is a text either way."""
    return json.loads(text, parse_int=str, parse_float=str)


def event(event_id: str, body: str, pulled: Mapping[str, Any] | None = None) -> Event:
    """Reads a webhook's body; `pulled`: its entry in get_events. Raises ValueError for one that is not known."""
    told = from_json(body)
    if not isinstance(told, dict):
        raise ValueError("the body is no object")
    more = pulled or {}
    is_balance = "canceled_sum" in told
    return Event(
        id=event_id,
        kind=_kind(told),
        payment_id=None if is_balance else told["payment_id"],
        confirm_sum=None if is_balance else told["confirm_sum"],
        payment_sum=told.get("payment_sum"),
        balance=balance(told) if is_balance else None,
        body=body,
        time=more.get("time"),
        state=more.get("state"),
        attempts=int(more["attempts"]) if "attempts" in more else None,
    )


def balance(told: Mapping[str, str]) -> Balance:
    return Balance(told["confirm_sum"], told["pending_sum"], told["canceled_sum"])


def _kind(told: Mapping[str, str]) -> Kind:
    """The bodies name no kind: by their keys they are told apart."""
    if "canceled_sum" in told:
        return "balance"
    if "payment_sum" in told:
        return "change_sum"
    kinds: dict[str, Kind] = {"confirm": "accept", "cancel": "cancel"}
    if told.get("status") not in kinds:
        raise ValueError("the body tells nothing that is known")
    return kinds[told["status"]]
