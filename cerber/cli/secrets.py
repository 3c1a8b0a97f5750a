"""What is sealed at rest."""

from __future__ import annotations

import click

from cerber.cli.plain import PlainGroup
from cerber.context import settings
from cerber.diagnosis import sealed

secrets = PlainGroup("secrets", help="What is sealed at rest.")


@secrets.command("rotate-keys")
def rotate_keys() -> None:
    """Seals everything anew under the first of CERBER_ENCRYPTION_KEYS.

    Put a fresh key before the old one, restart web and workers, then run this. It can be stopped and run again.
    """
    count, others = sealed.reseal(), len(settings().encryption_keys) - 1
    click.echo(f"Sealed {count} anew; everything is under the first key now.")
    if others:
        click.echo(
            f"The other {others} in CERBER_ENCRYPTION_KEYS may go. Keep them where backups from before today are: "
            "those need them still."
        )
