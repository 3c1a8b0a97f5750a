"""People who decide payments, and their failed log-ins."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, String
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
    disabled_at: Mapped[datetime | None]
    created_at: Mapped[datetime]


class OperatorSession(Base):
    """A log-in that has not ended yet. `token` is what its cookie names."""

    __tablename__ = "operator_sessions"
    __table_args__ = (Index("ix_operator_sessions_operator_id", "operator_id"), MYSQL_TABLE)

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    operator_id: Mapped[int] = mapped_column(BigId, ForeignKey("operators.id", ondelete="CASCADE"))
    token: Mapped[str] = mapped_column(String(32), unique=True)
    began_at: Mapped[datetime]


class FailedLogin(Base):
    """A single try, kept for a day. `address` is a /64 where it is IPv6; `device` is NULL for a strange one; `told`:
    the audit log has an entry for it, which stands for all of its quarter of an hour."""

    __tablename__ = "failed_logins"
    __table_args__ = (
        Index("ix_failed_logins_username_at", "username", "at"),
        Index("ix_failed_logins_address_at", "address", "at"),
        Index("ix_failed_logins_at", "at"),
        MYSQL_TABLE,
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    username: Mapped[str] = mapped_column(String(64))
    address: Mapped[str] = mapped_column(String(64))
    device: Mapped[str | None] = mapped_column(String(32))
    told: Mapped[bool] = mapped_column(default=False, server_default="0")
    at: Mapped[datetime]
