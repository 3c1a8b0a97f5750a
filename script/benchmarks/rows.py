"""The rows by name. Rates alternate with what they are compared to, and the median counts."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from benchmarks import flat, lives, refusals, web, worker
from benchmarks.places import Place
from benchmarks.results import Result, Size


def memory(at: Place, size: Size) -> list[Result]:
    return [*web.web_memory(at, size), *worker.worker_memory(at, size)]


ROWS: dict[str, Callable[[Place, Size], Iterable[Result]]] = {
    "get_status": web.get_status,
    "get_wallet": web.get_wallet,
    "limited": web.limited,
    "refused": refusals.refused,
    "told_apart": refusals.told_apart,
    "delivery": worker.delivery,
    "steady": worker.steady,
    "single": worker.single,
    "isolation": worker.isolation,
    "workers": worker.several,
    "history": worker.history,
    "memory": memory,
    "idle": worker.idle,
    "flat": flat.flat,
    "side_by_side": web.side_by_side,
    "life": lives.life,
}
