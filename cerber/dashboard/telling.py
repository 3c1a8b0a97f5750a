"""Who did what and when, in words. Each sentence is whole, so that it can be translated."""

from __future__ import annotations

from cerber.dashboard.pages import actor, clock_time, manat
from cerber.payments import timeline
from cerber.payments.queries import Details
from cerber.payments.states import RECORD_MONEY, Event
from cerber.payments.timeline import Happening

SENTENCES = {
    Event.MERCHANT_ACCEPT: "{who} said at {at} that it is paid.",
    Event.MERCHANT_CANCEL: "{who} cancelled it at {at}.",
    Event.TRANSFER: "{who} added a transfer of {sum} at {at}.",
    Event.OPERATOR_ACCEPT: "{who} accepted this at {at}: {sum} recorded.",
    Event.SETTLE: "{who} closed this at {at} as paid with {sum}.",
    Event.OPERATOR_CANCEL: "{who} rejected this at {at}.",
    Event.VOID: "{who} took back a transfer of {sum} at {at}.",
    Event.EXPIRE: "It expired at {at}.",
}
YOU = "You"
THE_SHOP = "The shop"
NOBODY = "The clock"
ONCE = "It is recorded once; pressing again changed nothing."
UNSENT = "Your session had ended. What you filled in is here again, and counts when you press the button once more."
CHANGED = "This payment has changed since the page was shown."


def sentence(happening: Happening) -> str:
    """`You accepted this at 17:31: 500.00 AZN recorded.`"""
    said = {"who": who(happening.actor), "at": clock_time(happening.at), "sum": manat(happening.amount)}
    return SENTENCES[Event(happening.what)].format(**said)


def who(name: str) -> str:
    """An actor of the audit log, as whoever looks at the page would say it."""
    kind, _, rest = name.partition(":")
    if kind == "merchant":
        return THE_SHOP
    if name == actor():
        return YOU
    return NOBODY if kind == "expiry" else rest or kind


def by(name: str) -> str:
    """`by you`, behind what was done; nothing where nobody did it."""
    named = who(name)
    return {YOU: "by you", THE_SHOP: "by the shop", NOBODY: ""}.get(named, f"by {named}")


def done_already(found: Details, event: Event, version: int, amount: int | None) -> str | None:
    """What to say where this very operator has done this very thing to the version they saw: a button that was
    pressed twice. None where it was somebody or something else. `amount` of a transfer, in qəpik."""
    since = [one for one in timeline.changes_since(found, version) if not _only_said_paid(one, event)]
    if not since or (since[0].what, since[0].actor) != (event, actor()):
        return None
    if event is Event.TRANSFER and since[0].amount != amount:
        return None
    return " ".join([sentence(since[0]), ONCE, *map(sentence, since[1:])])


def conflict(found: Details, version: int, event: Event) -> str | None:
    """Who changed the payment since that version, and how. None where nobody did, or in a way that leaves this to be
    decided."""
    since = timeline.changes_since(found, version)
    if all(_only_said_paid(one, event) for one in since):
        return None
    return " ".join([CHANGED, *map(sentence, since)])


def not_recorded(found: Details) -> str:
    """For a form that was sent after its session had ended."""
    return " ".join(filter(None, [UNSENT, last(found)]))


def last(found: Details) -> str:
    """How the payment came to be what it is."""
    change = timeline.last_change(found)
    return sentence(change) if change else ""


def _only_said_paid(happening: Happening, event: Event) -> bool:
    return event in RECORD_MONEY and happening.what == Event.MERCHANT_ACCEPT
