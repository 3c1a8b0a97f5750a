"""How often something may happen: the rule of the window, and the file in which all processes count."""

from __future__ import annotations

import fcntl
import multiprocessing
import os
import signal
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cerber import rates
from cerber.rates import Rates, Region

Spend = Callable[[str, float], int]
fork = multiprocessing.get_context("fork")


def of(key: str, limit: int, path: Path | None = None) -> Callable[[float], int]:
    counts = Rates(path, b"salt")
    return lambda moment: counts.spend(Region.MERCHANTS, key, limit, moment)


def test_so_many_pass_and_the_next_is_told_how_long_to_wait() -> None:
    spend = of("a", 10)
    assert [spend(600 + n / 10) for n in range(10)] == [0] * 10
    wait = spend(601)
    assert wait == 66  # until 54 of these 60 seconds are a tenth of the window before
    assert spend(601 + wait - 1.5) > 0
    assert spend(601 + wait) == 0


def test_who_waits_is_not_counted_and_so_never_waits_longer() -> None:
    spend = of("a", 3)
    for _ in range(3):
        spend(60)
    waits = [spend(60 + n) for n in range(59)]
    assert waits == sorted(waits, reverse=True)
    assert min(waits) > 0


@given(
    st.integers(1, 20),
    st.lists(st.floats(0, 30, allow_nan=False), min_size=1, max_size=200),
    st.floats(0, 10**6, allow_nan=False),
)
def test_what_is_told_to_wait_passes_afterwards_and_no_window_holds_more(
    limit: int, pauses: list[float], start: float
) -> None:
    spend, moment, passed = of("a", limit), start, list[float]()
    for pause in pauses:
        moment += pause
        wait = spend(moment)
        if not wait:
            passed.append(moment)
        elif wait and pause > 25:
            moment += wait
            assert spend(moment) == 0
            passed.append(moment)
    for window in {int(one // 60) for one in passed}:
        assert sum(window <= one / 60 < window + 1 for one in passed) <= limit


def test_keys_and_regions_are_counted_apart() -> None:
    counts = Rates(None, b"salt")
    for region in Region:
        for key in ("a", "b", ""):
            assert [bool(counts.spend(region, key, 2, 60)) for _ in range(3)] == [False, False, True]


def test_a_file_is_shared_and_another_gateways_counts_are_others(tmp_path: Path) -> None:
    path = tmp_path / "rates"
    one, two, other = Rates(path, b"salt"), Rates(path, b"salt"), Rates(path, b"another")
    assert [bool(each.spend(Region.MERCHANTS, "a", 2, 60)) for each in (one, two, one, two, other)] == [
        False,
        False,
        True,
        True,
        False,
    ]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_clock_that_began_anew_starts_from_nothing(tmp_path: Path) -> None:
    spend = of("a", 1, tmp_path / "rates")
    assert spend(10**6) == 0
    assert spend(30) == 0
    assert spend(31) > 0


def test_a_million_addresses_drive_no_merchant_out_and_fill_nothing(tmp_path: Path) -> None:
    counts = Rates(tmp_path / "rates", b"salt")
    counts.spend(Region.MERCHANTS, "a", 1, 60)
    size = (tmp_path / "rates").stat().st_size
    for n in range(50_000):
        counts.spend(Region.ADDRESSES, f"10.{n}", 1, 60)
    assert counts.spend(Region.MERCHANTS, "a", 1, 60) > 0
    assert (tmp_path / "rates").stat().st_size == size < 2_000_000


def count_many(path: Path, results: multiprocessing.SimpleQueue[int]) -> None:
    counts = Rates(path, b"salt")
    results.put(sum(counts.spend(Region.MERCHANTS, "a", 1000, 60) == 0 for _ in range(1000)))


def test_four_processes_at_once_never_pass_more_than_the_limit(tmp_path: Path) -> None:
    results = fork.SimpleQueue()
    processes = [fork.Process(target=count_many, args=(tmp_path / "rates", results)) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert sum(results.get() for _ in processes) == 1000


def hold_for_ever(path: Path, held: multiprocessing.SimpleQueue[bool]) -> None:
    file = os.open(path, os.O_RDWR)
    fcntl.lockf(file, fcntl.LOCK_EX)
    held.put(True)
    signal.pause()


def test_a_process_that_stopped_or_died_with_the_lock_holds_nobody_up(tmp_path: Path) -> None:
    spend, held = of("a", 100, tmp_path / "rates"), fork.SimpleQueue()
    holder = fork.Process(target=hold_for_ever, args=(tmp_path / "rates", held))
    holder.start()
    assert held.get()
    assert holder.pid is not None
    os.kill(holder.pid, signal.SIGSTOP)
    assert spend(60) == 0
    os.kill(holder.pid, signal.SIGKILL)
    holder.join()
    assert spend(60) == 0


@pytest.mark.parametrize("kind", ["link", "folder", "readable"])
def test_a_file_that_is_not_ours_alone_is_refused(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "rates"
    if kind == "link":
        (tmp_path / "target").touch(0o600)
        path.symlink_to(tmp_path / "target")
    elif kind == "folder":
        path.mkdir()
    else:
        path.touch()
        path.chmod(0o666)
    with pytest.raises(OSError):  # noqa: PT011 - which one differs
        Rates(path, b"salt")


def test_a_file_cut_short_is_made_whole(tmp_path: Path) -> None:
    path = tmp_path / "rates"
    path.write_bytes(b"x" * 100)
    path.chmod(0o600)
    counts = Rates(path, b"salt")
    assert counts.spend(Region.MERCHANTS, "a", 1, 60) == 0
    assert counts.spend(Region.MERCHANTS, "a", 1, 60) > 0


def test_the_files_name_is_the_users(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(tmp_path))
    assert rates.shared_path() == tmp_path / f"cerber-rates-{os.geteuid()}"
