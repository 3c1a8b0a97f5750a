"""Log-in and log-out."""

from __future__ import annotations

from flask import Flask, g, redirect, render_template, request, session, url_for
from flask.typing import ResponseReturnValue
from flask_login import LoginManager, UserMixin, current_user, login_user, logout_user

from cerber.dashboard import forms
from cerber.dashboard.pages import csrf, pages
from cerber.errors import TooManyLogins, WrongLogin
from cerber.operators import login
from cerber.operators.models import Operator


class SignedIn(UserMixin):  # type: ignore[misc]  # Flask-Login has no types
    """An operator with a session. The session names the operator's key too: a new key ends all sessions."""

    def __init__(self, operator: Operator) -> None:
        self.operator = operator

    def get_id(self) -> str:
        return f"{self.operator.id}:{self.operator.session_key}"


def load(session_id: str) -> SignedIn | None:
    number, _, key = session_id.partition(":")
    operator = login.find(int(number), key)
    return SignedIn(operator) if operator else None


def init_app(app: Flask) -> None:
    manager = LoginManager(app, add_context_processor=False)  # or an outage's page asks the database, too
    manager.user_loader(load)
    csrf.init_app(app)


@pages.route("/login", methods=["GET", "POST"])
def log_in() -> ResponseReturnValue:
    target = forms.local_path(request.args.get("next", "")) or url_for("pages.queue_page")
    if request.method == "GET":
        return redirect(target, 303) if current_user.is_authenticated else render_template("login.html")
    username = request.form.get("username", "").strip()
    password, totp = request.form.get("password", ""), request.form.get("totp", "")
    try:
        operator = login.log_in(username, password, totp, request.remote_addr or "")
    except WrongLogin as error:
        return render_template("login.html", message=error.message, username=username), 401
    except TooManyLogins as error:
        page = render_template("login.html", message=error.message, username=username)
        return page, 429, {"Retry-After": str(error.seconds)}
    session.clear()  # nothing of the time before the log-in counts after it
    session.permanent = True
    login_user(SignedIn(operator))
    return redirect(target, 303)


@pages.post("/logout")
def logout() -> ResponseReturnValue:
    login.end_sessions(g.operator.id)
    logout_user()
    session.clear()
    return redirect(url_for("pages.log_in"), 303)
