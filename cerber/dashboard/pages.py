"""What all pages share: who may see them, the tokens of their forms, their headers, filters and error pages."""

from __future__ import annotations

import json
from datetime import datetime

from flask import Blueprint, Response, g, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user
from flask_wtf.csrf import CSRFProtect
from werkzeug.exceptions import HTTPException

from cerber import money
from cerber.context import now, settings
from cerber.db.transactions import OUTAGES
from cerber.payments import states
from cerber.payments.models import Payment
from cerber.webhooks import queries

PK = "int(max=9223372036854775807)"  # the largest that the database can hold

pages = Blueprint("pages", __name__)
csrf = CSRFProtect()

_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}


@pages.before_request
def guard() -> ResponseReturnValue | None:
    """First the session, then the form's token."""
    g.operator = current_user.operator if current_user.is_authenticated else None
    if g.operator is None and request.endpoint != "pages.log_in":
        asked = request.full_path.rstrip("?") if request.method == "GET" and request.path != "/" else None
        return redirect(url_for("pages.log_in", next=asked), 303)
    csrf.protect()
    return None


@pages.after_request
def add_headers(response: Response) -> Response:
    response.headers.update(_HEADERS)
    return response


@pages.errorhandler(HTTPException)
def show_http_error(error: HTTPException) -> ResponseReturnValue:
    if error.code is None or error.code < 400:
        return error.get_response()  # a redirect
    return render_template("error.html", title=error.name, message=error.description), error.code


def show_outage(error: Exception) -> ResponseReturnValue:
    message = "The database can't be reached at the moment. Nothing was changed; please try again."
    return render_template("error.html", title="Not available", message=message), 503


for outage in OUTAGES:
    pages.register_error_handler(outage, show_outage)


@pages.app_template_filter("local")
def local_time(moment: datetime) -> str:
    """In CERBER_TIMEZONE."""
    return moment.astimezone(settings().timezone).strftime("%Y-%m-%d %H:%M:%S")


@pages.app_template_filter("ago")
def ago(moment: datetime) -> str:
    """How long ago, in the one or two units that matter."""
    minutes = max(0, int((now() - moment).total_seconds() // 60))
    hours, days = minutes // 60, minutes // 1440
    if days:
        return f"{days} d {hours % 24} h"
    return f"{hours} h {minutes % 60} min" if hours else f"{minutes} min"


@pages.app_template_filter("manat")
def manat(qepik: int) -> str:
    return money.grouped(qepik) + "\u00a0AZN"


@pages.app_template_test("due")
def is_due(payment: Payment) -> bool:
    """Whether its time has run out, though nobody has expired it yet."""
    return states.is_due(states.Status(payment.status), payment.due_at, now())


@pages.app_template_filter("headers")
def headers(text: str) -> list[tuple[str, str]]:
    """What was kept of an attempt's headers: a JSON object, or nothing that can be read."""
    try:
        return [(str(name), str(value)) for name, value in json.loads(text).items()]
    except (ValueError, AttributeError):
        return []


@pages.app_template_global("timezone_name")
def timezone_name() -> str:
    return settings().timezone.key


@pages.app_template_global("held_count")
def held_count() -> int:
    return queries.held_count()


def actor() -> str:
    return f"operator:{g.operator.username}"
