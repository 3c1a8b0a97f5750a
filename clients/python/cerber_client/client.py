"""The five calls."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime, timezone
from typing import Any, Literal

from cerber_client import types
from cerber_client.errors import ApiError, Unreachable
from cerber_client.signing import check_secret
from cerber_client.transport import Transport
from cerber_client.types import Balance, Event, EventPage, Status, Wallet

POLL_URL = "https://poll.invalid/"


class Cerber:
    """A shop at a gateway. Every call may be made again, and is, where that can help.

    `timeout`: seconds for each wait of one attempt. `patience`: seconds after which a call is not tried again; a
    `Retry-After` that lies beyond is not waited for. Calls raise ApiError and Unreachable. `balance_secret` is for
    get_balance and get_events alone. May be shared between threads.
    """

    def __init__(
        self,
        base_url: str,
        merch_id: str,
        payment_secret: str = "",
        balance_secret: str = "",
        *,
        timeout: float = 10.0,
        patience: float = 30.0,
    ) -> None:
        self.merch_id = merch_id
        self._payment_secret = payment_secret and check_secret(payment_secret, "payment_secret")
        self._balance_secret = balance_secret and check_secret(balance_secret, "balance_secret")
        self._transport = Transport(base_url, timeout, patience)

    def get_wallet(
        self,
        payment_id: str,
        user_wallet: str,
        sum: str,
        callback_url: str = POLL_URL,
        create_time: str | None = None,
    ) -> Wallet:
        """Opens a payment: where is the payer to send the money? `sum` in manat as text, `12.50`.

        `create_time` is now unless given. With no `callback_url` nothing is sent, and `events` tells what happens.
        """
        if not isinstance(sum, str):
            raise TypeError("a sum is a decimal text, such as '12.50'")
        created = create_time or datetime.now(timezone.utc).isoformat(timespec="seconds")
        told = self._paying(
            "POST",
            "get_wallet",
            payment_id=payment_id,
            user_wallet=user_wallet,
            sum=sum,
            callback_url=callback_url,
            create_time=created,
        )
        return Wallet(told["payment_id"], told["wallet_number"], told["wallet_link"], told["image"])

    def update_status(self, payment_id: str, status: Literal["accept", "cancel"]) -> Status:
        """Tells that the payer says to have paid (`accept`) or gives up (`cancel`). Gives what the payment now is."""
        told: Status = self._paying("POST", "update_status", payment_id=payment_id, status=status)["status"]
        return told

    def get_status(self, payment_id: str) -> Status:
        told: Status = self._paying("GET", "get_status", payment_id=payment_id)["status"]
        return told

    def get_balance(
        self, start_date: str | None = None, end_date: str | None = None, callback_url: str | None = None
    ) -> Balance:
        """Both dates are included; none is open. With `callback_url` the balance is sent there too."""
        fields = {"start_date": start_date, "end_date": end_date, "callback_url": callback_url}
        return types.balance(self._counting("get_balance", fields))

    def get_events(self, after: str | None = None, limit: int = 100) -> EventPage:
        """Up to `limit` (500 at most) events after the one with the id `after`, or from the first one on."""
        told = self._counting("get_events", {"after": after, "limit": str(limit)})
        events = [types.event(entry["webhook-id"], entry["body"], entry) for entry in told["events"]]
        return EventPage(events, told["cursor"], told["has_more"])

    def events(
        self, after: str | None = None, *, follow: bool = True, every: float = 5.0, limit: int = 100
    ) -> Iterator[Event]:
        """Each event after the one with the id `after`, in order: store the `id` of each once it is handled.

        Asks again `every` so many seconds and never ends, through outages too; without `follow` it ends with the last
        event there is. Raises ApiError for what waiting does not mend.
        """
        while True:
            try:
                page = self.get_events(after, limit)
            except (ApiError, Unreachable) as error:
                if not (follow and error.may_pass):
                    raise
                time.sleep(max(every, getattr(error, "retry_after", None) or 0))
                continue
            yield from page.events
            after = page.cursor
            if not (page.has_more or follow):
                return
            if not page.has_more:
                time.sleep(every)

    def _paying(self, method: str, name: str, **fields: str) -> Any:
        secret = _known(self._payment_secret, "payment_secret")
        return self._transport.send(method, name, secret, {"merch_id": self.merch_id, **fields})

    def _counting(self, name: str, fields: dict[str, str | None]) -> Any:
        secret = _known(self._balance_secret, "balance_secret")
        given = {name: value for name, value in fields.items() if value is not None}
        return self._transport.send("GET", name, secret, {"merch_id": self.merch_id, **given})


def _known(secret: str, name: str) -> str:
    if not secret:
        raise ValueError(f"this call is signed with the {name}, which was not given")
    return secret
