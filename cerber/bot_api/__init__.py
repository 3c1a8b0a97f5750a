"""The merchants' API: contract sections 1 to 4."""

from cerber.bot_api.refusals import init_app

__all__ = ["init_app"]
