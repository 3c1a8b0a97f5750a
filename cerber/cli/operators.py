"""People who decide payments."""

from __future__ import annotations

import click

from cerber.cli.plain import ACTOR, PlainGroup, checked_id, piped_or_asked, print_table
from cerber.operators import staff
from cerber.operators.models import Role

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


@operator.command("list")
@click.option("--json", "as_json", is_flag=True)
def operator_list(as_json: bool) -> None:
    """Lists the operators."""
    print_table([{"username": row.username, "role": row.role} for row in staff.list_all()], as_json)
