"""Wallets that payers send to."""

from __future__ import annotations

import click

from cerber import money
from cerber.cli.plain import ACTOR, PlainGroup, checked_id, print_table
from cerber.wallets import registry

wallet = PlainGroup("wallet", help="Wallets that payers send to.")


def _manat(context: click.Context, parameter: click.Parameter, value: str | None) -> int | None:
    try:
        return None if value is None else money.parse_sum(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def _manat_or_none(context: click.Context, parameter: click.Parameter, value: str) -> int | None:
    return None if value == "none" else _manat(context, parameter, value)


@wallet.command("add")
@click.argument("number", callback=checked_id)
@click.argument("link")
@click.option("--label", default="")
@click.option("--daily-limit", callback=_manat, help="In manat; without it there is none.")
def wallet_add(number: str, link: str, label: str, daily_limit: int | None) -> None:
    """Adds a wallet, active at once."""
    try:
        registry.add(number, link, label, daily_limit, ACTOR)
    except ValueError as error:
        raise click.UsageError(str(error)) from None


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


@wallet.command("limit")
@click.argument("number")
@click.argument("limit", metavar="SUM|none", callback=_manat_or_none)
def wallet_limit(number: str, limit: int | None) -> None:
    """Sets what a wallet may receive in a day, in manat, for new payments; `none` lifts it."""
    registry.set_limit(number, limit, ACTOR)


@wallet.command("edit")
@click.argument("number")
@click.option("--label")
@click.option("--link", help="For new payments: a payer goes on with the link that was shown.")
def wallet_edit(number: str, label: str | None, link: str | None) -> None:
    """Changes a wallet's label or link."""
    if label is None and link is None:
        raise click.UsageError("give --label, --link, or both")
    try:
        registry.edit(number, ACTOR, label=label, link=link)
    except ValueError as error:
        raise click.UsageError(str(error)) from None


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
