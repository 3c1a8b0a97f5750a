"""What the gateway knows of itself as a whole."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import CheckConstraint, String
from sqlalchemy.orm import Mapped, mapped_column

from cerber.db.tables import MYSQL_TABLE, Base


class Silence(Base):
    """A row, the only one there can be, from when this database was copied elsewhere until it is told to go on: no
    worker delivers from it, as the copy's do."""

    __tablename__ = "silence"
    __table_args__ = (CheckConstraint("id = 1", name="one"), MYSQL_TABLE)

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    since: Mapped[datetime]
    why: Mapped[str] = mapped_column(String(400))
