"""One use case, one transaction."""

from __future__ import annotations

import pytest
from flask import Flask
from sqlalchemy import select

from cerber.db.engines import db
from cerber.db.transactions import NestedUseCase, reading, transaction
from cerber.wallets import registry
from cerber.wallets.models import Wallet
from tests.support.factories import make_wallet


def test_a_use_case_inside_another_is_refused_and_nothing_of_either_is_kept(app: Flask) -> None:
    number = make_wallet(app)

    @transaction
    def outer() -> None:
        db.session.scalars(select(Wallet)).one().label = "half"
        registry.set_paused(number, "cli", paused=True)

    with app.app_context():
        with pytest.raises(NestedUseCase, match=r"set_paused was called inside .*outer"):
            outer()
        with reading() as session:
            wallet = session.scalars(select(Wallet)).one()
        assert (wallet.label, wallet.paused_at) == ("", None)
        registry.set_paused(number, "cli", paused=True)  # a refusal leaves nothing behind


def test_a_use_case_inside_another_is_refused_in_an_app_context_of_its_own_too(app: Flask) -> None:
    """On SQLite it would wait for the lock that its own caller holds."""
    number = make_wallet(app)

    @transaction
    def outer() -> None:
        with app.app_context():
            registry.set_paused(number, "cli", paused=True)

    with app.app_context(), pytest.raises(NestedUseCase):
        outer()


def test_a_part_may_be_undone_inside_a_use_case(app: Flask) -> None:
    make_wallet(app)

    @transaction
    def rename() -> None:
        wallet = db.session.scalars(select(Wallet)).one()
        wallet.label = "kept"
        part = db.session.begin_nested()
        wallet.label = "undone"
        part.rollback()

    with app.app_context():
        rename()
        with reading() as session:
            assert session.scalars(select(Wallet.label)).one() == "kept"
