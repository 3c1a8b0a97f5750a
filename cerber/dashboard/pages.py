"""What all pages share: who may see them, the tokens of their forms, and the filters of their templates."""

from __future__ import annotations

import json
from datetime import datetime

from flask import Blueprint, flash, g, redirect, request, url_for
from flask.typing import ResponseReturnValue
from flask_wtf.csrf import CSRFProtect

from cerber import money
from cerber.context import now, settings
from cerber.dashboard import refusals, session, unsent
from cerber.payments import states
from cerber.payments.models import Payment

PK = "int(max=9223372036854775807)"  # the largest that the database can hold

LONGEST_ID = 16  # characters of an id in a row

pages = Blueprint("pages", __name__)
csrf = CSRFProtect()


@pages.before_request
def guard() -> ResponseReturnValue | None:
    """First the session, then the form's token."""
    if session.operator() is None and request.endpoint != "pages.log_in":
        return redirect(url_for("pages.log_in", next=_wanted()), 303)
    csrf.protect()
    return None


def _wanted() -> str | None:
    """Where to after the log-in: what was asked for; or where the form stood that was sent without a session."""
    if request.method in ("GET", "HEAD"):
        return request.full_path.rstrip("?") if request.path != "/" else None
    flash("Your session has ended, so nothing was changed. Log in, and you are back where you were.", "warning")
    back = refusals.way_back()
    if back:  # a form of ours; another site may make a browser send anything
        unsent.keep(back)
    return back


@pages.app_template_filter("local")
def local_time(moment: datetime) -> str:
    """In CERBER_TIMEZONE."""
    return moment.astimezone(settings().timezone).strftime("%Y-%m-%d %H:%M:%S")


@pages.app_template_filter("clock")
def clock_time(moment: datetime) -> str:
    """`17:31`, in CERBER_TIMEZONE; with its date where that is not today's."""
    zone = settings().timezone
    there = moment.astimezone(zone)
    return there.strftime("%H:%M" if there.date() == now().astimezone(zone).date() else "%Y-%m-%d %H:%M")


@pages.app_template_filter("day")
def local_day(moment: datetime) -> str:
    return moment.astimezone(settings().timezone).strftime("%d.%m.%Y")


@pages.app_template_filter("ago")
def ago(moment: datetime) -> str:
    """How long ago, in the one or two units that matter."""
    minutes = max(0, int((now() - moment).total_seconds() // 60))
    hours, days = minutes // 60, minutes // 1440
    if days:
        return f"{days} d {hours % 24} h"
    return f"{hours} h {minutes % 60} min" if hours else f"{minutes} min"


@pages.app_template_filter("urgent")
def urgent(moment: datetime) -> str:
    """How a wait looks: bold after 5 minutes, red after 15."""
    minutes = (now() - moment).total_seconds() / 60
    return "wait-long" if minutes > 15 else "wait-some" if minutes > 5 else ""


@pages.app_template_filter("cut")
def cut(text: str, longest: int = LONGEST_ID) -> str:
    """A long id, cut in the middle: its beginning and its end tell one from another."""
    end = longest // 2 - 1
    return text if len(text) <= longest else f"{text[: longest - end - 1]}…{text[-end:]}"


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


def actor() -> str:
    return f"operator:{g.operator.username}"
