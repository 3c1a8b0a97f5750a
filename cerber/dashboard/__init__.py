"""The operators' pages: log-in, the queue, one payment; webhooks and the endpoints that they go to."""

from __future__ import annotations

from datetime import timedelta

from flask import Flask, Request, request
from flask.sessions import SecureCookieSession, SecureCookieSessionInterface
from flask_bootstrap import Bootstrap5
from markupsafe import Markup

from cerber.context import settings
from cerber.dashboard import auth, deciding, payments, webhooks  # noqa: F401  # they add their routes to the pages
from cerber.dashboard.pages import pages
from cerber.identifiers import visible
from cerber.ways import Way, way_of


class _Sessions(SecureCookieSessionInterface):
    """Flask's own, for the pages alone: merchants and monitors have no session to read and to save. The cookie is
    Secure where the public address says https or the request came by it, and then has a name that browsers take
    from this host and over https alone: no neighbour of the domain can put another in its place."""

    def open_session(self, app: Flask, request: Request) -> SecureCookieSession | None:
        return super().open_session(app, request) if way_of(request.path) is Way.PAGES else None

    def get_cookie_name(self, app: Flask) -> str:
        name = super().get_cookie_name(app)
        return f"__Host-{name}" if self.get_cookie_secure(app) else name

    def get_cookie_secure(self, app: Flask) -> bool:
        return super().get_cookie_secure(app) or request.is_secure


def _shown(value: object) -> object:
    """What each `{{ }}` of a template becomes: nothing that merchants, receivers or guessers wrote moves or hides
    what stands beside it. Lines stay lines: an answer may have several."""
    return visible(value, keep="\n\r\t") if isinstance(value, str) and not isinstance(value, Markup) else value


def init_app(app: Flask) -> None:
    """Needs the settings installed. CSRF tokens are asked for on the pages only: the bot API has its signatures."""
    with app.app_context():
        base_url = settings().base_url or ""
    app.config.update(
        SESSION_COOKIE_NAME="cerber",
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        SESSION_COOKIE_SECURE=base_url.startswith("https://"),
        PERMANENT_SESSION_LIFETIME=timedelta(hours=12),
        BOOTSTRAP_SERVE_LOCAL=True,
        WTF_CSRF_CHECK_DEFAULT=False,  # the pages check it themselves, after the session
        WTF_CSRF_TIME_LIMIT=None,  # a page left open stays usable as long as its session
        WTF_CSRF_SSL_STRICT=False,  # the token is bound to the session; some browsers send no Referer
    )
    app.session_interface = _Sessions()
    app.jinja_env.finalize = _shown
    Bootstrap5(app)
    auth.init_app(app)
    app.register_blueprint(pages)
