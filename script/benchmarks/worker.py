"""The rows of the delivery worker."""

from __future__ import annotations

import random
import statistics
import sys
import time
from contextlib import ExitStack

from benchmarks import places
from benchmarks.places import Place
from benchmarks.receiver import Receiver, receiver
from benchmarks.results import Result, Size, memory
from benchmarks.shop import Shop, app_on
from cerber.payments.expiry import expire_due
from cerber.webhooks.worker.loop import Delivery

THREADS = 16
DAY = 86_400
PER_SECOND = 200


def delivery(at: Place, size: Size) -> list[Result]:
    """One worker with a backlog, against a pool of threads without a database."""
    shop = Shop(at)
    with receiver() as target:
        ours, theirs = [], []
        for _ in range(size.rounds):
            theirs.append(_pool_rate(at, target, size.webhooks))
            shop.fill(target.url(), size.webhooks)
            with places.worker(at):
                ours.append(target.wait(size.webhooks).rate)
                shop.wait_until_recorded()
    ratio = statistics.median(a / b for a, b in zip(ours, theirs, strict=True))
    detail = f"{statistics.median(ours):.0f}/s against {statistics.median(theirs):.0f}/s of the pool"
    return [Result("delivery", at.kind, ratio, "of the pool", detail, least=1.3 if at.kind == "sqlite" else 1.1)]


def steady(at: Place, size: Size) -> list[Result]:
    """From commit to arrival while 200 events a second come, the first second left out."""
    shop = Shop(at)
    count = int(size.steady * PER_SECOND)
    with receiver() as target, places.worker(at):
        committed = shop.commit(target.url(), count + PER_SECOND, pause=lambda: 1 / PER_SECOND)
        arrived = target.times(len(committed))
    waits = sorted(arrived[event] - moment for event, moment in list(committed.items())[PER_SECOND:])
    moments = list(committed.values())
    rate = (len(moments) - 1) / (moments[-1] - moments[0])
    detail = (
        f"median {statistics.median(waits):.3f} s, longest {waits[-1]:.3f} s, {len(waits)} events at {rate:.0f}/s"
    )
    return [Result("steady, p95", at.kind, _p95(waits), "seconds", detail, most=0.05)]


def single(at: Place, size: Size) -> list[Result]:
    """From commit to arrival of an event that finds the worker idle, at the default poll."""
    shop = Shop(at)
    with receiver() as target, places.worker(at):
        time.sleep(4)
        committed = shop.commit(target.url(), size.singles, pause=lambda: 2.2 + random.random())
        arrived = target.times(len(committed))
    waits = sorted(arrived[event] - moment for event, moment in committed.items())
    detail = f"median {statistics.median(waits):.2f} s, longest {waits[-1]:.2f} s, {len(waits)} events"
    return [Result("single, p95", at.kind, _p95(waits), "seconds", detail, most=0.25)]


def isolation(at: Place, size: Size) -> list[Result]:
    """Four shops with a backlog each, alone and beside one that accepts and never answers."""
    shops, hanging = [Shop(at) for _ in range(4)], Shop(at)
    rates: dict[bool, list[float]] = {False: [], True: []}
    with receiver() as target, places.silent() as silent:
        for _ in range(size.rounds):
            for beside in (False, True):
                hanging.forget()
                for n, shop in enumerate(shops):
                    shop.fill(target.url(n), size.webhooks // 2)
                if beside:
                    hanging.fill(silent, size.webhooks // 2)
                with places.worker(at):
                    rates[beside].append(target.wait(4 * (size.webhooks // 2)).rate)
        hanging.forget()
    ratio = statistics.median(b / a for a, b in zip(rates[False], rates[True], strict=True))
    alone, beside_it = (statistics.median(rates[beside]) for beside in (False, True))
    detail = f"{beside_it:.0f}/s beside it against {alone:.0f}/s alone"
    return [Result("isolation", at.kind, ratio, "of alone", detail, least=0.9)]


def several(at: Place, size: Size) -> list[Result]:
    """Four workers against one, eight shops that take 200 ms to answer. MariaDB only."""
    if at.kind == "sqlite":
        return []
    shops, ratios, rates = [Shop(at) for _ in range(8)], [], []
    with receiver(takes=0.2) as target:
        for _ in range(size.rounds):
            rate = {}
            for workers in (1, 4):
                for n, shop in enumerate(shops):
                    shop.fill(target.url(n), workers * size.webhooks // 40)
                with ExitStack() as stack:
                    for _ in range(workers):
                        stack.enter_context(places.worker(at))
                    rate[workers] = target.wait(8 * (workers * size.webhooks // 40)).rate
                    shops[0].wait_until_recorded()
            ratios.append(rate[4] / rate[1])
            rates.append(rate)
    one, four = (statistics.median(rate[workers] for rate in rates) for workers in (1, 4))
    return [
        Result(
            "workers", at.kind, statistics.median(ratios), "times one", f"{four:.0f}/s against {one:.0f}/s", least=3.5
        )
    ]


def history(at: Place, size: Size) -> list[Result]:
    """An idle worker's poll with so many delivered events behind it, against one without any."""
    with places.place(at.kind) as empty:
        shop = Shop(at)
        shop.deliver_long_ago(size.history)
        ratios, each = [], []
        for _ in range(size.rounds):
            times = [_poll_seconds(place, size.polls) for place in (at, empty)]
            ratios.append(times[0] / times[1])
            each.append(times)
    ours, theirs = (statistics.median(column) * 1e6 for column in zip(*each, strict=True))
    detail = f"{ours:.0f} µs with {size.history:,} delivered against {theirs:.0f} µs with none"
    return [Result("history", at.kind, statistics.median(ratios), "of an empty outbox", detail, most=1.2)]


def idle(at: Place, size: Size) -> list[Result]:
    """CPU of the worker at the default poll, nothing due, extrapolated to a day."""
    with places.worker(at) as pid:
        time.sleep(8)
        started, before = time.monotonic(), places.cpu_seconds(pid)
        time.sleep(size.idle)
        used, seconds = places.cpu_seconds(pid) - before, time.monotonic() - started
    most = 44 if at.kind == "sqlite" else 100
    detail = f"{used:.3f} s in {seconds:.0f} s"
    return [Result("idle", at.kind, used / seconds * DAY, "CPU s a day", detail, most=most)]


def worker_memory(at: Place, size: Size) -> list[Result]:
    shop = Shop(at)
    with receiver() as target, places.worker(at) as pid:
        figures = []
        for _ in range(2):
            shop.fill(target.url(), size.half)
            target.wait(size.half)
            shop.wait_until_recorded()
            figures.append(places.megabytes(pid))
    return memory("memory, delivery worker", at, size, figures[0], figures[1], 90)


def _pool_rate(at: Place, target: Receiver, count: int) -> float:
    command = (sys.executable, "-m", "benchmarks.pool", target.url(), str(count), str(THREADS))
    with places.running(at, *command) as process:
        process.wait(240)
        return target.wait(count).rate


def _poll_seconds(at: Place, polls: int) -> float:
    with app_on(at) as app:
        worker = Delivery(app, "bench", expire_due)
        for _ in range(100):
            worker.step(wait=0)
        started = time.perf_counter()
        for _ in range(polls):
            worker.step(wait=0)
        seconds = (time.perf_counter() - started) / polls
        worker.finish()
    return seconds


def _p95(ordered: list[float]) -> float:
    return ordered[min(int(len(ordered) * 0.95), len(ordered) - 1)]
