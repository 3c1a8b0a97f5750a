"""A decision that was sent after its session had ended: kept over the log-in, shown as it was filled in, and recorded
by nobody until it is sent again."""

from __future__ import annotations

from typing import Any

import flask
from flask import request

from cerber.dashboard.forms import Typed

_KEY = "unsent"
_FIELDS = ("sum", "reference", "reason")
_LONGEST = 200  # characters of a field, as all of it travels in a cookie
_DECISIONS = ("pages.accept", "pages.cancel", "pages.settle", "pages.transfer", "pages.void")


def keep(page: str) -> None:
    """What the form held that was sent without a session, for the page on which it stood."""
    if request.endpoint in _DECISIONS:
        typed = {name: request.form[name][:_LONGEST] for name in _FIELDS if name in request.form}
        flask.session[_KEY] = {"page": page.partition("?")[0], "form": request.path, "fields": typed}


def carried() -> dict[str, Any]:
    """The part of the session that outlives a log-in."""
    return {_KEY: flask.session[_KEY]} if _KEY in flask.session else {}


def take(page: str) -> Typed | None:
    """What was kept for this page, once."""
    kept = flask.session.get(_KEY)
    if not kept or kept["page"] != page:
        return None
    del flask.session[_KEY]
    return Typed(kept["form"], kept["fields"])
