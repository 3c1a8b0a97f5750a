"""`flask doctor`: is all there that a gateway needs."""

from __future__ import annotations

import sys
from dataclasses import asdict

import click
from flask.cli import with_appcontext

from cerber.cli.plain import PlainCommand, print_json, say
from cerber.diagnosis import checks


@click.command("doctor", cls=PlainCommand)
@click.option("--json", "as_json", is_flag=True)
@with_appcontext
def doctor(as_json: bool) -> None:
    """Checks that all is there that a gateway needs; exits 1 where something is wrong, with what to do."""
    findings = checks.diagnose()
    well = all(finding.ok for finding in findings)
    if as_json:
        print_json({"ok": well, "checks": [asdict(finding) for finding in findings]})
    else:
        for finding in findings:
            say(f"{'ok  ' if finding.ok else 'BAD '} {finding.name}: {finding.message}")
    sys.exit(0 if well else 1)
