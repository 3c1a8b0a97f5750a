"""People who decide payments."""

from __future__ import annotations

import click

from cerber.cli.plain import ACTOR, PlainGroup, checked_id, piped_or_asked, print_table
from cerber.operators import managing, staff
from cerber.operators.models import Operator, Role

operator = PlainGroup("operator", help="People who decide payments.")


@operator.command("add")
@click.argument("username", callback=checked_id)
@click.option(
    "--role", type=click.Choice([role.value for role in Role]), default=Role.OPERATOR.value, show_default=True
)
@click.option("--password-stdin", is_flag=True)
def operator_add(username: str, role: str, password_stdin: bool) -> None:
    """Adds an operator; asks for the password where it is not piped."""
    staff.add(username, piped_or_asked(piped=password_stdin), role, ACTOR)


@operator.command("password")
@click.argument("username", callback=checked_id)
@click.option("--password-stdin", is_flag=True)
def operator_password(username: str, password_stdin: bool) -> None:
    """Sets a new password; asks for it where it is not piped. Ends all sessions of the operator, as the others do."""
    managing.set_password(username, piped_or_asked(piped=password_stdin), ACTOR)


@operator.command("role")
@click.argument("username", callback=checked_id)
@click.argument("role", type=click.Choice([role.value for role in Role]))
def operator_role(username: str, role: str) -> None:
    """Makes an operator an admin, or an admin an operator."""
    managing.set_role(username, Role(role), ACTOR)


@operator.command("disable")
@click.argument("username", callback=checked_id)
def operator_disable(username: str) -> None:
    """Lets an operator in no more, until `enable`."""
    managing.disable(username, ACTOR)


@operator.command("enable")
@click.argument("username", callback=checked_id)
def operator_enable(username: str) -> None:
    """Lets a disabled operator in again."""
    managing.enable(username, ACTOR)


@operator.command("remove")
@click.argument("username", callback=checked_id)
def operator_remove(username: str) -> None:
    """Takes an account away; what the operator decided keeps the name."""
    managing.remove(username, ACTOR)


@operator.command("totp-reset")
@click.argument("username", callback=checked_id)
def operator_totp_reset(username: str) -> None:
    """Takes a lost second factor away."""
    managing.reset_totp(username, ACTOR)


@operator.command("list")
@click.option("--json", "as_json", is_flag=True)
def operator_list(as_json: bool) -> None:
    """Lists the operators."""
    rows = staff.list_all()
    print_table([{"username": row.username, "role": row.role, "state": _state(row)} for row in rows], as_json)


def _state(operator: Operator) -> str:
    return "disabled" if operator.disabled_at else "active"
