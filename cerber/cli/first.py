"""`flask init`: the settings, the tables and the first admin of a new gateway."""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NoReturn

import click
from cryptography.fernet import Fernet
from flask import Flask
from flask.cli import AppGroup
from sqlalchemy import inspect, select

from cerber import env_file
from cerber.cli.plain import ACTOR, PlainCommand, checked_id, piped_or_asked
from cerber.config import ROOT, BadSetting
from cerber.db.transactions import read_connection
from cerber.merchants.models import Merchant
from cerber.operators import staff
from cerber.operators.models import Role

Factory = Callable[[Mapping[str, str]], Flask]
NEXT = """\
Wrote {file} with fresh keys, made the tables and the admin {admin}. Keep a copy of {file} where no backup of the
database lies: without its CERBER_ENCRYPTION_KEYS nobody can read the merchants' secrets, and with them anybody can.
What comes next:
  flask wallet add NUMBER LINK     a wallet to show to payers
  flask merchant add SHOP          prints the shop's two secrets, once
  flask deliver                    the worker, beside the web processes
  flask doctor                     what is missing, and what to do"""


class _Unset(AppGroup):
    """Has `init` alone: for any other command the settings are not good."""

    def __init__(self, error: BadSetting) -> None:
        super().__init__()
        self._error = error

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        return super().get_command(context, name) or self._refuse()

    def _refuse(self) -> NoReturn:
        sys.exit(str(self._error))


def app_without_settings(error: BadSetting, factory: Factory) -> Flask:
    """What `flask init` runs in where no settings are there yet, or the ones that are there are wrong."""
    app = Flask("cerber")
    app.cli = _Unset(error)
    app.cli.add_command(command(factory))
    return app


def command(factory: Factory) -> click.Command:
    """`flask init`. `factory` makes the app of the new settings."""

    @click.command("init", cls=PlainCommand)
    @click.option(
        "--env-file", type=click.Path(path_type=Path), default=ROOT / ".env", show_default=".env at the root"
    )
    @click.option("--mode", type=click.Choice(["live", "sandbox"]), callback=_asked("Mode", "live"))
    @click.option("--database-url", callback=_asked("Database URL", f"sqlite:///{ROOT}/instance/cerber.db"))
    @click.option(
        "--base-url", callback=_asked("Public address (none: from the request)", ""), help="None by default."
    )
    @click.option("--timezone", default="Asia/Baku", show_default=True)
    @click.option("--admin", callback=_asked("Name of the first admin"), help="The first operator, an admin.")
    @click.option("--password-stdin", is_flag=True)
    def init(
        env_file: Path, mode: str, database_url: str, base_url: str, timezone: str, admin: str, password_stdin: bool
    ) -> None:
        """Sets a new gateway up: a file of settings with fresh keys, the tables, the first admin.

        Over an existing file it changes nothing and exits 1.
        """
        _refuse_existing(env_file)
        values = _fresh(mode, database_url, base_url, timezone)
        password = piped_or_asked(piped=password_stdin)
        _set_up(env_file, values, factory, admin, password)
        click.echo(NEXT.format(file=env_file, admin=admin))

    return init


def _fresh(mode: str, database_url: str, base_url: str, timezone: str) -> dict[str, str]:
    """The settings as they were told, where they were, with keys that nobody else has."""
    values = {
        "CERBER_MODE": mode,
        "CERBER_DATABASE_URL": database_url,
        "CERBER_BASE_URL": base_url,
        "CERBER_TIMEZONE": timezone,
        "CERBER_SECRET_KEY": secrets.token_urlsafe(32),
        "CERBER_ENCRYPTION_KEYS": Fernet.generate_key().decode(),
    }
    return {name: value for name, value in values.items() if value}


def _asked(question: str, default: str | None = None) -> Callable[[click.Context, click.Parameter, str | None], str]:
    """A callback that asks for what isn't given where a person sits there; elsewhere the default stands in."""

    def ask(context: click.Context, parameter: click.Parameter, value: str | None) -> str:
        if value is None and sys.stdin is not None and sys.stdin.isatty():
            value = str(click.prompt(question, default=default))
        if value is None and default is None:
            raise click.MissingParameter(ctx=context, param=parameter)
        chosen = default or "" if value is None else value
        return checked_id(context, parameter, chosen) if parameter.name == "admin" else chosen

    return ask


def _set_up(file: Path, values: Mapping[str, str], factory: Factory, admin: str, password: str) -> None:
    """The file comes first: no database is ever sealed with keys that nobody has kept. It goes again where the rest
    fails, since nothing was sealed yet, so that the same command can be given once more."""
    text = env_file.text_of(values)
    others = {name: value for name, value in os.environ.items() if not name.startswith("CERBER_")}
    from flask_migrate import upgrade  # before the app is made, which else wires no migrations

    app = factory({**others, **values})
    with app.app_context():
        _refuse_used()
        staff.check(admin, password, Role.ADMIN)
        env_file.write_new(file, text)
        try:
            upgrade()
            staff.add(admin, password, Role.ADMIN, ACTOR)
        except BaseException:
            file.unlink()
            raise


def _refuse_existing(file: Path) -> None:
    if file.exists() or file.is_symlink():
        raise click.ClickException(
            f"{file} is there already, and nothing was changed. `flask doctor` says how it stands."
        )


def _refuse_used() -> None:
    """A database with merchants has secrets that only its own keys open."""
    with read_connection() as connection:
        if inspect(connection).has_table("merchants") and connection.scalar(select(Merchant.id).limit(1)) is not None:
            raise click.ClickException(
                "This database is in use: its secrets open with its own CERBER_ENCRYPTION_KEYS alone. Put its "
                "settings back, or name an empty database."
            )
