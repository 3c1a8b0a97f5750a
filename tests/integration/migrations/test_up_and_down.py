"""Migrations go up and down on both databases, and lead to what the models say."""

from __future__ import annotations

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from flask import Flask
from flask_migrate import downgrade, upgrade
from sqlalchemy import inspect, select

from cerber.db.engines import db
from cerber.db.tables import Base
from cerber.db.transactions import reading
from cerber.payments import decisions, payers
from cerber.payments.models import Payment
from cerber.webhooks.models import Webhook
from tests.support.factories import make_merchant, make_wallet, open_payment


def test_models_and_migrations_agree(app: Flask) -> None:
    with app.app_context(), db.engines["reads"].connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []


def test_down_and_up_again(app: Flask) -> None:
    with app.app_context():
        downgrade(revision="base")
        assert set(inspect(db.engine).get_table_names()) <= {"alembic_version"}
        upgrade()
        assert set(Base.metadata.tables) <= set(inspect(db.engine).get_table_names())


def test_events_survive_a_step_down_and_up(app: Flask) -> None:
    make_wallet(app)
    key = open_payment(app, make_merchant(app))
    with app.app_context():
        decisions.cancel(key, 1, "operator:a")
        downgrade(revision="0001")
        upgrade()
        with reading() as session:
            event = session.scalars(select(Webhook)).one()
    assert event.queued_at == event.created_at == event.scheduled_at


WALLETS = [
    "994551234567",
    "+994 55 123 45 67",
    "(055) 123-45-67",
    "551234567",
    "00994551234567",
    "+994 (0)55 1234567",
    "4169 7388 0000 1111",
    "1",
    "alice@m10",
    "id 55",
    "٥٥١٢٣٤٥٦٧",
    "+ -",
    "0",
    "055 123",
    "055\u00a0123",
]


def test_the_payers_of_older_payments_get_their_numbers(app: Flask) -> None:
    make_wallet(app)
    keys = make_merchant(app)
    for number, wallet in enumerate(WALLETS):
        open_payment(app, keys, payment_id=f"order-{number}", user_wallet=wallet)
    with app.app_context():
        before = digits()
        downgrade(revision="0007")
        downgrade(revision="-1")
        assert "user_wallet_digits" not in {column["name"] for column in inspect(db.engine).get_columns("payments")}
        upgrade()
        assert digits() == before == {wallet: payers.digits(wallet) for wallet in WALLETS}


def test_a_step_that_was_stopped_halfway_can_be_done_again(app: Flask) -> None:
    with app.app_context():
        downgrade(revision="0007")
        downgrade(revision="-1")
        with db.engine.connect() as connection:
            connection.exec_driver_sql("ALTER TABLE payments ADD COLUMN user_wallet_digits VARCHAR(64)")
            connection.exec_driver_sql("CREATE INDEX ix_transfers_reference ON transfers (reference)")
            connection.commit()
        upgrade()
        names = {index["name"] for index in inspect(db.engine).get_indexes("payments")}
        assert "ix_payments_user_wallet_digits" in names


def digits() -> dict[str, str | None]:
    with reading() as session:
        return {row.user_wallet: row.user_wallet_digits for row in session.execute(select(Payment.__table__))}
