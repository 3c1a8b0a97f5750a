"""Who pays and who sells in a seeded history: ids, wallets, sums and times as such people write them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random

BAKU = timedelta(hours=4)
OPERATORS = ("operator:aysel", "operator:kamran", "operator:leyla", "operator:rashad")
ADMIN = "operator:nigar"
_PREFIXES = ("50", "51", "55", "70", "77", "99")  # of Azerbaijan's mobile networks
_SUMS = (500, 1000, 1000, 1500, 2000, 2000, 2500, 3000, 5000, 5000, 10_000, 20_000)  # what is asked for most, qəpik
_SPELLINGS: tuple[Callable[[str], str], ...] = (
    lambda number: f"994{number}",
    lambda number: f"+994{number}",
    lambda number: f"0{number}",
    lambda number: f"+994 {number[:2]} {number[2:5]} {number[5:7]} {number[7:]}",
    lambda number: f"0{number[:2]} {number[2:5]} {number[5:7]} {number[7:]}",
)


@dataclass(frozen=True, slots=True)
class Seller:
    """One seeded merchant. Its webhooks went to `url`, a name that leads nowhere."""

    pk: int
    number: int
    merch_id: str
    endpoint_pk: int
    url: str

    def payment_id(self, serial: int) -> str:
        """Its own id for the payment with this running number: each third of the merchants has another style."""
        match self.number % 3:
            case 1:
                return str(1_000_000 + serial)
            case 2:
                return f"ORD-{serial:07}"
            case _:
                return f"{serial * 0x9E3779B97F4A7C15 % 2**64:016x}"

    def create_time(self, opened_at: datetime, rng: Random) -> tuple[datetime, str, bool]:
        """When the merchant says that it was made, as text, and whether the text can be read."""
        moment = opened_at - timedelta(seconds=int(rng.random() * 3))
        if rng.random() < 0.002:
            return opened_at, "bu gün", False
        if self.number % 2:
            return moment.replace(microsecond=0), f"{(moment + BAKU):%Y-%m-%dT%H:%M:%S}+04:00", True
        return moment.replace(microsecond=0), str(int(moment.timestamp())), True


def payer(rng: Random, payers: int) -> str:
    """One of so many payers, most of whom write their number in one way."""
    who = int(rng.random() * payers)
    number = _PREFIXES[who % 6] + str(1_000_000 + who * 7_919 % 9_000_000)
    lot = rng.random()
    return _SPELLINGS[0 if lot < 0.8 else int(lot * 100) % 5](number)


def amount(rng: Random) -> int:
    """What is to be paid, in qəpik."""
    lot = rng.random()
    if lot < 0.6:
        return _SUMS[int(lot * 20)]
    whole = 1 + int(rng.random() ** 3 * 900)
    return whole * 100 + (int(rng.random() * 100) if lot > 0.85 else 0)
