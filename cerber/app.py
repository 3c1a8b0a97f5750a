"""create_app(): the only place that wires things together."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping

from flask import Flask
from werkzeug.middleware.proxy_fix import ProxyFix

from cerber import bot_api, cli, config, context, dashboard, doors, health, metrics
from cerber.cli import first, migrations
from cerber.config import ROOT, BadSetting, Settings
from cerber.context import Clock, system_clock
from cerber.db import engines, transactions


def create_app(env: Mapping[str, str] | None = None, clock: Clock = system_clock) -> Flask:
    """The gateway as a Flask app, set up from `env` (by default the process's environment), that goes by `clock`.

    A bad setting ends the process with one line that names the variable, where `env` is the process's own; else it
    raises BadSetting.
    """
    try:
        settings = config.from_environment(os.environ if env is None else env)
    except BadSetting as error:
        if env is not None:
            raise
        if "init" in sys.argv[1:]:  # `flask init`, which makes the settings
            return first.app_without_settings(error, create_app)
        sys.exit(str(error))
    return _wire(settings, clock)


def _wire(settings: Settings, clock: Clock) -> Flask:
    app = Flask("cerber", root_path=str(ROOT), instance_path=str(ROOT / "instance"))
    app.config["SECRET_KEY"] = settings.secret_key
    app.url_map.merge_slashes = False  # a redirect would turn a POST into a GET
    _trust(app, settings.trusted_proxies)
    (ROOT / "instance").mkdir(0o700, exist_ok=True)
    context.install(app, settings, clock)
    engines.init_app(app, settings)
    transactions.init_app(app)
    bot_api.init_app(app)
    dashboard.init_app(app)
    health.init_app(app)
    metrics.init_app(app)
    doors.init_app(app)
    cli.init_app(app, create_app)
    if "flask_migrate" in sys.modules:  # somebody calls its functions; `flask db` loads it by itself
        migrations.add_migrations(app)
    return app


def _trust(app: Flask, proxies: int) -> None:
    """Takes address and scheme from so many proxies in front. Never the host: few proxies write X-Forwarded-Host, so
    a client's own would pass, and a merchant could tell us that this gateway is elsewhere."""
    if proxies:
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=proxies, x_proto=proxies)  # type: ignore[method-assign]
