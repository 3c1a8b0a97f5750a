"""Backup, restoration, and moving to another database."""

from __future__ import annotations

from pathlib import Path

import click
from flask.cli import with_appcontext
from sqlalchemy.engine import URL, make_url

from cerber.backups import moving, rotation
from cerber.cli.first import Factory
from cerber.cli.plain import ACTOR, PlainCommand
from cerber.context import settings
from cerber.db.engines import db
from cerber.diagnosis import sealed
from cerber.errors import NotRestored

USELESS = "It is of no use without the CERBER_ENCRYPTION_KEYS of .env: keep those too, and elsewhere."


def commands(factory: Factory) -> tuple[click.Command, ...]:
    """`backup`, `restore` and `copy-to`. `factory` makes the app of another database."""
    return backup, _restore(factory), _copy_to(factory)


def _restore(factory: Factory) -> click.Command:
    @click.command("restore", cls=PlainCommand)
    @click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
    @click.option("--force", is_flag=True, help="Over live data, of which a backup is made first.")
    @click.option("--deliver", is_flag=True, help="Send what was on its way when the backup was made.")
    @with_appcontext
    def restore(file: Path, force: bool, deliver: bool) -> None:
        """Puts a backup back. Stop the web processes and workers first.

        Webhooks that were on their way then are given up, since they may have been delivered later: send them again
        with `flask webhook resend`, or restore with --deliver.
        """
        own = db.engine.url
        _spare_live_data(own, file, force=force)
        done = moving.restore(file, own, _migrating(factory), _say, deliver=deliver)
        click.echo(f"Restored {done.rows} rows as they were at {done.made_at}.")
        if done.waiting:
            click.echo(
                f"{done.waiting} webhooks that were on their way were given up: `flask webhook resend` sends them."
            )
        if shut := sealed.look().shut:
            raise click.ClickException(
                f"{shut} secrets can't be opened: put the CERBER_ENCRYPTION_KEYS of this backup's gateway into .env."
            )

    return restore


def _copy_to(factory: Factory) -> click.Command:
    @click.command("copy-to", cls=PlainCommand)
    @click.argument("url")
    @with_appcontext
    def copy_to(url: str) -> None:
        """Copies everything into an empty database, to go on there. Stop the web processes and workers first."""
        target = _other(factory, url)
        rows = moving.copy(target, db.engine.url, _migrating(factory), _say, ACTOR)
        click.echo(
            f"Copied {rows} rows, and compared them. Now set CERBER_DATABASE_URL and start web and workers. This "
            "database delivers nothing any more; `flask deliver --go-on` would have it do so again."
        )

    return copy_to


@click.command("backup", cls=PlainCommand)
@click.argument("file", type=click.Path(path_type=Path), required=False)
@click.option("--to", "directory", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--keep", type=click.IntRange(1), help="With --to: so many of the newest stay there.")
@with_appcontext
def backup(file: Path | None, directory: Path | None, keep: int | None) -> None:
    """Writes everything into FILE, or into a new file in a directory: for a daily task. Others may work on."""
    if (file is None) == (directory is None) or (keep is not None and directory is None):
        raise click.UsageError("give FILE, or --to DIR and perhaps --keep N")
    where = file or rotation.next_name(directory or Path())
    rows = moving.backup(where, _say)
    click.echo(f"Wrote {where}: {rows} rows, read again and compared. {USELESS}")
    if directory is not None and keep is not None:
        for old in rotation.prune(directory, keep):
            click.echo(f"Removed {old}")


def _spare_live_data(own: URL, file: Path, *, force: bool) -> None:
    if not moving.holds_data_of_its_own(own):
        return
    if not force:
        raise NotRestored(
            "This database holds live data, and nothing was changed: --force replaces it, and backs it up."
        )
    first = rotation.next_name(file.parent, "before-restore")
    moving.backup(first, _say)
    click.echo(f"Wrote what was there into {first}.")


def _migrating(factory: Factory) -> moving.Migrate:
    """Migrations run in an app of their own, for the database that they are of."""
    from flask_migrate import upgrade  # before the app is made, which else wires no migrations

    def migrate(url: URL) -> None:
        with factory(_settings(url.render_as_string(hide_password=False))).app_context():
            upgrade()

    return migrate


def _other(factory: Factory, text: str) -> URL:
    """The URL as the settings take it. Raises BadSetting, which repeats nothing of it."""
    return make_url(factory(_settings(text)).config["SQLALCHEMY_DATABASE_URI"])


def _settings(url: str) -> dict[str, str]:
    return {
        "CERBER_DATABASE_URL": url,
        "CERBER_SECRET_KEY": settings().secret_key,
        "CERBER_ENCRYPTION_KEYS": ",".join(settings().encryption_keys),
    }


def _say(line: str) -> None:
    click.echo(line, err=True)
