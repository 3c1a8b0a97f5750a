"""The commands: thin, each calls a service (`plain_commands` has what they share).

`flask db` is Flask-Migrate's, loaded when it is called: nothing else needs Alembic's 10 MB.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from datetime import datetime, timedelta, tzinfo
from typing import Any, cast

import click
from flask import Flask, current_app
from flask.cli import with_appcontext

from cerber import money, signing, timestamps
from cerber.cli.plain import PlainCommand, PlainGroup, print_json, print_secret, print_table
from cerber.config import ROOT
from cerber.context import settings
from cerber.db import engines
from cerber.diagnosis import checks
from cerber.identifiers import identifier
from cerber.merchants import accounts
from cerber.operators import staff
from cerber.wallets import registry
from cerber.webhooks import resending


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


merchant = PlainGroup("merchant", help="Merchants and their secrets.")
wallet = PlainGroup("wallet", help="Wallets that payers send to.")
operator = PlainGroup("operator", help="People who decide payments.")
webhook = PlainGroup("webhook", help="Webhooks on their way to merchants.")

ACTOR = "cli"
TOLD_EVERY = 1.0  # seconds between two lines of progress


def init_app(app: Flask) -> None:
    for command in (merchant, wallet, operator, webhook, deliver, doctor):
        app.cli.add_command(command)
    app.cli.add_command(Migrations(app))


def add_migrations(app: Flask) -> None:
    """Wires Flask-Migrate: its `db` among the commands, and its functions for the app."""
    from flask_migrate import Migrate

    Migrate(app, engines.db, directory=str(ROOT / "migrations"))
    theirs = cast(click.Group, app.cli.commands["db"])
    group = PlainGroup(
        "db", commands=theirs.commands, params=theirs.params, callback=theirs.callback, help=theirs.help
    )
    app.cli.add_command(group)


def _id(context: click.Context, parameter: click.Parameter, value: str) -> str:
    try:
        return identifier(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def _sum(context: click.Context, parameter: click.Parameter, value: str | None) -> int | None:
    try:
        return None if value is None else money.parse_sum(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


@merchant.command("add")
@click.argument("merch_id", callback=_id)
@click.option("--name", default="")
@click.option("--secrets-stdin", is_flag=True, help="Take both secrets from a JSON object on standard input.")
def merchant_add(merch_id: str, name: str, secrets_stdin: bool) -> None:
    """Adds a merchant and shows its secrets, once."""
    given = _given_secrets() if secrets_stdin else None
    payment, balance = given or (signing.new_secret(), signing.new_secret())
    accounts.add(merch_id, name, payment, balance, ACTOR)
    print_secret({"merch_id": merch_id, "payment_secret": payment, "balance_secret": balance})


@merchant.command("rotate")
@click.argument("merch_id")
@click.argument("kind", type=click.Choice([kind.value for kind in signing.SecretKind]))
@click.option("--overlap-hours", type=click.FloatRange(0, 720), default=24.0, show_default=True)
def merchant_rotate(merch_id: str, kind: str, overlap_hours: float) -> None:
    """Makes a new secret; the old one stays valid for the overlap (0 for a leak)."""
    rotation = accounts.rotate(merch_id, signing.SecretKind(kind), timedelta(hours=overlap_hours), ACTOR)
    until = rotation.old_valid_until
    print_secret(
        {"merch_id": merch_id, "kind": kind, "secret": rotation.secret, "old_valid_until": timestamps.utc_text(until)}
    )


@merchant.command("block")
@click.argument("merch_id")
def merchant_block(merch_id: str) -> None:
    """Refuses a merchant's requests from the next one on."""
    accounts.set_blocked(merch_id, ACTOR, blocked=True)


@merchant.command("unblock")
@click.argument("merch_id")
def merchant_unblock(merch_id: str) -> None:
    """Lets a merchant's requests in again."""
    accounts.set_blocked(merch_id, ACTOR, blocked=False)


@merchant.command("list")
@click.option("--json", "as_json", is_flag=True)
def merchant_list(as_json: bool) -> None:
    """Lists the merchants."""
    rows = [
        {"merch_id": row.merch_id, "name": row.name, "blocked": row.blocked_at is not None}
        for row in accounts.list_all()
    ]
    print_table(rows, as_json)


@wallet.command("add")
@click.argument("number", callback=_id)
@click.argument("link")
@click.option("--label", default="")
@click.option("--daily-limit", callback=_sum, help="In manat; without it there is none.")
def wallet_add(number: str, link: str, label: str, daily_limit: int | None) -> None:
    """Adds a wallet, active at once."""
    try:
        registry.add(number, link, label, daily_limit, ACTOR)
    except ValueError as error:
        raise click.BadParameter(f"LINK {error}") from None


@wallet.command("pause")
@click.argument("number")
def wallet_pause(number: str) -> None:
    """Stops new payments from taking a wallet."""
    registry.set_paused(number, ACTOR, paused=True)


@wallet.command("resume")
@click.argument("number")
def wallet_resume(number: str) -> None:
    """Lets new payments take a wallet again."""
    registry.set_paused(number, ACTOR, paused=False)


@wallet.command("list")
@click.option("--json", "as_json", is_flag=True)
def wallet_list(as_json: bool) -> None:
    """Lists the wallets. Sums in manat."""
    rows = [
        {
            "number": row.number,
            "link": row.link,
            "label": row.label,
            "daily_limit": None if row.daily_limit is None else money.text(row.daily_limit),
            "paused": row.paused_at is not None,
        }
        for row in registry.list_all()
    ]
    print_table(rows, as_json)


