"""People who decide payments, and their failed log-ins."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from sqlalchemy import BigInteger, CheckConstraint, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from cerber.db.tables import MYSQL_TABLE, Base, BigId, one_of


class Role(StrEnum):
    """An admin may all that an operator may, and take back what was recorded by mistake."""

    OPERATOR = "operator"
    ADMIN = "admin"


class Operator(Base):
    """`totp_step` is the last time step whose code was taken: no code works twice."""

    __tablename__ = "operators"
    __table_args__ = (CheckConstraint("role IN ('operator', 'admin')", name="role"), MYSQL_TABLE)

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    username: Mapped[str] = mapped_column(String(64), unique=True)
    password_hash: Mapped[str] = mapped_column(String(200))
    role: Mapped[Role] = mapped_column(one_of(Role))
    totp_sealed: Mapped[str | None] = mapped_column(String(400))
    totp_step: Mapped[int | None] = mapped_column(BigInteger)
    session_key: Mapped[str] = mapped_column(String(32))
    created_at: Mapped[datetime]


class FailedLogin(Base):
    """Counted to slow down guessing; in a table, since web processes share no memory."""

    __tablename__ = "failed_logins"
    __table_args__ = (
        Index("ix_failed_logins_username_at", "username", "at"),
        Index("ix_failed_logins_address_at", "address", "at"),
        MYSQL_TABLE,
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    username: Mapped[str] = mapped_column(String(64))
    address: Mapped[str] = mapped_column(String(64))
    at: Mapped[datetime]
