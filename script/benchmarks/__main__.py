"""The command line of script/bench."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

from benchmarks import places
from benchmarks.results import FULL, QUICK, Result
from benchmarks.rows import ROWS


def main() -> None:
    parser = argparse.ArgumentParser(prog="script/bench", description="Measures Cerber. Keep the machine quiet.")
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"which rows: {', '.join(ROWS)} (all)")
    parser.add_argument("--quick", action="store_true", help="do less: for a look, not for docs/bench.md")
    parser.add_argument("--json", type=Path, metavar="F", help="write the results to a file, too")
    parser.add_argument("--database", choices=("sqlite", "mariadb"), action="append", help="only this one")
    parser.add_argument(
        "--keep", type=Path, metavar="DIR", help="keep the histories of `flat` there, or take them from it"
    )
    options = parser.parse_args()
    unknown = [name for name in options.rows if name not in ROWS]
    if unknown:
        parser.error(f"no such row: {', '.join(unknown)}; there are {', '.join(ROWS)}")
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell in the background lets it be ignored
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("bench: stopped"))  # so that nothing is left running
    size = replace(QUICK if options.quick else FULL, keep=options.keep)
    kinds = [kind for kind in places.kinds() if kind in (options.database or [kind])]
    print(f"{time.strftime('%Y-%m-%d %H:%M')}, {os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}\n")
    print("| row | database | value | target | reached | detail |\n| --- | --- | --- | --- | --- | --- |")
    results = []
    for name in options.rows or list(ROWS):
        for kind in kinds:
            for result in _measured(name, kind, size):
                results.append(result)
                print(_line(result), flush=True)
    if options.json:
        options.json.write_text(json.dumps([asdict(r) | {"reached": r.reached} for r in results], indent=1) + "\n")


def _measured(name: str, kind: str, size: object) -> Iterator[Result]:
    """Each row has a database of its own."""
    with places.place(kind) as at:
        try:
            yield from ROWS[name](at, size)  # type: ignore[arg-type]
        except (OSError, ValueError, RuntimeError) as error:
            sys.exit(f"bench: {name} on {kind}: {type(error).__name__}: {error}")


def _line(result: Result) -> str:
    digits = {"CPU s a day": 0, "MB": 1, "seconds": 3}.get(result.unit, 2)
    target = f"≥ {result.least}" if result.least is not None else f"≤ {result.most}"
    cells = (result.name, result.database, f"{result.value:.{digits}f} {result.unit}", target)
    return f"| {' | '.join(cells)} | {'yes' if result.reached else '**no**'} | {result.detail} |"


if __name__ == "__main__":
    main()
