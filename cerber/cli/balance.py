"""The books behind the balances: whether they agree."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from dataclasses import asdict

import click

from cerber.cli.plain import ACTOR, PlainGroup, print_json, say
from cerber.payments import mending, verification
from cerber.payments.verification import Description, Part, Place

balance = PlainGroup("balance", help="The books behind the merchants' balances.")

TOLD_EVERY = 5.0  # seconds between two lines of progress


def _place(context: click.Context, parameter: click.Parameter, value: str | None) -> Place:
    try:
        return Place() if value is None else Place.parse(value)
    except ValueError:
        raise click.BadParameter("is no place that `flask balance verify` told") from None


@balance.command("verify")
@click.option("--repair", is_flag=True, help="Mend entries, sums and wallets' counters; the audit log tells it.")
@click.option("--from", "since", callback=_place, help="Go on where it was stopped, at the place that it told.")
@click.option("--json", "as_json", is_flag=True, help="What is wrong as JSON objects, one a line.")
def balance_verify(repair: bool, since: Place, as_json: bool) -> None:
    """Recomputes what balances are made of from payments and transfers; exits 1 where something is wrong, with what.

    Others may write meanwhile.
    """
    wrong = left = 0
    for part in _with_progress(verification.walk(since)):
        for found in part.wrong:
            mended = repair and mending.mend(found, ACTOR)
            wrong, left = wrong + 1, left + (not mended)
            about = verification.described(found)
            _tell(about, mended=mended, as_json=as_json)
    if not as_json:
        say(f"{wrong} wrong, {wrong - left} mended" if wrong else "all is well")
    sys.exit(1 if left else 0)


def _tell(about: Description, *, mended: bool, as_json: bool) -> None:
    if as_json:
        print_json(asdict(about) | {"mended": mended})
    else:
        say(f"{about}{', mended' if mended else ''}")


def _with_progress(parts: Iterator[Part]) -> Iterator[Part]:
    """Says on standard error how far it is, and where to go on if it is stopped."""
    told_at, place = time.monotonic(), Place()
    try:
        for part in parts:
            place = part.place
            if time.monotonic() - told_at >= TOLD_EVERY:
                told_at = time.monotonic()
                say(f"at {place}", err=True)
            yield part
    except KeyboardInterrupt:
        raise click.ClickException(f"Stopped. Go on with --from {place}") from None
