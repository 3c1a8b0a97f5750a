"""A wallet's daily limit when a choice waits for its turn past midnight."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime

import pytest
from flask import Flask
from sqlalchemy import select

from cerber.db.engines import db
from cerber.wallets.models import Wallet
from tests.support.clock import Clock
from tests.support.factories import MerchantKeys, get_wallet, make_merchant, make_wallet
from tests.support.locks import waiting

BEFORE = datetime(2026, 11, 24, 19, 59, 59, tzinfo=UTC)  # midnight in Baku is 20:00 in UTC
AFTER = datetime(2026, 11, 24, 20, 0, 1, tzinfo=UTC)


def get_wallet_while_somebody_chooses(
    app: Flask, keys: MerchantKeys, clock: Clock, chosen_at: datetime, total: str
) -> int:
    """Asks before midnight, and waits until `chosen_at` for its turn. The status it is answered."""
    clock.stop(BEFORE)
    with app.app_context(), ThreadPoolExecutor(1) as pool, db.engine.begin() as chooser:
        chooser.execute(select(Wallet.id).with_for_update())
        waits = waiting(db.engine)
        answer = pool.submit(get_wallet, app.test_client(), keys, sum=total)
        assert waits.wait(10)
        clock.stop(chosen_at)
        chooser.rollback()
        return answer.result(20).status_code


@pytest.mark.parametrize("chosen_at", [AFTER, BEFORE])  # by a clock that is behind, too
def test_what_came_after_midnight_counts_for_a_choice_that_began_before(
    app: Flask, clock: Clock, chosen_at: datetime
) -> None:
    keys = make_merchant(app)
    make_wallet(app, daily_limit=100_00)
    with app.app_context():
        wallet = db.session.query(Wallet).one()
        wallet.received_on, wallet.received_today = date(2026, 11, 25), 60_00
        db.session.commit()
    assert get_wallet_while_somebody_chooses(app, keys, clock, chosen_at, "40.01") == 503
    assert get_wallet_while_somebody_chooses(app, keys, clock, chosen_at, "40") == 200
