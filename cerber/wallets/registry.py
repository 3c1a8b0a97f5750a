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
from cerber.wallets.models import LONGEST_LABEL, LONGEST_LINK, OldLink, Wallet

_LINK = re.compile(r"https?://[^\s/?#]+\S*")


@transaction
def add(number: str, link: str, label: str, daily_limit: int | None, actor: str) -> None:
    """A new wallet, active at once. The limit is in qəpik. Raises AlreadyExists, and ValueError for a bad link or
    label."""
    _check_link(link)
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
    wallet = _locked(number)
    if paused != (wallet.paused_at is not None):
        wallet.paused_at = now() if paused else None
        trail.note(now(), actor, "wallet_paused" if paused else "wallet_resumed", number=number)


@transaction
def set_limit(number: str, daily_limit: int | None, actor: str) -> None:
    """What may be received and expected on a wallet in a day, in qəpik; None for no limit. For new payments: those
    that are open may pass a lower one. Raises NotFound."""
    wallet = _locked(number)
    before, wallet.daily_limit = wallet.daily_limit, daily_limit
    trail.note(now(), actor, "wallet_limit_changed", number=number, before=before, after=daily_limit)


@transaction
def edit(number: str, actor: str, *, label: str | None = None, link: str | None = None) -> None:
    """Changes a wallet's label, its link, or both. A new link is shown for new payments alone: who repeats a
    get_wallet gets the answer of before (contract section 3). Raises NotFound, and ValueError for a bad link or
    label."""
    wallet, before = _locked(number), {}
    if label is not None and label != wallet.label:
        _check_label(label)
        before["label"], wallet.label = wallet.label, label
    if link is not None and link != wallet.link:
        before["link"] = wallet.link
        _replace_link(wallet, link)
    if before:
        trail.note(now(), actor, "wallet_edited", number=number, before=before, label=wallet.label, link=wallet.link)


def _replace_link(wallet: Wallet, link: str) -> None:
    _check_link(link)
    db.session.add(OldLink(wallet_id=wallet.id, version=wallet.link_version, link=wallet.link, image=wallet.image))
    wallet.link, wallet.image, wallet.link_version = link, qr.png_base64(link), wallet.link_version + 1


def _locked(number: str) -> Wallet:
    wallet = db.session.scalar(select(Wallet).filter_by(number=number).with_for_update())
    if wallet is None:
        raise NotFound(f"There is no wallet {number}.")
    return wallet


def _check_link(link: str) -> None:
    if not _LINK.fullmatch(link) or not link.isprintable() or len(link) > LONGEST_LINK:
        raise ValueError(
            f"LINK must be an http or https address of at most {LONGEST_LINK} characters, without blanks"
        )


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
