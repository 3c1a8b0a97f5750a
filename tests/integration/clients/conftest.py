"""A client in each language."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.clients.driving import LANGUAGES, Driver, driving


@pytest.fixture(params=LANGUAGES, ids=lambda language: language.name)
def driver(request: pytest.FixtureRequest) -> Iterator[Driver]:
    with driving(request.param) as started:
        yield started
