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
from cerber.payments import decisions
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
