"""What came of an attempt, and the text that is kept of it."""

from __future__ import annotations

import pytest

from cerber.webhooks.client.failures import Failure
from cerber.webhooks.outcomes import Outcome


@pytest.mark.parametrize(
    ("outcome", "text", "group"),
    [
        (Outcome(204, None), "204", "2xx"),
        (Outcome(302, Failure.redirect), "302", "3xx"),
        (Outcome(410, Failure.status), "410", "4xx"),
        (Outcome(599, Failure.status), "599", "5xx"),
        (Outcome(None, Failure.dns), "dns", "dns"),
        (Outcome(None, Failure.blocked_address), "blocked_address", "blocked_address"),
        (Outcome(None, Failure.own_side), "own_side", "own_side"),
    ],
)
def test_an_outcome_has_one_text_and_one_group_and_is_read_again_from_its_text(
    outcome: Outcome, text: str, group: str
) -> None:
    assert (str(outcome), outcome.group) == (text, group)
    assert Outcome.read(text) == outcome


def test_what_our_own_proxy_answered_is_no_answer_of_the_receivers() -> None:
    refused = Outcome(407, Failure.own_side)
    assert (str(refused), refused.group, refused.answered, refused.ours) == ("own_side", "own_side", False, True)


def test_every_failure_has_a_text_that_is_read_again_and_fits_its_column() -> None:
    for failure in set(Failure) - {Failure.status, Failure.redirect}:
        assert Outcome.read(str(Outcome(None, failure))) == Outcome(None, failure)
        assert len(failure) <= 20


@pytest.mark.parametrize("text", ["20x", "-1", "a_failure_of_next_year"])
def test_a_name_that_a_newer_version_wrote_is_kept_as_it_is(text: str) -> None:
    found = Outcome.read(text)
    assert (str(found), found.group, found.answered, found.ours) == (text, text, False, False)
