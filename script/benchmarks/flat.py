"""Whether what is asked for costs the same with a long history as with a short one, and the same with statistics."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

from benchmarks.doors import Deed, Doors
from benchmarks.histories import history, know
from benchmarks.places import Place
from benchmarks.results import Result, Size

SHORT = 100  # times shorter than the long one
SLOWER = ("get_balance", "search")  # may cost half as much again, all else 1.3 times as much
BALANCE_MS = 3.0


def flat(at: Place, size: Size) -> Iterator[Result]:
    """Each call and page, the two histories asked in turns; first without statistics, then with them."""
    with ExitStack() as stack:
        kept = [stack.enter_context(history(at.kind, many, size.keep)) for many in (size.long, size.long // SHORT)]
        for known in (False, True):
            for one in kept:
                know(one.at, statistics=known)
            doors = [Doors(one) for one in kept]
            long, short = (one.deeds() for one in doors)
            told = "with statistics" if known else "without statistics"
            for name in long:
                times = _in_turns(size.times, long[name], short[name])
                yield from _results(name, at.kind, told, size, *times)
            for one in doors:
                one.close()


def _in_turns(times: int, *ready: Callable[[], Deed]) -> list[float]:
    """Milliseconds of each, the median."""
    taken: list[list[float]] = [[] for _ in ready]
    for _ in range(times):
        for one, spent in zip(ready, taken, strict=True):
            deed = one()
            began = time.perf_counter()
            answer = deed()
            spent.append((time.perf_counter() - began) * 1000)
            if answer.status_code >= 500:
                raise RuntimeError(f"answered {answer.status_code}: {answer.text[:200]}")
    return [statistics.median(spent[times // 10 :]) for spent in taken]


def _results(name: str, kind: str, told: str, size: Size, long: float, short: float) -> Iterator[Result]:
    most = 1.5 if name.startswith(SLOWER) else 1.3
    detail = f"{long:.1f} ms with {size.long:,} payments against {short:.1f} ms with {size.long // SHORT:,}, {told}"
    yield Result(f"flat, {name}", kind, long / short, "of a short history", detail, most=most)
    if name == "get_balance, all time":
        yield Result(name, kind, long, "ms", f"{size.long:,} payments, {told}", most=BALANCE_MS)
