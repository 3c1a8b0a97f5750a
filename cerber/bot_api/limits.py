"""How often a merchant may ask, and an address be refused: contract sections 1 and 4, CERBER_RATE_LIMIT."""

from __future__ import annotations

import logging
from enum import StrEnum

from flask import current_app

from cerber import addresses, rates
from cerber.context import settings
from cerber.errors import CerberError, TooManyRequests, WrongSignature
from cerber.rates import Rates, Region

REFUSED_SHARE = 10  # of so many requests that a merchant may make, an address may make one that is refused

log = logging.getLogger(__name__)


class Call(StrEnum):
    """What is counted apart: who asks for much is still told of payments, and can tell of them."""

    OPENING = "get_wallet"
    UPDATE = "update_status"
    READ = "reads"


def spend(merchant_pk: int, call: Call) -> None:
    """Counts one request of a merchant. Raises TooManyRequests."""
    limit = settings().rate_limit
    if limit and (seconds := _rates().spend(Region.MERCHANTS, f"{merchant_pk} {call}", limit)):
        raise TooManyRequests(f"At most {limit} requests a minute of this kind ({call}). Try again later.", seconds)


def refusal(address: str) -> CerberError:
    """What a refused signature is answered with: 401, or 429 for an address that has had its share of them."""
    limit = settings().rate_limit
    share = max(limit // REFUSED_SHARE, 1)
    if limit and (seconds := _rates().spend(Region.ADDRESSES, addresses.one_party(address), share)):
        return TooManyRequests(f"At most {share} refused signatures a minute from one address.", seconds)
    return WrongSignature("The signature is missing or wrong, or the merchant may not ask.")


def _rates() -> Rates:
    found: Rates | None = current_app.extensions.get("cerber_rates")
    if found is None:  # in the process that counts, and not in one that is forked later
        found = current_app.extensions.setdefault("cerber_rates", _opened())
    return found


def _opened() -> Rates:
    salt = f"{settings().secret_key} {settings().database_url}".encode()
    try:
        return Rates(rates.shared_path(), salt)
    except OSError as error:
        log.warning("Requests are counted in each process alone: %s", error)
        return Rates(None, salt)
