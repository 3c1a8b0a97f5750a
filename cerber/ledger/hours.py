"""Hours in the database: numbers of a few bytes, where a moment as text takes 26."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Dialect, Integer
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import GenericFunction
from sqlalchemy.types import TypeDecorator

from cerber.ledger import periods

_SINCE_1900 = 613_608  # hours up to 1970: neither database rounds down below zero, and a zone may lead before 1970


class Hour(TypeDecorator[datetime]):
    """The beginning of an hour in UTC; in the database the number of hours since 1970."""

    impl = Integer
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:
        return None if value is None else periods.hours(value)

    def process_result_value(self, value: int | None, dialect: Dialect) -> datetime | None:
        return None if value is None else periods.hour(value)


class hour_of(GenericFunction[datetime]):  # noqa: N801 - it reads as a function
    """The hour in which a moment lies, in SQL."""

    type = Hour()
    inherit_cache = True


@compiles(hour_of, "sqlite")
def _on_sqlite(element: hour_of, compiler: SQLCompiler, **options: Any) -> str:
    moment = compiler.process(element.clauses, **options)
    return f"((CAST(strftime('%s', {moment}) AS INTEGER) + {_SINCE_1900 * 3600}) / 3600 - {_SINCE_1900})"


@compiles(hour_of, "mysql")
@compiles(hour_of, "mariadb")
def _on_mysql(element: hour_of, compiler: SQLCompiler, **options: Any) -> str:
    moment = compiler.process(element.clauses, **options)
    return f"(TIMESTAMPDIFF(SECOND, '1900-01-01', {moment}) DIV 3600 - {_SINCE_1900})"
