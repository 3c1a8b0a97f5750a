"""What this shop needs of Telegram's Bot API: https://core.telegram.org/bots/api"""

from __future__ import annotations

import json
from typing import Any
from urllib.request import Request, urlopen

WAIT = 2  # seconds for which a question for news stays open


class BotApi:
    """A bot's own address at the Bot API."""

    def __init__(self, url: str, token: str) -> None:
        self._url = f"{url}/bot{token}"

    def updates(self, offset: int) -> list[dict[str, Any]]:
        """What buyers wrote and pressed, from `offset` on."""
        found: list[dict[str, Any]] = self._call("getUpdates", offset=offset, timeout=WAIT)
        return found

    def say(self, chat: int, text: str, buttons: dict[str, str] | None = None) -> None:
        """Writes to a chat, with buttons below: their text, and what comes back."""
        keyboard = [[{"text": label, "callback_data": data} for label, data in (buttons or {}).items()]]
        markup = {"reply_markup": {"inline_keyboard": keyboard}} if buttons else {}
        self._call("sendMessage", chat_id=chat, text=text, **markup)

    def _call(self, method: str, **fields: Any) -> Any:
        body, headers = json.dumps(fields).encode(), {"Content-Type": "application/json"}
        with urlopen(Request(f"{self._url}/{method}", body, headers), timeout=WAIT + 10) as answer:  # noqa: S310
            return json.load(answer)["result"]
