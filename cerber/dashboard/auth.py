"""Log-in and log-out."""

from __future__ import annotations

import flask
from flask import Flask, g, make_response, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_login import LoginManager, login_user, logout_user

from cerber.dashboard import devices, forms, session, unsent
from cerber.dashboard.pages import csrf, pages
from cerber.errors import TooManyLogins, WrongLogin
from cerber.operators import login, sessions
from cerber.operators.models import Operator


def init_app(app: Flask) -> None:
    manager = LoginManager(app, add_context_processor=False)  # or an outage's page asks the database, too
    manager.user_loader(session.load)
    csrf.init_app(app)


@pages.route("/login", methods=["GET", "POST"])
def log_in() -> ResponseReturnValue:
    target = forms.local_path(request.args.get("next", "")) or url_for("pages.queue_page")
    if request.method == "POST":  # a HEAD must not count as a try
        return _try(target)
    return redirect(target, 303) if session.operator() else render_template("login.html")


def _try(target: str) -> ResponseReturnValue:
    username = request.form.get("username", "").strip()
    password, totp = request.form.get("password", ""), request.form.get("totp", "")
    device = devices.present()
    try:
        operator = login.log_in(username, password, totp, request.remote_addr or "", device.id_for(username))
    except WrongLogin as error:
        return render_template("login.html", message=error.message, username=username), 401
    except TooManyLogins as error:
        page = render_template("login.html", message=error.message, username=username)
        return page, 429, {"Retry-After": str(error.seconds)}
    _begin(operator)
    answer = make_response(redirect(target, 303))
    devices.remember(answer, device, operator.username)
    return answer


def _begin(operator: Operator) -> None:
    """Nothing of the time before the log-in counts after it, but for what was filled in and not sent."""
    carried = unsent.carried()
    flask.session.clear()
    flask.session.update(carried)
    flask.session.permanent = True
    login_user(session.SignedIn(operator, sessions.begin(operator.id)))


@pages.post("/logout")
def logout() -> ResponseReturnValue:
    """Ends this session alone."""
    sessions.end(session.token())
    return _gone()


@pages.post("/logout/everywhere")
def logout_everywhere() -> ResponseReturnValue:
    sessions.end_all(g.operator.id)
    return _gone()


def _gone() -> ResponseReturnValue:
    logout_user()
    flask.session.clear()
    return redirect(url_for("pages.log_in"), 303)
