"""How much a row does, and what comes of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from benchmarks.places import Place

FLAT = 1.0  # MB: allocators breathe; a leak of 200 bytes a request would show


@dataclass(frozen=True)
class Size:
    """How much is done. `rounds` are alternations of a rate with what it is compared to; times are seconds.
    `long` is the longer of two histories, each thing is asked for so many `times`, and `lives` are whole payments.
    `keep` is a folder for the histories."""

    rounds: int = 3
    requests: int = 2_000
    webhooks: int = 5_000
    half: int = 5_000
    idle: float = 60
    steady: float = 30
    singles: int = 40
    history: int = 1_000_000
    long: int = 1_000_000
    times: int = 40
    lives: int = 1_000
    keep: Path | None = None
    polls: int = 2_000
    asked: int = 2_000


FULL = Size()
QUICK = Size(
    requests=500,
    webhooks=1_000,
    half=1_000,
    idle=15,
    steady=8,
    singles=8,
    history=50_000,
    polls=500,
    asked=500,
    long=50_000,
    times=15,
    lives=150,
)


@dataclass(frozen=True)
class Result:
    """One line of the table. `least` or `most` is the target."""

    name: str
    database: str
    value: float
    unit: str
    detail: str
    least: float | None = None
    most: float | None = None
    grew: float = 0.0

    @property
    def reached(self) -> bool:
        return (
            self.grew < FLAT
            and (self.least is None or self.value >= self.least)
            and (self.most is None or self.value <= self.most)
        )


def memory(name: str, at: Place, size: Size, before: float, after: float, most: float) -> list[Result]:
    detail = f"after {2 * size.half}; {before:.1f} MB after {size.half}: grew by {after - before:+.1f} MB"
    return [Result(name, at.kind, after, "MB", detail, most=most, grew=after - before)]
