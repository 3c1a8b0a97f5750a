"""The command line of script/seed."""

from __future__ import annotations

import sys
from datetime import timedelta

import click
from dotenv import load_dotenv

from cerber.app import create_app
from cerber.cli.merchants import given_secrets
from cerber.cli.plain import PlainCommand, print_json
from cerber.config import ROOT
from cerber.context import now, settings
from cerber.timestamps import parse_end
from seeding.fill import Wish, fill

MOST = 100_000_000


@click.command(cls=PlainCommand)
@click.option("--payments", type=click.IntRange(1, MOST), required=True, help="How many to make.")
@click.option(
    "--merchants", type=click.IntRange(1, 10_000), default=3, show_default=True, help="Named seed-1 and on."
)
@click.option("--days", type=click.FloatRange(0.01, 3650), default=365.0, show_default=True, help="How far back.")
@click.option("--wallets", type=click.IntRange(1, 1000), default=20, show_default=True)
@click.option("--seed", type=int, default=1, show_default=True, help="The same number makes the same history.")
@click.option("--until", metavar="TIME", help="When the history ends: any of the API's date forms. [default: now]")
@click.option("--secrets-stdin", is_flag=True, help="Take those of seed-1 from a JSON object on standard input.")
def seed(
    payments: int, merchants: int, days: float, wallets: int, seed: int, until: str | None, secrets_stdin: bool
) -> None:
    """Fills the database of CERBER_DATABASE_URL with a history of payments, decided long ago or open now.

    Let nothing else write to it meanwhile. The merchants' secrets are printed once, a JSON object a line; with
    --secrets-stdin those of the other merchants alone.
    """
    given = given_secrets() if secrets_stdin else None
    with create_app().app_context():
        ends = parse_end(until, settings().timezone) if until else now()
        wish = Wish(payments, merchants, wallets, ends - timedelta(days=days), ends, seed, given)
        fill(wish, show=print_json, say=_say)


def _say(text: str) -> None:
    click.echo(f"seed: {text}", err=True)


if __name__ == "__main__":
    load_dotenv(ROOT / ".env")
    sys.argv[0] = "script/seed"
    seed()
