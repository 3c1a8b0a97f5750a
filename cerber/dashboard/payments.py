"""The queue, and the page of one payment."""

from __future__ import annotations

from flask import abort, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from cerber.context import settings
from cerber.dashboard import desk_page, forms, payment_page, telling, unsent
from cerber.dashboard.pages import PK, pages
from cerber.dashboard.payment_page import Told
from cerber.db.paging import FIRST
from cerber.payments import listing, queries
from cerber.timestamps import parse_end, parse_start
from cerber.webhooks import queries as webhooks


@pages.get("/")
def home() -> ResponseReturnValue:
    return redirect(url_for("pages.queue_page"), 303)


@pages.get("/payments/")
def queue_page() -> ResponseReturnValue:
    wanted = {name: request.args.get(name, "").strip() for name in ("status", "merchant", "q", "since", "until")}
    if wanted["status"] and wanted["status"] not in queries.STATUSES:
        abort(400, f"The status must be one of: {', '.join(queries.STATUSES)}.")
    start = forms.start(request.args)
    now_open = desk_page.look() if start == FIRST and not any(wanted.values()) else None
    found = None if now_open else queries.search(_filters(**wanted), start)
    held = webhooks.held_count()
    return render_template(
        "queue.html",
        found=found,
        desk=now_open,
        wanted=wanted,
        start=start,
        hits=listing.HITS,
        held_endpoints=held,
    )


@pages.get("/payments/rows")
def queue_rows() -> ResponseReturnValue:
    """The desk's rows alone; 304 where they are what the browser has."""
    return desk_page.rows()


@pages.get(f"/payments/<{PK}:pk>", endpoint="payment_page")
def show_payment(pk: int) -> ResponseReturnValue:
    found = payment_page.details(pk)
    typed = unsent.take(request.path)
    return payment_page.show(found, Told(unsent=telling.not_recorded(found), typed=typed) if typed else None)


def _filters(status: str, merchant: str, q: str, since: str, until: str) -> queries.Filters:
    """The period in any of the forms that merchants may use, by CERBER_TIMEZONE where it has no zone."""
    zone = settings().timezone
    try:
        period = (since and parse_start(since, zone), until and parse_end(until, zone))
    except ValueError as error:
        abort(400, f"The period can't be read: a time {error}.")
    return queries.Filters(status, merchant, q, period[0] or None, period[1] or None)
