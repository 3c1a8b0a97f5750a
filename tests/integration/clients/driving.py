"""The three clients, each in a process of its own language that does what a test says (`drivers/`)."""

from __future__ import annotations

import json
import os
import select
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cerber.config import ROOT
from tests.support.databases import missing
from tests.support.factories import MerchantKeys

DRIVERS = Path(__file__).parent / "drivers"


@dataclass(frozen=True)
class Language:
    name: str
    program: str
    package: str
    driver: str

    def here(self) -> str:
        """Its interpreter, or the test is skipped; in CI it fails."""
        return shutil.which(self.program) or str(missing(self.program, f"apt-get install {self.package}"))


LANGUAGES = [
    Language("python", sys.executable, "python3", "driver.py"),
    Language("php", "php", "php-cli", "driver.php"),
    Language("node", "node", "nodejs", "driver.cjs"),
]


class Refused(Exception):
    """What the client raised: `told` has its name as `error`, and its properties."""

    def __init__(self, told: dict[str, Any]) -> None:
        super().__init__(told)
        self.told = told


class Driver:
    """A client at work. `ask` gives what the call gave, or raises Refused."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def begin(self, do: str, **how: Any) -> None:
        """Orders without waiting; `end` waits."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"do": do, "with": how}) + "\n")
        self._process.stdin.flush()

    def end(self) -> Any:
        assert self._process.stdout is not None
        assert select.select([self._process.stdout], [], [], 60)[0], "the driver is silent"
        line = self._process.stdout.readline()
        assert line, "the driver ended"
        told = json.loads(line)
        if "error" in told:
            raise Refused(told)
        return told["done"]

    def ask(self, do: str, **how: Any) -> Any:
        self.begin(do, **how)
        return self.end()

    def refusal(self, do: str, **how: Any) -> dict[str, Any]:
        """What the client raised."""
        try:
            done = self.ask(do, **how)
        except Refused as refused:
            return refused.told
        raise AssertionError(f"{do} was not refused: {done}")

    def connect(self, address: str, keys: MerchantKeys, **more: Any) -> None:
        """A client as that merchant's server makes it."""
        secrets = {"payment_secret": keys.payment_secret, "balance_secret": keys.balance_secret}
        self.ask("client", base_url=f"{address}/bot_api/", merch_id=keys.merch_id, **(secrets | more))


@contextmanager
def driving(language: Language) -> Iterator[Driver]:
    command = [language.here(), str(DRIVERS / language.driver)]
    env = os.environ | {"PYTHONPATH": str(ROOT / "clients" / "python"), "no_proxy": "*", "PYTHONWARNINGS": "error"}
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env, text=True)
    try:
        yield Driver(process)
    finally:
        process.kill()
        process.communicate()
