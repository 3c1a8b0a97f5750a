"""The desk: what waits, as rows that refresh themselves."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from flask import g, make_response, render_template, request
from flask.typing import ResponseReturnValue

from cerber.context import now
from cerber.dashboard import telling
from cerber.db.transactions import reading
from cerber.payments import desk, timeline
from cerber.payments.desk import Desk, Section, Standing
from cerber.payments.states import Event
from cerber.webhooks.worker import heartbeats


@dataclass(frozen=True, slots=True)
class Shown:
    """`decided` says who decided what, by the payments' keys. `works`: whether a worker is alive."""

    desk: Desk
    decided: dict[int, str]
    works: bool
    tag: str

    @property
    def to_check(self) -> int:
        return len(self.desk.sections[Section.CHECK])


def look() -> Shown:
    return _shown(*_state())


def rows() -> ResponseReturnValue:
    """304 costs what tells whether something has changed, and nothing else."""
    standing, works = _state()
    if request.if_none_match.contains_weak(_tag(standing, works)):
        answer = make_response("", 304)
    else:
        answer = make_response(render_template("desk_rows.html", desk=_shown(standing, works)))
    answer.set_etag(_tag(standing, works), weak=True)
    return answer


def _state() -> tuple[list[Standing], bool]:
    at = now()
    with reading() as session:
        living, _ = heartbeats.alive(session, at)
    return desk.standing(at), living > 0


def _tag(standing: Sequence[Standing], works: bool) -> str:
    """Of all that a row shows but how long it waits, which the browser counts by itself."""
    told = repr((g.operator.id, works, [(row.section, row.pk, row.version) for row in standing]))
    return hashlib.sha256(told.encode()).hexdigest()[:32]


def _shown(standing: Sequence[Standing], works: bool) -> Shown:
    looked = desk.look(standing)
    decided: dict[int, str] = {}
    for entry in looked.decided:
        if entry.payment_id is not None and entry.action != Event.TRANSFER:
            decided.setdefault(entry.payment_id, telling.sentence(timeline.told_by(entry)))
    return Shown(looked, decided, works, _tag(standing, works))
