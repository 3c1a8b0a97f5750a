"""What is answered: statuses, Retry-After, forerunners, and how much of a body is kept."""

from __future__ import annotations

import gzip
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from cerber.webhooks.client import Failure
from cerber.webhooks.client.client import ANSWER_KEPT
from tests.integration.webhooks.client.kit import Listen, Post, head, raw
from tests.support.receivers import OK, answering


@pytest.mark.parametrize("status", [200, 201, 202, 204, 226, 299])
def test_each_2xx_is_success(listen: Listen, post: Post, status: int) -> None:
    attempt = post(listen(raw(head(f"{status} Fine", "Content-Length: 0"))))
    assert (attempt.status, attempt.failure, attempt.detail) == (status, None, "")


@pytest.mark.parametrize("status", [400, 401, 404, 408, 410, 429, 500, 503, 599, 600, 999])
def test_other_statuses_are_failures(listen: Listen, post: Post, status: int) -> None:
    attempt = post(listen(raw(head(f"{status} No", "Content-Length: 4") + b"gone")))
    assert (attempt.status, attempt.failure, attempt.answer) == (status, Failure.status, b"gone")


@pytest.mark.parametrize("status", [300, 301, 302, 303, 304, 307, 308])
def test_redirects_are_failures_and_not_followed(listen: Listen, post: Post, status: int) -> None:
    inside = listen(answering(OK))
    attempt = post(listen(raw(head(f"{status} Elsewhere", f"Location: {inside.url}", "Content-Length: 0"))))
    assert (attempt.status, attempt.failure) == (status, Failure.redirect)
    assert inside.connections == 0


A_YEAR_AHEAD = format_datetime(datetime.now(UTC) + timedelta(days=365), usegmt=True)


@pytest.mark.parametrize("status", ["429 Slow down", "503 Busy"])
@pytest.mark.parametrize(
    "value",
    [
        "120", "Fri, 31 Dec 1999 23:59:59 GMT", "31536000", pytest.param(A_YEAR_AHEAD, id="a year ahead"),
        "soon", "-1", "9" * 400, "", "1, 2", "ə",
    ],
)  # fmt: skip
def test_retry_after_is_handed_on_as_it_came(listen: Listen, post: Post, status: str, value: str) -> None:
    attempt = post(listen(raw(head(status, f"Retry-After: {value}", "Content-Length: 0"))))
    assert attempt.failure is Failure.status
    assert attempt.retry_after == value.encode().decode("latin-1")


@pytest.mark.parametrize(
    "forerunners", ["100 Continue", "102 Processing", "103 Early Hints", "101 Switching", "103 A|100 B|102 C|199 D"]
)
def test_informational_answers_are_skipped(listen: Listen, post: Post, forerunners: str) -> None:
    before = b"".join(head(status, "Link: </x>", "Retry-After: 1") for status in forerunners.split("|"))
    attempt = post(listen(raw(before + OK)))
    assert (attempt.status, attempt.failure, attempt.answer, attempt.retry_after) == (200, None, b"ok", None)
    assert post(listen(raw(before + head("410 Gone", "Content-Length: 0")))).status == 410


def test_only_2_kib_of_the_answer_are_kept(listen: Listen, post: Post) -> None:
    attempt = post(listen(raw(head("200 OK", "Content-Length: 60000") + b"a" * 60000)))
    assert attempt.answer == b"a" * ANSWER_KEPT


def test_a_compressed_answer_is_kept_as_it_came(listen: Listen, post: Post) -> None:
    bomb = gzip.compress(b"\0" * 50_000_000)
    attempt = post(listen(raw(head("200 OK", "Content-Encoding: gzip", f"Content-Length: {len(bomb)}") + bomb)))
    assert (attempt.failure, attempt.answer) == (None, bomb[:ANSWER_KEPT])


@pytest.mark.parametrize(
    "value",
    [
        "multipart/x; boundary*=\0'en'abc",
        f"multipart/x; boundary*{'9' * 5000}*=abc",
        "multipart/x; boundary*=idna'en'%ff",
        "message/rfc822",
        "multipart/x; boundary=",
    ],
)
def test_what_the_headers_mean_otherwise_is_not_asked(listen: Listen, post: Post, value: str) -> None:
    attempt = post(listen(raw(head("200 OK", f"Content-Type: {value}", "Content-Length: 2") + b"ok")))
    assert (attempt.status, attempt.failure, attempt.answer) == (200, None, b"ok")
