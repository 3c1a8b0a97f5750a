"""Who did what, written in the transaction that did it."""

from __future__ import annotations

import json
from datetime import datetime

from sqlalchemy import ForeignKey, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from cerber.db.tables import MYSQL_TABLE, Base, BigId


class AuditEntry(Base):
    """`actor` is `operator:NAME`, `merchant:ID`, `expiry`, `cli` or `stranger` (who failed to log in); `details` is a
    JSON object, its sums in manat."""

    __tablename__ = "audit_entries"
    __table_args__ = (Index("ix_audit_entries_payment_id", "payment_id"), MYSQL_TABLE)

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    at: Mapped[datetime]
    actor: Mapped[str] = mapped_column(String(80))
    action: Mapped[str] = mapped_column(String(40))
    payment_id: Mapped[int | None] = mapped_column(BigId, ForeignKey("payments.id"))
    details: Mapped[str] = mapped_column(Text)

    @property
    def told(self) -> str:
        """The details as a person reads them: `status: confirming, received: 20`."""
        return ", ".join(f"{name.replace('_', ' ')}: {value}" for name, value in json.loads(self.details).items())