@operator.command("add")
@click.argument("username", callback=_id)
@click.option("--role", type=click.Choice(staff.ROLES), default=staff.ROLES[0], show_default=True)
@click.option("--password-stdin", is_flag=True)
def operator_add(username: str, role: str, password_stdin: bool) -> None:
    """Adds an operator; asks for the password where it is not piped."""
    staff.add(username, _password(piped=password_stdin), role, ACTOR)


@operator.command("list")
@click.option("--json", "as_json", is_flag=True)
def operator_list(as_json: bool) -> None:
    """Lists the operators."""
    print_table([{"username": row.username, "role": row.role} for row in staff.list_all()], as_json)


@webhook.command("resend")
@click.option("--merchant", "merch_id", required=True)
@click.option("--since", "since_text", required=True, help="A date or a time; without a zone in CERBER_TIMEZONE.")
@click.option("--until", "until_text", help="The same; a date alone means its whole day.")
@click.option("--endpoint", "url", help="Only what goes there: https://shop.example.com")
@click.option("--delivered", is_flag=True, help="Also what was delivered.")
@click.option("--dry-run", is_flag=True, help="Only count.")
def webhook_resend(
    merch_id: str, since_text: str, until_text: str | None, url: str | None, delivered: bool, dry_run: bool
) -> None:
    """Sends a merchant's webhooks since a time again: those not delivered."""
    since = _moment("--since", since_text, timestamps.parse_start)
    until = None if until_text is None else _moment("--until", until_text, timestamps.parse_end)
    if until is not None and until < since:
        raise click.UsageError("--until is before --since")
    try:
        target = resending.of_merchant(merch_id, url)
    except ValueError as error:
        raise click.BadParameter(f"--endpoint {error}") from None
    which = resending.Which(since, until, delivered)
    done = _with_progress(resending.run(target, which, ACTOR, dry_run=dry_run))
    print_json(
        {
            "merch_id": target.merch_id,
            "endpoint": target.origin,
            "since": timestamps.utc_text(since),
            "until": until and timestamps.utc_text(until),
            "delivered": delivered,
            "dry_run": dry_run,
            "matched": done.matched,
            "sent_again": done.sent_again,
            "under_way": done.under_way,
        }
    )


def _with_progress(steps: Iterator[resending.Progress]) -> resending.Progress:
    """Runs them all and gives the last; says on standard error how far it is, and where to go on if it is stopped."""
    done, told_at = resending.Progress(), time.monotonic()
    try:
        for done in steps:
            if time.monotonic() - told_at >= TOLD_EVERY and done.up_to is not None:
                told_at = time.monotonic()
                click.echo(f"{_so_far(done)}, now at {timestamps.utc_text(done.up_to)}", err=True)
    except KeyboardInterrupt:
        rest = f" Go on with --since {timestamps.utc_text(done.up_to)}" if done.up_to else ""
        raise click.ClickException(f"Stopped: {_so_far(done)}.{rest}") from None
    return done


def _so_far(done: resending.Progress) -> str:
    return f"{done.seen} looked at, {done.matched} matched, {done.sent_again} sent again"


@click.command("deliver", cls=PlainCommand)
@click.option("--once", is_flag=True, help="Send what is due, then exit: for a scheduled task.")
@click.option("--seconds", type=click.FloatRange(0), help="With --once: stop claiming after so many seconds.")
@with_appcontext
def deliver(once: bool, seconds: float | None) -> None:
    """Sends webhooks, until SIGTERM or SIGINT."""
    if seconds is not None and not once:
        raise click.UsageError("--seconds goes with --once")
    from cerber.webhooks.worker import loop  # here, so that a web process does not carry what only the worker needs

    app: Flask = current_app._get_current_object()  # type: ignore[attr-defined]
    if once:
        loop.run_once(app, seconds)
    else:
        loop.run(app)


@click.command("doctor", cls=PlainCommand)
@click.option("--json", "as_json", is_flag=True)
@with_appcontext
def doctor(as_json: bool) -> None:
    """Checks that all is there that a gateway needs; exits 1 where something is wrong, with what to do."""
    findings = checks.diagnose()
    well = all(finding.ok for finding in findings)
    if as_json:
        print_json({"ok": well, "checks": [asdict(finding) for finding in findings]})
    else:
        for finding in findings:
            click.echo(f"{'ok  ' if finding.ok else 'BAD '} {finding.name}: {finding.message}")
    sys.exit(0 if well else 1)


def _moment(option: str, text: str, parse: Callable[[str, tzinfo], datetime]) -> datetime:
    try:
        return parse(text, settings().timezone)
    except ValueError as error:
        raise click.BadParameter(f"{option}: {error}") from None


def _password(*, piped: bool) -> str:
    if sys.stdin is None:  # it is closed
        return ""
    if piped or not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\n")
    return str(click.prompt("Password", hide_input=True, confirmation_prompt=True))


def _given_secrets() -> tuple[str, str]:
    try:
        given = json.load(sys.stdin)
        return str(given["payment_secret"]), str(given["balance_secret"])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):  # an AttributeError: it is closed
        message = 'Standard input must be {"payment_secret": "whsec_…", "balance_secret": "whsec_…"}.'
        raise click.ClickException(message) from None
