"""The secrets of all merchants who may ask, as one process keeps them: who signed this request?

A ring never changes; where a merchant has changed, a new one takes its place (`verification`). What is looked for
in it costs the same for every signature that is refused: whose it would be, and whether there is such a merchant,
can't be told by the time that a refusal takes.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from cerber import signing
from cerber.merchants import keyring, networks
from cerber.merchants.keyring import Key, Keys
from cerber.merchants.networks import Network
from cerber.signing import PreparedKey, SecretKind

PROMOTED_FROM = 8  # place in the order of the last used: before it a promotion would save less than it costs


@dataclass(frozen=True, slots=True)
class Proof:
    """What came with a request to show who sent it: the bytes that were signed, the digest that was sent, by which
    scheme, and from which address."""

    message: bytes
    digest: bytes
    is_v2: bool
    address: str


@dataclass(frozen=True, slots=True)
class Entry:
    """A merchant who may ask, as the database had it at `version`."""

    id: int
    merch_id: str
    version: int
    v2_only: bool
    networks: tuple[Network, ...]
    keys: Keys


@dataclass(frozen=True, slots=True)
class Match:
    """Whose signature it is. `first_use`: the first one with what is the merchant's new secret."""

    entry: Entry
    first_use: bool


@dataclass(frozen=True, slots=True)
class Stamp:
    """What differs wherever a merchant was added, changed or removed."""

    count: int
    versions: int
    last_id: int


@dataclass(frozen=True, slots=True)
class Ring:
    """All merchants who may ask. In `order` are their payment secrets, those last used first."""

    stamp: Stamp
    entries: Mapping[int, Entry]
    by_name: Mapping[str, Entry]
    order: tuple[tuple[PreparedKey, Key, Entry], ...]

    def named(self, merch_id: str | None, kind: SecretKind, proof: Proof, at: datetime) -> Match | None:
        """The merchant of this name, if it signed. Two digests are made, whether there is such a merchant or not."""
        entry = self.by_name.get(merch_id or "", _NOBODY)
        keys = keyring.valid(entry.keys, kind, at)
        digests = [signing.digest(key.secret.encode(), proof.message) for key in [*keys, *_NOBODY.keys][:2]]
        hits = [hmac.compare_digest(made, proof.digest) for made in digests]
        if entry is _NOBODY or not any(hits[: len(keys)]) or not _may_ask(entry, proof):
            return None
        return Match(entry, hits[0] and keyring.rotating(keys))

    def anyone(self, proof: Proof, at: datetime) -> Match | None:
        """The merchant whose payment secret signed: for the calls that name none.

        All secrets are tried for what is refused; who asked lately is found among the first.
        """
        for prepared, key, entry in self.order:
            if hmac.compare_digest(prepared.digest(proof.message), proof.digest) and _may_ask(entry, proof):
                keys = keyring.valid(entry.keys, SecretKind.PAYMENT, at)
                if key in keys:
                    return Match(entry, key is keys[0] and keyring.rotating(keys))
        return None

    def promoted(self, entry: Entry) -> Ring:
        """The same ring with the merchant's secrets first; this one where they are among the first."""
        if any(one is entry for _, _, one in self.order[:PROMOTED_FROM]):
            return self
        first = tuple(item for item in self.order if item[2] is entry)
        return replace(self, order=first + tuple(item for item in self.order if item[2] is not entry))


def ring(stamp: Stamp, entries: Iterable[Entry]) -> Ring:
    """A ring of these merchants, those last used first."""
    entries = list(entries)
    return Ring(
        stamp,
        {entry.id: entry for entry in entries},
        {entry.merch_id: entry for entry in entries},
        tuple(
            (PreparedKey(key.secret), key, entry)
            for entry in entries
            for key in entry.keys
            if key.kind == SecretKind.PAYMENT
        ),
    )


EMPTY = ring(Stamp(0, 0, 0), [])
# what is checked where there is no merchant, or no second secret
_NOBODY = Entry(0, "", 0, False, (), tuple(Key(kind, signing.new_secret(), None, False) for kind in SecretKind))


def _may_ask(entry: Entry, proof: Proof) -> bool:
    return (proof.is_v2 or not entry.v2_only) and networks.hold(entry.networks, proof.address)
