"""Whatever bytes a receiver sends, an attempt comes of it and no exception."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from cerber.egress import Failure
from tests.egress.kit import Listen, Post, head, raw
from tests.receivers import OK, answering


def test_a_whole_answer_of_any_bytes_is_an_attempt_and_no_exception(listen: Listen, post: Post) -> None:
    receiver = listen(answering(OK))

    @settings(max_examples=150, deadline=None)
    @given(
        st.sampled_from([b"", b"HTTP/1.1 ", b"HTTP/1.1 200 OK\r\n", head("200 OK", "Transfer-Encoding: chunked")]),
        st.binary(),
    )
    def answer_with(start: bytes, rest: bytes) -> None:
        receiver.script = raw(start + rest)
        attempt = post(receiver)
        assert (attempt.status is None) == (attempt.failure in (Failure.reset, Failure.protocol))
        assert attempt.detail.isprintable()

    answer_with()
