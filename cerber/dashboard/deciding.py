"""What operators decide about a payment: each view reads the form, calls one service and answers."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from flask import abort, jsonify, redirect, request, url_for
from flask.typing import ResponseReturnValue

from cerber import errors, money
from cerber.dashboard import forms, payment_page, telling
from cerber.dashboard.forms import Typed
from cerber.dashboard.pages import PK, actor, pages
from cerber.dashboard.payment_page import Told
from cerber.payments import decisions
from cerber.payments.queries import Details
from cerber.payments.states import Event

Change = Callable[[int], None]  # what is done to the version that the page showed


@pages.post(f"/payments/<{PK}:pk>/accept")
def accept(pk: int) -> ResponseReturnValue:
    def accept_it(version: int) -> None:
        decisions.accept(pk, version, actor(), forms.reference(request.form))

    return _change(pk, Event.OPERATOR_ACCEPT, accept_it)


@pages.post(f"/payments/<{PK}:pk>/cancel")
def cancel(pk: int) -> ResponseReturnValue:
    return _change(pk, Event.OPERATOR_CANCEL, lambda version: decisions.cancel(pk, version, actor()))


@pages.post(f"/payments/<{PK}:pk>/settle")
def settle(pk: int) -> ResponseReturnValue:
    return _change(pk, Event.SETTLE, lambda version: decisions.settle(pk, version, actor()))


@pages.post(f"/payments/<{PK}:pk>/transfer")
def transfer(pk: int) -> ResponseReturnValue:
    def record(version: int) -> None:
        came = forms.transfer(request.form)
        decisions.record_transfer(pk, version, actor(), came.amount, came.reference)

    return _change(pk, Event.TRANSFER, record)


@pages.post(f"/payments/<{PK}:pk>/transfers/<{PK}:transfer_pk>/void")
def void(pk: int, transfer_pk: int) -> ResponseReturnValue:
    if not payment_page.may_void():
        abort(403, "Only an admin may take back a transfer.")

    def void_it(version: int) -> None:
        decisions.void_transfer(pk, transfer_pk, version, actor(), forms.reason(request.form))

    return _change(pk, Event.VOID, void_it)


def _change(pk: int, event: Event, change: Change) -> ResponseReturnValue:
    version = forms.version(request.form)
    if version is None:
        abort(400, "The form didn't say which version of the payment it showed. Open the payment again.")
    refused = partial(_refused, pk, event, version)
    try:
        change(version)
    except forms.BadForm as error:
        return refused(str(error), error.field, 422)
    except errors.ReferenceUsed as error:
        return refused(error.message, "reference")
    except errors.ReferenceNeeded as error:
        return refused(error.message, "reference", 422)
    except errors.NotFound as error:
        abort(404, error.message)
    except (errors.VersionChanged, errors.NotPossible) as error:
        return refused(error.message)
    if _from_a_row():
        return jsonify(done=True, told=telling.last(payment_page.details(pk)))
    return redirect(url_for("pages.payment_page", pk=pk), 303)


def _from_a_row() -> bool:
    """Whether a row of the desk sent it, which wants to know what became of it and no page."""
    return request.headers.get("X-Desk") == "row"


def _refused(
    pk: int, event: Event, version: int, message: str, wrong: str = "", status: int = 409
) -> ResponseReturnValue:
    """A form to be corrected comes back as it was filled in, if the payment still is what it was filled in for: else
    what was typed may be recorded already. A button pressed twice is told what its first press has done."""
    found = payment_page.details(pk)
    if done := telling.done_already(found, event, version, _sum_sent()):
        return _told(found, Told(done=done), 409)
    if conflict := telling.conflict(found, version, event):
        return _told(found, Told(refused=conflict), 409)
    if wrong:
        return _told(found, Told(typed=Typed(request.path, request.form, message, wrong)), status)
    return _told(found, Told(refused=f"{message} {telling.last(found)}"), status)


def _told(found: Details, told: Told, status: int) -> ResponseReturnValue:
    if not _from_a_row():
        return payment_page.show(found, told, status)
    words = told.done or told.typed.mistake or told.refused
    return jsonify(done=bool(told.done), told=words, field=told.typed.wrong), status


def _sum_sent() -> int | None:
    try:
        return money.entered(request.form.get("sum", ""))
    except ValueError:
        return None
