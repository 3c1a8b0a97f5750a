"""Merchants and their secrets."""

from __future__ import annotations

import json
import sys
from datetime import timedelta
from typing import Any

import click

from cerber import signing, timestamps
from cerber.cli.plain import ACTOR, PlainGroup, checked_id, print_json, print_secret, print_table
from cerber.config import MOST_OPEN
from cerber.merchants import accounts
from cerber.merchants.models import MerchantSecret
from cerber.payments import clearing

NO_NUMBER = {"none": 0, "default": None}


def checked_limit(context: click.Context, parameter: click.Parameter, value: Any) -> int | None:
    """How many payments may be open, as the merchant's row has it."""
    if value in NO_NUMBER:
        return NO_NUMBER[value]
    number: int = click.IntRange(1, MOST_OPEN).convert(value, parameter, context)
    return number


merchant = PlainGroup("merchant", help="Merchants and their secrets.")


@merchant.command("add")
@click.argument("merch_id", callback=checked_id)
@click.option("--name", default="")
@click.option("--secrets-stdin", is_flag=True, help="Take both secrets from a JSON object on standard input.")
def merchant_add(merch_id: str, name: str, secrets_stdin: bool) -> None:
    """Adds a merchant and shows its secrets, once."""
    given = given_secrets() if secrets_stdin else None
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


@merchant.command("require-v2")
@click.argument("merch_id")
@click.option("--off", is_flag=True, help="Take requests that Signature alone signs again.")
def merchant_require_v2(merch_id: str, off: bool) -> None:
    """Refuses a merchant's requests without Signature-V2, from the next one on."""
    accounts.require_v2(merch_id, ACTOR, required=not off)


@merchant.command("networks")
@click.argument("merch_id")
@click.argument("networks", nargs=-1, metavar="CIDR...")
@click.option("--off", is_flag=True, help="Take requests from anywhere again.")
def merchant_networks(merch_id: str, networks: tuple[str, ...], off: bool) -> None:
    """Refuses a merchant's requests from elsewhere than these networks, from the next one on."""
    if off == bool(networks):
        raise click.UsageError("Give networks such as 203.0.113.0/24, or --off.")
    try:
        accounts.set_networks(merch_id, networks, ACTOR)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


@merchant.command("limit")
@click.argument("merch_id")
@click.option("--open-payments", required=True, metavar="N|none|default", callback=checked_limit)
def merchant_limit(merch_id: str, open_payments: int | None) -> None:
    """Says how many payments of a merchant may be open, in place of CERBER_OPEN_PAYMENTS.

    `none` lifts the cap, that on their sums too; `default` is what the setting says. What is open stays open.
    """
    accounts.limit_open(merch_id, open_payments, ACTOR)


@merchant.command("cancel-open")
@click.argument("merch_id")
def merchant_cancel_open(merch_id: str) -> None:
    """Cancels a merchant's open payments for which no money has come, each with its webhook.

    To keep it from opening more meanwhile, block it first. May be stopped, and called again.
    """
    cancelled, left = clearing.cancel_open(merch_id, ACTOR)
    print_json({"merch_id": merch_id, "cancelled": cancelled, "still_open": left})


@merchant.command("rename")
@click.argument("merch_id")
@click.argument("name")
def merchant_rename(merch_id: str, name: str) -> None:
    """Gives a merchant another NAME for people to read. MERCH_ID stays: its requests name it."""
    accounts.rename(merch_id, name, ACTOR)


@merchant.command("show")
@click.argument("merch_id")
def merchant_show(merch_id: str) -> None:
    """Shows all there is to know of a merchant but its secrets, as JSON."""
    row, secrets = accounts.find(merch_id)
    print_json(
        {
            "merch_id": row.merch_id,
            "name": row.name,
            "created_at": timestamps.utc_text(row.created_at, "seconds"),
            "blocked": row.blocked_at is not None,
            "v2_only": row.v2_only,
            "open_payments": {0: "none", None: "default"}.get(row.most_open, row.most_open),
            "networks": (row.networks or "").split() or None,
            "secrets": [_secret(secret) for secret in secrets],
        }
    )


@merchant.command("list")
@click.option("--json", "as_json", is_flag=True)
def merchant_list(as_json: bool) -> None:
    """Lists the merchants."""
    rows = [
        {"merch_id": row.merch_id, "name": row.name, "blocked": row.blocked_at is not None}
        for row in accounts.list_all()
    ]
    print_table(rows, as_json)


def _secret(row: MerchantSecret) -> dict[str, object]:
    until = row.valid_until
    return {
        "kind": row.kind,
        "created_at": timestamps.utc_text(row.created_at, "seconds"),
        "valid_until": None if until is None else timestamps.utc_text(until, "seconds"),
    }


def given_secrets() -> tuple[str, str]:
    """A merchant's payment and balance secret, out of a JSON object on standard input."""
    try:
        given = json.load(sys.stdin)
        return str(given["payment_secret"]), str(given["balance_secret"])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):  # an AttributeError: it is closed
        message = 'Standard input must be {"payment_secret": "whsec_…", "balance_secret": "whsec_…"}.'
        raise click.ClickException(message) from None
