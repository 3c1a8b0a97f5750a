"""What happened to a payment, as one line of time: its changes with their transfers, and what the shop was told."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from cerber import money
from cerber.audit.models import AuditEntry
from cerber.payments.models import Transfer
from cerber.payments.queries import Details
from cerber.payments.states import Event
from cerber.webhooks.models import Webhook
from cerber.webhooks.queries import Attempts

OPENED = "opened"
NOTICE = "notice"
CHANGES = frozenset(Event)


@dataclass(frozen=True, slots=True)
class Happening:
    """`what` is OPENED, NOTICE, an `Event` or another action of the audit log; `amount` in qəpik is what it recorded,
    closed or took back, `told` what else is known of it."""

    at: datetime
    what: str
    actor: str = ""
    amount: int = 0
    told: str = ""
    transfer: Transfer | None = None
    notice: Webhook | None = None
    attempts: Attempts | None = None


def of(found: Details) -> list[Happening]:
    """All of it, oldest first."""
    opened = Happening(found.payment.opened_at, OPENED, f"merchant:{found.payment.merchant.merch_id}")
    notices = [
        Happening(webhook.created_at, NOTICE, notice=webhook, attempts=attempts)
        for webhook, attempts in found.webhooks
    ]
    happened = [opened, *_entries(found), *notices]  # a change comes before the notice that tells it
    return sorted(happened, key=lambda happening: happening.at)


def changes_since(found: Details, version: int) -> list[Happening]:
    """What changed a payment after the version that somebody saw: each change raised it by one, from 1 on."""
    changes = [entry for entry in found.audit if entry.action in CHANGES]
    return [_happening(entry, found.transfers) for entry in changes[max(version, 1) - 1 :]]


def last_change(found: Details) -> Happening | None:
    changes = [entry for entry in found.audit if entry.action in CHANGES]
    return _happening(changes[-1], found.transfers) if changes else None


def told_by(entry: AuditEntry) -> Happening:
    """What one entry tells, by itself: of money that came, all that had come by then."""
    return _happening(entry, ())


def _entries(found: Details) -> Iterator[Happening]:
    return (_happening(entry, found.transfers) for entry in found.audit)


def _happening(entry: AuditEntry, transfers: Sequence[Transfer]) -> Happening:
    transfer = next((one for one in transfers if _recorded(one, entry)), None)
    details = json.loads(entry.details)
    if entry.action not in CHANGES:
        return Happening(entry.at, entry.action, entry.actor, told=entry.told)
    amount = transfer.sum if transfer else _amount(details, entry.action)
    return Happening(entry.at, entry.action, entry.actor, amount, details.get("reason", ""), transfer)


def _recorded(transfer: Transfer, entry: AuditEntry) -> bool:
    """Whether this entry tells of this transfer: a payment changes once at a time, and both name one moment."""
    money_came = entry.action in (Event.TRANSFER, Event.OPERATOR_ACCEPT)
    return money_came and (transfer.recorded_at, transfer.recorded_by) == (entry.at, entry.actor)


def _amount(details: dict[str, str], action: str) -> int:
    text = details.get("sum" if action == Event.VOID else "received", "0")
    return 0 if text == "0" else money.parse_sum(text)
