"""Long lists, a page at a time, from a place in the list on: what a page costs does not depend on how far it lies.

One row more is read than is shown, which tells whether there is a next page.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Generic, TypeVar

from sqlalchemy import Select, or_

T = TypeVar("T")
U = TypeVar("U")
S = TypeVar("S", bound=Select[*tuple[Any, ...]])

SIZE = 50
NUMBERED = 20  # so many pages have a number, in links from before there were places
_PLACE = re.compile(r"(-?[0-9]{1,18})\.([0-9]{1,19})")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LAST_KEY = 2**63 - 1


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Where a row stands in a list: by a moment, and by its key among those of one moment."""

    moment: datetime
    pk: int

    def __str__(self) -> str:
        return f"{(self.moment - EPOCH) // timedelta(microseconds=1)}.{self.pk}"

    @classmethod
    def read(cls, text: str) -> Place | None:
        """What `str` wrote; None for anything else, so a link that was cut short leads to the first page."""
        match = _PLACE.fullmatch(text)
        try:
            moment = EPOCH + timedelta(microseconds=int(match[1])) if match else None
        except OverflowError:
            return None
        return cls(moment, int(match[2])) if match and moment and int(match[2]) <= _LAST_KEY else None


@dataclass(frozen=True, slots=True)
class Start:
    """Where a page starts: next to a place, older or newer, or at a number of an old link. Else it is the first."""

    before: Place | None = None
    after: Place | None = None
    number: int = 1

    @classmethod
    def read(cls, args: Mapping[str, str], number: int = 1) -> Start:
        """From the arguments of a link."""
        before, after = (Place.read(args.get(name, "")) for name in ("before", "after"))
        return cls(before, None if before else after, 1 if before or after else number)

    @property
    def skipped(self) -> int:
        return (self.number - 1) * SIZE if 1 < self.number <= NUMBERED else 0

    @property
    def is_lost(self) -> bool:
        """Whether it is the first page in place of one that has no number any more."""
        return self.number > NUMBERED

    @property
    def is_first(self) -> bool:
        return not (self.before or self.after or self.skipped)


FIRST = Start()


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """One page of a list. `back` and `next` are the arguments of the links to its neighbours, None for no such page.

    With `more` there was more than was looked at.
    """

    rows: Sequence[T]
    back: Mapping[str, str] | None = None
    next: Mapping[str, str] | None = None
    more: bool = False

    @property
    def has_next(self) -> bool:
        return self.next is not None

    def showing(self, rows: Sequence[U]) -> Page[U]:
        """The same page with what is shown for its rows."""
        return Page(rows, self.back, self.next, self.more)


@dataclass(frozen=True, slots=True)
class Listing:
    """How a list is read for one page: from where, and in which direction."""

    start: Start
    newest_first: bool = True

    @property
    def turned(self) -> bool:
        """Whether it is read towards its beginning, for the page before the one that was shown."""
        return (self.start.after if self.newest_first else self.start.before) is not None

    @property
    def descending(self) -> bool:
        return self.newest_first != self.turned

    @property
    def most(self) -> int:
        """How many rows of any part of the list may come to be on the page, and one more."""
        return self.start.skipped + SIZE + 1

    def part(self, query: S, moment: Any, pk: Any) -> S:
        """The rows of a query that may be on the page, in the direction in which it is read."""
        order = (moment.desc(), pk.desc()) if self.descending else (moment, pk)
        return query.where(*self._beyond(moment, pk)).order_by(*order).limit(self.most)

    def part_by_key(self, query: S, pk: Any, moment: datetime = EPOCH) -> S:
        """The same for a query all of whose rows stand at one moment."""
        before, after = self.start.before, self.start.after
        if before is not None and moment >= before.moment:
            query = query.where(pk < (before.pk if moment == before.moment else 0))
        if after is not None and moment <= after.moment:
            query = query.where(pk > (after.pk if moment == after.moment else _LAST_KEY))
        return query.order_by(pk.desc() if self.descending else pk).limit(self.most)

    def _beyond(self, moment: Any, pk: Any) -> list[Any]:
        """On the right side of the place. The first condition alone is what an index can use."""
        if self.start.before is not None:
            at = self.start.before
            return [moment <= at.moment, or_(moment < at.moment, pk < at.pk)]
        if self.start.after is not None:
            at = self.start.after
            return [moment >= at.moment, or_(moment > at.moment, pk > at.pk)]
        return []

    def page(self, found: Sequence[Place], *, more: bool = False) -> Page[int]:
        """The keys on the page, out of what the parts gave together."""
        ordered = sorted(set(found), reverse=self.descending)
        skipped = self.start.skipped
        shown, further = ordered[skipped : skipped + SIZE], len(ordered) > skipped + SIZE
        shown = shown[::-1] if self.turned else shown
        back = not self.start.is_first and (further or not self.turned)
        onward = further or self.turned
        earlier, later = ("after", "before") if self.newest_first else ("before", "after")
        return Page(
            [place.pk for place in shown],
            {earlier: str(shown[0])} if shown and back else None,
            {later: str(shown[-1])} if shown and onward else None,
            more,
        )
