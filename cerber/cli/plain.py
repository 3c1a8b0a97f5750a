"""What the commands share: an error is one line on standard error, and what is printed is JSON or a plain table."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click
from flask.cli import AppGroup
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from cerber.errors import CerberError
from cerber.identifiers import escaped_json, identifier, visible

ACTOR = "cli"


@contextmanager
def plain_errors() -> Iterator[None]:
    """Makes what went wrong one line and exit status 1, or 2 where the command was misused; never a traceback."""
    try:
        yield
    except click.exceptions.NoArgsIsHelpError:
        raise
    except click.UsageError as error:  # a new one, without the context of which click would show the usage too
        raise click.UsageError(_line(error.format_message())) from None
    except CerberError as error:
        raise click.ClickException(_line(error.message)) from None
    except (DBAPIError, PoolTimeout) as error:
        raise click.ClickException(f"The database refused: {_cause(error)}. `flask doctor` says more.") from None
    except ValueError as error:
        raise click.ClickException(_line(str(error))) from None
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what could not be written is not tried again at the exit
        raise click.ClickException(_line(str(error))) from None


class PlainCommand(click.Command):
    """A command whose errors are plain, those of its subcommands included."""

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        with plain_errors():
            return super().make_context(info_name, args, parent, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        with plain_errors():
            return super().invoke(ctx)


class PlainGroup(PlainCommand, AppGroup):
    """A group of such commands."""


def checked_id(context: click.Context, parameter: click.Parameter, value: str) -> str:
    """A callback for ids: refuses what is none by the contract's rules."""
    try:
        return identifier(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def piped_or_asked(*, piped: bool) -> str:
    """A new password: the first line of standard input, or asked for twice where a person sits there."""
    if sys.stdin is None:  # it is closed
        return ""
    if piped or not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\n")
    return str(click.prompt("Password", hide_input=True, confirmation_prompt=True))


def print_secret(value: dict[str, Any]) -> None:
    """It is in use already, so a full disk or a closed pipe must not pass for a command that did nothing."""
    try:
        print_json(value)
    except OSError as error:
        raise OSError(
            f"{error}: the secret of {value['merch_id']} is in use, but was not shown. Rotate it."
        ) from None


def print_table(rows: list[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        print_json(rows)
        return
    for row in rows:
        click.echo("\t".join("-" if value is None else visible(str(value)) for value in row.values()))


def print_json(value: object) -> None:
    click.echo(escaped_json(json.dumps(value, ensure_ascii=False)))


def say(line: str, *, err: bool = False) -> None:
    """Prints a line in which there may be what merchants and receivers wrote."""
    click.echo(visible(line), err=err)


def _cause(error: DBAPIError | PoolTimeout) -> str:
    """What the driver says; MySQL's comes with a number before it."""
    said = error.orig.args[-1] if isinstance(error, DBAPIError) and error.orig and error.orig.args else error
    return _line(str(said)).rstrip(".")


def _line(text: str) -> str:
    return visible(" ".join(text.split()))
