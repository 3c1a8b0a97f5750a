"""The wallets that the operators own: adding, pausing, listing them."""

from __future__ import annotations

import re

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from cerber import identifiers
from cerber.audit import trail
from cerber.context import now
from cerber.db.engines import db
from cerber.db.transactions import reading, transaction
from cerber.errors import AlreadyExists, NotFound
from cerber.wallets import qr
from cerber.wallets.models import LONGEST_LABEL, LONGEST_LINK, Wallet

_LINK = re.compile(r"https?://[^\s/?#]+\S*")


@transaction
def add(number: str, link: str, label: str, daily_limit: int | None, actor: str) -> None:
    """A new wallet, active at once. The limit is in qəpik. Raises AlreadyExists, and ValueError for a bad link or
    label."""
    if not _LINK.fullmatch(link) or not link.isprintable() or len(link) > LONGEST_LINK:
        raise ValueError(
            f"LINK must be an http or https address of at most {LONGEST_LINK} characters, without blanks"
        )
    _check_label(label)
    image = qr.png_base64(link)
    wallet = Wallet(number=number, link=link, label=label, daily_limit=daily_limit, image=image, created_at=now())
    db.session.add(wallet)
    try:
        db.session.flush()
    except IntegrityError:
        raise AlreadyExists(f"There is a wallet {number} already.") from None
    trail.note(now(), actor, "wallet_added", number=number)


@transaction
def set_paused(number: str, actor: str, *, paused: bool) -> None:
    """Pauses or resumes a wallet: for new payments only. Doing it twice changes nothing. Raises NotFound."""
    wallet = db.session.scalar(select(Wallet).filter_by(number=number).with_for_update())
    if wallet is None:
        raise NotFound(f"There is no wallet {number}.")
    if paused != (wallet.paused_at is not None):
        wallet.paused_at = now() if paused else None
        trail.note(now(), actor, "wallet_paused" if paused else "wallet_resumed", number=number)


def _check_label(label: str) -> None:
    try:
        fits = len(identifiers.plain(label)) <= LONGEST_LABEL
    except ValueError as error:
        raise ValueError(f"the label {error}") from None
    if not fits:
        raise ValueError(f"the label must have at most {LONGEST_LABEL} characters")


def list_all() -> list[Wallet]:
    with reading() as session:
        return list(session.scalars(select(Wallet).order_by(Wallet.id)))
