"""The page of one payment: what its state allows, what was typed, and what became of it."""

from __future__ import annotations

from dataclasses import dataclass

from flask import abort, g, render_template
from flask.typing import ResponseReturnValue

from cerber.context import now
from cerber.dashboard import telling
from cerber.dashboard.forms import Typed
from cerber.operators.models import Role
from cerber.payments import desk, payer_history, queries, timeline
from cerber.payments.desk import Twins
from cerber.payments.states import Event, possible

NOTHING_TYPED = Typed()


@dataclass(frozen=True, slots=True)
class Told:
    """What became of what was sent. `done` is for a button pressed twice: what was meant has happened. `typed` stays
    only where it surely is not recorded."""

    done: str = ""
    refused: str = ""
    unsent: str = ""
    typed: Typed = NOTHING_TYPED


class Actions:
    """What the payment's state allows whoever looks at it, and with which sums, in qəpik."""

    def __init__(self, found: queries.Details) -> None:
        payment = found.payment
        allowed = possible(payment.facts(ever_received=bool(found.transfers)), now())
        self.missing = payment.sum - payment.received
        self.accept = Event.OPERATOR_ACCEPT in allowed
        self.settle = Event.SETTLE in allowed
        self.cancel = Event.OPERATOR_CANCEL in allowed
        self.void = Event.VOID in allowed and may_void()


def may_void() -> bool:
    return bool(g.operator.role is Role.ADMIN)


def details(pk: int) -> queries.Details:
    found = queries.details(pk)
    if found is None:
        abort(404, "There is no such payment.")
    return found


def show(found: queries.Details, told: Told | None = None, status: int = 200) -> ResponseReturnValue:
    page = render_template(
        "payment.html",
        found=found,
        actions=Actions(found),
        told=told or Told(),
        history=timeline.of(found),
        last=telling.last(found),
        payer=payer_history.of(found.payment),
        twins=desk.twins(found.payment.id) if not found.payment.closed_at else Twins(),
        by=telling.by,
    )
    return page, status
