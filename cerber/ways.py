"""Which way into the gateway a request takes: by its path, and here alone."""

from __future__ import annotations

from enum import Enum


class Way(Enum):
    """Merchants call the API, monitors ask for health and figures, people look at pages."""

    API = "api"
    MONITORS = "monitors"
    PAGES = "pages"


def way_of(path: str) -> Way:
    """The way of a path, also of one that leads nowhere: it decides who refuses it, and how."""
    first = path.removeprefix("/").partition("/")[0]
    return {"bot_api": Way.API, "health": Way.MONITORS, "metrics": Way.MONITORS}.get(first, Way.PAGES)
