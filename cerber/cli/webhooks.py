"""Webhooks on their way to merchants: sending them again, and the worker that sends them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import datetime, tzinfo

import click
from flask import Flask, current_app
from flask.cli import with_appcontext

from cerber import timestamps
from cerber.backups import silence
from cerber.cli.plain import ACTOR, PlainCommand, PlainGroup, print_json, say
from cerber.context import settings
from cerber.ledger import folding
from cerber.payments import expiry
from cerber.webhooks import resending, selection

webhook = PlainGroup("webhook", help="Webhooks on their way to merchants.")

TOLD_EVERY = 1.0  # seconds between two lines of progress


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
        target = selection.of_merchant(merch_id, url)
    except ValueError as error:
        raise click.BadParameter(f"--endpoint {error}") from None
    which = selection.Which(since, until, delivered)
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


@click.command("deliver", cls=PlainCommand)
@click.option("--once", is_flag=True, help="Send what is due, then exit: for a scheduled task.")
@click.option("--seconds", type=click.FloatRange(0), help="With --once: stop claiming after so many seconds.")
@click.option("--go-on", is_flag=True, help="Deliver from here again, though the database was copied elsewhere.")
@with_appcontext
def deliver(once: bool, seconds: float | None, go_on: bool) -> None:
    """Sends webhooks, until SIGTERM or SIGINT."""
    if seconds is not None and not once:
        raise click.UsageError("--seconds goes with --once")
    if go_on:
        silence.end(ACTOR)
    elif why := silence.reason():
        raise click.ClickException(f"{why}. To deliver from here all the same: `flask deliver --go-on`")
    from cerber.webhooks.worker import loop  # here, so that a web process does not carry what only the worker needs

    app: Flask = current_app._get_current_object()  # type: ignore[attr-defined]
    duties = (folding.fold_all,)
    if once:
        loop.run_once(app, expiry.expire_due, seconds, duties)
    else:
        loop.run(app, expiry.expire_due, duties)


def _with_progress(steps: Iterator[resending.Progress]) -> resending.Progress:
    """Runs them all and gives the last; says on standard error how far it is, and where to go on if it is stopped."""
    done, told_at = resending.Progress(), time.monotonic()
    try:
        for done in steps:
            if time.monotonic() - told_at >= TOLD_EVERY and done.up_to is not None:
                told_at = time.monotonic()
                say(f"{_so_far(done)}, now at {timestamps.utc_text(done.up_to)}", err=True)
    except KeyboardInterrupt:
        rest = f" Go on with --since {timestamps.utc_text(done.up_to)}" if done.up_to else ""
        raise click.ClickException(f"Stopped: {_so_far(done)}.{rest}") from None
    return done


def _so_far(done: resending.Progress) -> str:
    return f"{done.seen} looked at, {done.matched} matched, {done.sent_again} sent again"


def _moment(option: str, text: str, parse: Callable[[str, tzinfo], datetime]) -> datetime:
    try:
        return parse(text, settings().timezone)
    except ValueError as error:
        raise click.BadParameter(f"{option}: {error}") from None
