"""`flask db` is Flask-Migrate's, loaded when it is called: nothing else needs Alembic's 10 MB."""

from __future__ import annotations

from typing import Any, cast

import click
from flask import Flask

from cerber.cli.plain import PlainGroup
from cerber.config import ROOT
from cerber.db.engines import db


class Migrations(click.Command):
    """Stands for Flask-Migrate's group until it is called."""

    def __init__(self, app: Flask) -> None:
        super().__init__("db", help="Perform database migrations.")
        self._app = app

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        add_migrations(self._app)
        return self._app.cli.commands["db"].make_context(info_name, args, parent, **extra)


def add_migrations(app: Flask) -> None:
    """Wires Flask-Migrate: its `db` among the commands, and its functions for the app."""
    from flask_migrate import Migrate

    Migrate(app, db, directory=str(ROOT / "migrations"))
    theirs = cast(click.Group, app.cli.commands["db"])
    group = PlainGroup(
        "db", commands=theirs.commands, params=theirs.params, callback=theirs.callback, help=theirs.help
    )
    app.cli.add_command(group)
