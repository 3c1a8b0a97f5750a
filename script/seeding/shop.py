"""Who a seeded history is about: merchants with their secrets and endpoints, and wallets, as old as the history."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import func, insert, select, update

from cerber import signing
from cerber.audit.models import AuditEntry
from cerber.db.engines import db
from cerber.db.transactions import reading, transaction
from cerber.errors import AlreadyExists
from cerber.ledger import folding
from cerber.merchants import accounts
from cerber.merchants.models import Merchant, MerchantSecret
from cerber.timestamps import day_of
from cerber.wallets import registry
from cerber.wallets.models import Wallet
from cerber.webhooks.callback_urls import parse_callback_url
from cerber.webhooks.models import Endpoint
from seeding.history import Counters, Plan, Sums
from seeding.people import Seller

ACTOR = "seed"
Secrets = dict[str, str]


def refuse_double() -> None:
    """Raises AlreadyExists where a history was seeded before: two would share their ids."""
    with reading() as session:
        found = session.scalar(select(func.count()).select_from(Merchant).where(Merchant.merch_id.like("seed-%")))
    if found:
        raise AlreadyExists(
            f"This database has {found} seeded merchants (seed-…) already. Seed a fresh one: set CERBER_DATABASE_URL "
            "to a new database, run `flask db upgrade`, and script/seed again."
        )


def add_merchants(count: int, given: tuple[str, str] | None) -> list[Secrets]:
    """Merchants seed-1 and on; the first with the secrets given, if any. What is to be shown of them, once."""
    shown = []
    for number in range(1, count + 1):
        payment, balance = given or (signing.new_secret(), signing.new_secret())
        merch_id = f"seed-{number}"
        accounts.add(merch_id, f"Seeded shop {number}", payment, balance, ACTOR)
        if given is None:
            shown.append({"merch_id": merch_id, "payment_secret": payment, "balance_secret": balance})
        given = None
    return shown


def add_wallets(count: int) -> None:
    for number in range(1, count + 1):
        told = f"994509{number:06}"
        registry.add(told, f"https://m10.example/{told}", f"Seeded {number}", None, ACTOR)


@transaction
def settle_in(begins: datetime) -> tuple[list[Seller], list[int]]:
    """Makes what was just added as old as the history, with an endpoint for each merchant. The wallets' keys too."""
    merchants = db.session.scalars(select(Merchant).where(Merchant.merch_id.like("seed-%")).order_by(Merchant.id))
    sellers = [_seller(merchant, begins) for merchant in merchants.all()]
    wallets = db.session.scalars(select(Wallet.id).where(Wallet.label.like("Seeded %")).order_by(Wallet.id)).all()
    mine = [seller.pk for seller in sellers]
    for aged in (
        update(Merchant).where(Merchant.id.in_(mine)).values(created_at=begins),
        update(MerchantSecret).where(MerchantSecret.merchant_id.in_(mine)).values(created_at=begins),
        update(Wallet).where(Wallet.id.in_(wallets)).values(created_at=begins),
        update(AuditEntry).where(AuditEntry.actor == ACTOR).values(at=begins),
    ):
        db.session.execute(aged, execution_options={"synchronize_session": False})
    return sellers, list(wallets)


@transaction
def close_books(counters: dict[int, Counters], sums: Sums, plan: Plan) -> None:
    """Writes what the wallets' counters and the ledger's sums are after the history."""
    folding.add(folding.rolled_up(sums))
    today = day_of(plan.until, plan.zone)
    for pk, counted in counters.items():
        values = {
            "expected": counted.expected,
            "received_today": counted.received_today,
            "received_on": today,
            "last_used_at": counted.last_used_at,
        }
        db.session.execute(update(Wallet).where(Wallet.id == pk).values(values))


def next_keys(tables: Iterable[type[Endpoint]]) -> list[int]:
    """The first free key of each table."""
    with reading() as session:
        return [(session.scalar(select(func.max(table.id))) or 0) + 1 for table in tables]


def _seller(merchant: Merchant, begins: datetime) -> Seller:
    url = f"https://{merchant.merch_id}.example/cerber"  # a name that leads nowhere, for ever
    origin = parse_callback_url(url, own_host=None, allow_private=True).origin
    made = insert(Endpoint).values(merchant_id=merchant.id, origin=origin, created_at=begins)
    endpoint = db.session.execute(made).inserted_primary_key[0]  # type: ignore[attr-defined]
    return Seller(merchant.id, int(merchant.merch_id.removeprefix("seed-")), merchant.merch_id, endpoint, url)
