"""How much of the gateway one merchant may hold: CERBER_OPEN_PAYMENTS, contract section 1. Sums in qəpik."""

from __future__ import annotations

from dataclasses import dataclass

from cerber import money

MANY = 100  # payments of one merchant that may be on their way into the database at once, each unseen by the others
FULL = 9  # tenths of a cap: from there on people are told, before the merchant's payers are refused


@dataclass(frozen=True, slots=True)
class Held:
    """A merchant's open payments: how many, and their sums together."""

    payments: int
    sum: int


@dataclass(frozen=True, slots=True)
class Cap:
    """How much a merchant may hold; None for any number."""

    payments: int | None
    sum: int | None

    def refusal(self, held: Held, asked: int) -> str | None:
        """Why a merchant who holds so much may not open a payment of `asked` too. None where it may."""
        if self.payments is not None and held.payments >= self.payments:
            return f"{held.payments} payments are open, and no more than {self.payments} may be: {_WHAT_TO_DO}"
        if self.sum is not None and held.sum + asked > self.sum:
            return (
                f"Open payments add up to {money.text(held.sum)} manat, and with this one no more than "
                f"{money.text(self.sum)} may, half of what the wallets' limits leave today: {_WHAT_TO_DO}"
            )
        return None

    def is_safe(self, held: Held, asked: int) -> bool:
        """Whether MANY at once, each of which sees so little held and asks for so little, stay within it together.

        Of a number that is plain. Of sums each may ask for another one: so all that is seen has half of the cap, and
        the other half is for what is not, a hundredth for each.
        """
        few = self.payments is None or held.payments + MANY <= self.payments
        little = self.sum is None or 2 * (held.sum + MANY * asked) <= self.sum
        return few and little

    def is_nearly_reached(self, held: Held) -> bool:
        """Whether nine tenths of it are held, or more."""
        pairs = ((held.payments, self.payments), (held.sum, self.sum))
        return any(most is not None and 10 * has >= FULL * most for has, most in pairs)


_WHAT_TO_DO = "cancel those that nobody will pay, or wait until some are decided."


def cap(setting: int, own: int | None, *, left: int | None, alone: bool) -> Cap:
    """What a merchant may hold, by CERBER_OPEN_PAYMENTS and by its own limit, which stands before it.

    `left` is what the limits of all active wallets leave today, None where one has none; `alone`: no other merchant
    may ask. A 0 lifts the cap on the sum too: the setting's for all, a merchant's own for itself.
    """
    most = setting if own is None else own
    halved = left is not None and not alone and setting and most
    return Cap(most or None, left // 2 if halved and left is not None else None)
