"""Turns: one at a time on a machine, whatever process or thread it is in."""

from __future__ import annotations

import multiprocessing
import os
import signal
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from cerber import machine

fork = multiprocessing.get_context("fork")


@pytest.fixture(autouse=True)
def own_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(tmp_path))
    machine._turns.cache_clear()
    yield
    machine._turns.cache_clear()


def taken(name: str) -> bool:
    with machine.turn(name) as ours:
        return not ours


def test_of_one_name_there_is_one_turn_and_of_another_another() -> None:
    with machine.turn("a") as ours:
        assert ours
        assert taken("a")
        assert taken("a")  # who did not get it gave nothing back
        assert not taken("b")
    assert not taken("a")


def test_a_turn_that_ends_in_an_error_is_over() -> None:
    with pytest.raises(ZeroDivisionError), machine.turn("a"):
        1 / 0  # noqa: B018
    assert not taken("a")


def test_another_thread_gets_none() -> None:
    found: list[bool] = []
    with machine.turn("a"):
        thread = threading.Thread(target=lambda: found.append(taken("a")))
        thread.start()
        thread.join()
    assert found == [True]


def hold(held: multiprocessing.SimpleQueue[bool]) -> None:
    with machine.turn("a") as ours:
        held.put(ours)
        signal.pause()


def test_another_process_gets_none_until_the_holder_dies() -> None:
    held = fork.SimpleQueue()
    holder = fork.Process(target=hold, args=(held,))
    holder.start()
    assert held.get()
    assert taken("a")
    assert not taken("b")
    assert holder.pid is not None
    os.kill(holder.pid, signal.SIGKILL)
    holder.join()
    assert not taken("a")


def test_where_the_file_is_somebody_elses_each_process_has_its_own_turns(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / f"cerber-turns-{os.geteuid()}").mkdir()
    with machine.turn("a") as ours:
        assert ours
        assert taken("a")
    assert "in each process alone" in caplog.text
