"""The commands, a file for each noun. They are thin: each calls one use case."""

from __future__ import annotations

from flask import Flask

from cerber.cli import backups, balance, doctor, first, merchants, migrations, operators, secrets, wallets, webhooks


def init_app(app: Flask, factory: first.Factory) -> None:
    """`factory` makes an app of other settings: those that `flask init` writes."""
    groups = (
        merchants.merchant,
        wallets.wallet,
        operators.operator,
        webhooks.webhook,
        balance.balance,
        secrets.secrets,
    )
    alone = (webhooks.deliver, doctor.doctor, migrations.Migrations(app), first.command(factory), backups.backup)
    for command in (*groups, *alone, *backups.commands(factory)):
        app.cli.add_command(command)
