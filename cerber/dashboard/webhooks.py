"""Webhooks, the endpoints that they go to, and sending again."""

from __future__ import annotations

import shlex
from datetime import datetime

from flask import abort, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from cerber import errors
from cerber.context import settings
from cerber.dashboard import forms
from cerber.dashboard.pages import PK, actor, pages
from cerber.timestamps import utc_text
from cerber.webhooks import queries, resending, selection
from cerber.webhooks.kinds import WebhookState

# what one request does at most; the rest is for the command, or for the next request
MOST_SENT = 10_000
MOST_SEEN = 50_000


@pages.get("/endpoints/")
def endpoints_page() -> ResponseReturnValue:
    merchant = request.args.get("merchant", "").strip()
    start = forms.start(request.args)
    found = queries.endpoints(merchant, start)
    held = queries.held_count()
    return render_template("endpoints.html", found=found, merchant=merchant, start=start, held_endpoints=held)


@pages.get(f"/endpoints/<{PK}:pk>")
def endpoint_page(pk: int) -> ResponseReturnValue:
    return _show_endpoint(pk)


@pages.post(f"/endpoints/<{PK}:pk>/try")
def try_endpoint(pk: int) -> ResponseReturnValue:
    try:
        held = resending.try_now(pk, actor())
    except errors.NotFound as error:
        abort(404, error.message)
    flash(
        "The next try goes out at once."
        if held
        else "The endpoint is not held: its webhooks go out when they are due."
    )
    return redirect(url_for("pages.endpoint_page", pk=pk), 303)


@pages.post(f"/endpoints/<{PK}:pk>/resend")
def resend_of_endpoint(pk: int) -> ResponseReturnValue:
    try:
        go_on = _send_again(selection.of_endpoint(pk))
    except errors.NotFound as error:
        abort(404, error.message)
    except forms.BadForm as error:
        return _show_endpoint(pk, str(error), 422)
    return redirect(url_for("pages.endpoint_page", pk=pk, since=go_on), 303)


@pages.get("/webhooks/")
def webhooks_page() -> ResponseReturnValue:
    return _list_webhooks()


@pages.post("/webhooks/resend")
def resend_of_merchant() -> ResponseReturnValue:
    merchant = request.form.get("merchant", "").strip()
    try:
        go_on = _send_again(selection.of_merchant(merchant))
    except errors.NotFound as error:
        return _list_webhooks(error.message, 422)
    except forms.BadForm as error:
        return _list_webhooks(str(error), 422)
    return redirect(url_for("pages.webhooks_page", merchant=merchant, since=go_on), 303)


@pages.get(f"/webhooks/<{PK}:pk>")
def webhook_page(pk: int) -> ResponseReturnValue:
    found = queries.details(pk)
    if found is None:
        abort(404, "There is no such webhook.")
    return render_template("webhook.html", found=found)


@pages.post(f"/webhooks/<{PK}:pk>/resend")
def resend(pk: int) -> ResponseReturnValue:
    try:
        webhook = resending.one(pk, actor())
    except errors.NotFound as error:
        abort(404, error.message)
    flash("The webhook is on its way again.")
    if back := forms.local_path(request.form.get("back", "")):
        return redirect(back, 303)
    if webhook.payment_id is None:
        return redirect(url_for("pages.webhook_page", pk=pk), 303)
    return redirect(url_for("pages.payment_page", pk=webhook.payment_id), 303)


def _send_again(target: selection.Target) -> str | None:
    """Sends again what the form asks for and says how many; gives from when to go on, where there are more."""
    since = forms.since(request.form, settings().timezone)
    which = selection.Which(since, delivered=bool(request.form.get("delivered")))
    done = resending.Progress()
    for done in resending.run(target, which, actor()):
        if done.sent_again >= MOST_SENT or done.seen >= MOST_SEEN:
            break
    told = f"{_webhooks(done.sent_again)} on the way again."
    if done.under_way:
        told += f" {_webhooks(done.under_way)} left alone: being sent now, or wanted later by the receiver."
    if done.finished or done.up_to is None:
        flash(told)
        return None
    go_on = utc_text(done.up_to)
    command = f"flask webhook resend --merchant {shlex.quote(target.merch_id)} --since {go_on}"
    command += f" --endpoint {shlex.quote(target.origin)}" if target.origin else ""
    command += " --delivered" if which.delivered else ""
    flash(f"{told} There may be more: send again once more from the time below on, or run: {command}")
    return _local(done.up_to)


def _show_endpoint(pk: int, refusal: str | None = None, status: int = 200) -> ResponseReturnValue:
    found = queries.endpoint(pk)
    if found is None:
        abort(404, "There is no such endpoint.")
    held_since = found.breaker and found.breaker.held_since
    return render_template(
        "endpoint.html",
        found=found,
        given_up=queries.given_up(pk),
        sent=queries.webhooks(endpoint_pk=pk),
        since=_typed_since() or (_local(held_since) if held_since else ""),
        refusal=refusal,
    ), status


def _list_webhooks(refusal: str | None = None, status: int = 200) -> ResponseReturnValue:
    given = request.values
    wanted = {name: given.get(name, "").strip() for name in ("state", "merchant")}
    if wanted["state"] and wanted["state"] not in queries.STATES:
        abort(400, f"The state must be one of: {', '.join(queries.STATES)}.")
    state = WebhookState(wanted["state"]) if wanted["state"] else None
    endpoint_pk = forms.number(request.args, "to")
    start = forms.start(request.args)
    return render_template(
        "webhooks.html",
        found=queries.webhooks(state, wanted["merchant"], endpoint_pk, start),
        wanted=wanted,
        start=start,
        endpoint=queries.endpoint(endpoint_pk) if endpoint_pk is not None else None,
        since=_typed_since(),
        refusal=refusal,
        held_endpoints=queries.held_count(),
    ), status


def _typed_since() -> str:
    return request.values.get("since", "")[:40]


def _local(moment: datetime) -> str:
    """As a browser's field for a time has it: the second is begun, so that nothing is left out."""
    return moment.astimezone(settings().timezone).strftime("%Y-%m-%dT%H:%M:%S")


def _webhooks(number: int) -> str:
    return "1 webhook is" if number == 1 else f"{number:,} webhooks are"
