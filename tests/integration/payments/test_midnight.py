"""A wallet's daily limit when a choice waits for its turn past midnight."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest
from flask import Flask

from cerber.db.engines import db
from cerber.payments import opening, wallet_choice
from cerber.wallets.models import Wallet
from tests.support.factories import get_wallet, make_merchant, make_wallet

BEFORE = datetime(2026, 11, 24, 19, 59, 59, tzinfo=UTC)  # midnight in Baku is 20:00 in UTC
AFTER = datetime(2026, 11, 24, 20, 0, 1, tzinfo=UTC)


@pytest.mark.parametrize("chosen_at", [AFTER, BEFORE])  # by a clock that is behind, too
def test_what_came_after_midnight_counts_for_a_choice_that_began_before(
    app: Flask, monkeypatch: pytest.MonkeyPatch, chosen_at: datetime
) -> None:
    keys = make_merchant(app)
    make_wallet(app, daily_limit=100_00)
    with app.app_context():
        wallet = db.session.query(Wallet).one()
        wallet.received_on, wallet.received_today = date(2026, 11, 25), 60_00
        db.session.commit()
    monkeypatch.setattr(opening, "now", lambda: BEFORE)
    monkeypatch.setattr(wallet_choice, "now", lambda: chosen_at)
    assert get_wallet(app.test_client(), keys, sum="40.01").status_code == 503
    assert get_wallet(app.test_client(), keys, sum="40").status_code == 200
