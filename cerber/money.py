"""Money in qəpik: integers, a hundredth of a manat each. No float ever touches a sum.

Contract section 1 (`sum`) says what is read, sections 4 and 5 how it is written.
"""

from __future__ import annotations

import re

_TYPED = re.compile(
    r"(?P<whole>[0-9]+|[0-9]{1,3}(?:[\s.,'][0-9]{3})+)(?:[.,](?P<rest>[0-9]{1,2}))?(?:\s?(?:AZN|₼|man|manat)\.?)?",
    re.I,
)
_ENTERED = re.compile(
    r"(?P<whole>[0-9]+|[0-9]{1,3}(?:[ \u00a0\u2009\u202f][0-9]{3})+)(?:[.,](?P<rest>[0-9]{1,2}))?"
    r"(?:[ \u00a0]?(?:AZN|₼|man\.?|manat))?",
    re.I,
)
_SUM = re.compile(r"(0|[1-9][0-9]{0,7})(?:\.([0-9]{1,2}))?")


def parse_sum(text: str) -> int:
    """Manat as text (`"500"`, `"500.5"`, `"0.01"`) to qəpik. Raises ValueError, in words for the sender.

    A JSON number is given here by its literal text, so `500.0` is read exactly and `5e2` is refused.
    """
    match = _SUM.fullmatch(text)
    if match is None:
        raise ValueError("must be an amount in manat such as 500 or 500.50, with at most two decimals")
    manat, fraction = match.groups()
    qepik = int(manat) * 100 + int((fraction or "").ljust(2, "0"))
    if qepik == 0:
        raise ValueError("must be at least 0.01")
    return qepik


def read_typed(text: str) -> int | None:
    """A sum as people type it, to qəpik: `12,50`, `1 000`, `1.000,50`, `12.5 AZN`. None for what is none.

    A separator before one or two last digits begins the qəpik; any other stands between thousands.
    """
    match = _TYPED.fullmatch(text.strip())
    if match is None:
        return None
    whole = re.sub(r"[^0-9]", "", match["whole"]).lstrip("0") or "0"
    try:
        return parse_sum(f"{whole}.{match['rest'] or '0'}")
    except ValueError:
        return None


def entered(text: str) -> int:
    """A sum that is about to be recorded, as people write it, to qəpik: `12,50`, `1 000`, `12.50 AZN`.

    Blanks alone stand between thousands. What could be two sums is none: `1.000` and `1,000` may mean one manat or a
    thousand, so nobody's money hangs on our guess (a search may guess: `read_typed`). Raises ValueError, in words.
    """
    match = _ENTERED.fullmatch(text.strip())
    if match is None:
        raise ValueError("must be an amount in manat such as 500 or 1 250,50, with at most two decimals")
    return parse_sum(re.sub(r"[^0-9]", "", match["whole"]) + (f".{match['rest']}" if match["rest"] else ""))


def text(qepik: int) -> str:
    """Qəpik as webhooks write them: `"500"` where whole, else two decimals."""
    manat, rest = divmod(qepik, 100)
    return f"{manat}.{rest:02}" if rest else str(manat)


def signed(qepik: int) -> str:
    """A difference in manat, with its sign: `"+500"`, `"-0.50"`."""
    return ("-" if qepik < 0 else "+") + text(abs(qepik))


def grouped(qepik: int) -> str:
    """Qəpik as people read them: `1 234.50`, with no-break spaces between the thousands."""
    manat, rest = divmod(qepik, 100)
    return f"{manat:,}.{rest:02}".replace(",", "\u00a0")
