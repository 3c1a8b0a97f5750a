"""The commands, a file for each noun. They are thin: each calls one use case."""

from __future__ import annotations

from flask import Flask

from cerber.cli import balance, doctor, merchants, migrations, operators, wallets, webhooks


def init_app(app: Flask) -> None:
    groups = (merchants.merchant, wallets.wallet, operators.operator, webhooks.webhook, balance.balance)
    for command in (*groups, webhooks.deliver, doctor.doctor, migrations.Migrations(app)):
        app.cli.add_command(command)
