"""What Cerber is measured against: the least that does the same kind of database work, on Cerber's engine settings.

It has what a first Flask-SQLAlchemy app has: one model, one indexed SELECT, one INSERT and COMMIT.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import Any

from flask import Flask, Response, jsonify, request
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import String, event, select
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from cerber.app import create_app


class Base(DeclarativeBase):
    pass


db = SQLAlchemy(model_class=Base)


class Row(db.Model):  # type: ignore[name-defined, misc]
    __tablename__ = "bench_rows"

    id: Mapped[int] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column("row_key", String(64), unique=True)
    status: Mapped[str] = mapped_column(String(16))
    sum: Mapped[int]
    made_at: Mapped[datetime]


def make() -> Flask:
    theirs = create_app(os.environ).config
    app = Flask("bare")
    app.config["SQLALCHEMY_DATABASE_URI"] = theirs["SQLALCHEMY_DATABASE_URI"]
    app.config["SQLALCHEMY_ENGINE_OPTIONS"] = theirs["SQLALCHEMY_ENGINE_OPTIONS"]
    db.init_app(app)
    with app.app_context():
        if db.engine.dialect.name == "sqlite":
            event.listen(db.engine, "connect", _pragmas)
    app.add_url_rule("/row", view_func=read, methods=["GET"])
    app.add_url_rule("/row", view_func=write, methods=["POST"], endpoint="write")
    return app


def _pragmas(connection: Any, _: Any) -> None:
    for pragma in ("foreign_keys=ON", "journal_mode=WAL", "synchronous=FULL"):
        connection.execute(f"PRAGMA {pragma}")


def read() -> Response:
    row = db.session.scalars(select(Row).filter_by(key=request.get_json()["key"])).one()
    return jsonify(key=row.key, status=row.status)


def write() -> Response:
    asked = request.get_json()
    db.session.add(Row(key=asked["key"], status="pending", sum=asked["sum"], made_at=datetime.now(UTC)))
    db.session.commit()
    return jsonify(key=asked["key"])
