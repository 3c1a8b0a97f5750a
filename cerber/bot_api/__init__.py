"""The merchants' API: contract sections 1 to 4."""

from cerber.bot_api.body import LARGEST
from cerber.bot_api.refusals import http_error, init_app, keep_nowhere, unavailable

__all__ = ["LARGEST", "http_error", "init_app", "keep_nowhere", "unavailable"]
