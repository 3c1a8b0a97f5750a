"""Long lists, a page at a time: one row more is read than is shown, which tells whether there is a next page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from sqlalchemy import Select

T = TypeVar("T")
U = TypeVar("U")
S = TypeVar("S", bound=Select[*tuple[Any, ...]])

SIZE = 50


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """One page of a list; the first has the number 1."""

    rows: Sequence[T]
    number: int
    has_next: bool

    def showing(self, rows: Sequence[U]) -> Page[U]:
        """The same page with what is shown for its rows."""
        return Page(rows, self.number, self.has_next)


def limited(query: S, number: int) -> S:
    """The query for the rows that `page` takes."""
    return query.offset((number - 1) * SIZE).limit(SIZE + 1)


def page(found: Sequence[T], number: int) -> Page[T]:
    return Page(found[:SIZE], number, len(found) > SIZE)
