"""The one door out, against receivers, names and networks that do their worst: contract sections 5 and 6."""

from __future__ import annotations

import errno
import gzip
import socket
import threading
import time
import tomllib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cerber import egress as egress_module
from cerber import kept
from cerber.connections import PlainSocket
from cerber.egress import ANSWER_KEPT, Attempt, Egress, Failure
from tests.receivers import OK, Authority, Connection, Receiver, Script, answering

BODY = b'{"status": "confirm", "payment_id": "3636363", "confirm_sum": "500"}'
HEADERS = {"Content-Type": "application/json", "Signature": "ab" * 32}

PATIENCE = 10.0  # seconds; for what is to end by itself
TOTAL = 0.3  # for what is to be cut
SLACK = 1.5  # for a machine under load

Listen = Callable[..., Receiver]
Post = Callable[[Receiver], Attempt]
Open = Callable[..., Egress]


@pytest.fixture
def listen() -> Iterator[Listen]:
    receivers: list[Receiver] = []

    def start(script: Script, **more: Any) -> Receiver:
        receivers.append(Receiver(script, **more))
        return receivers[-1]

    yield start
    for receiver in receivers:
        receiver.close()


@pytest.fixture
def door() -> Iterator[Open]:
    doors: list[Egress] = []

    def start(allow_private: bool = True, **more: Any) -> Egress:
        doors.append(Egress(allow_private, **{"connect_timeout": PATIENCE, "total_timeout": PATIENCE, **more}))
        return doors[-1]

    yield start
    for egress in doors:
        egress.close()


@pytest.fixture
def post(door: Open) -> Post:
    egress = door()
    return lambda receiver: egress.post(receiver.url, BODY, HEADERS)


@pytest.fixture
def post_hurriedly(door: Open) -> Post:
    egress = door(total_timeout=TOTAL)
    return lambda receiver: egress.post(receiver.url, BODY, HEADERS)


class Resolver:
    """Stands for the machine's resolver: answers of addresses, errors or functions, the last one again and again."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked: list[str] = []
        self.names: dict[str, list[Any]] = {}
        self._real = socket.getaddrinfo
        monkeypatch.setattr(socket, "getaddrinfo", self._look_up)

    def answers(self, name: str, *answers: Any) -> None:
        self.names[name] = list(answers)

    def _look_up(self, host: str, port: int | None, **more: Any) -> Any:
        self.asked.append(host)
        turns = self.names[host]
        answer = turns.pop(0) if len(turns) > 1 else turns[0]
        if callable(answer):
            answer = answer()
        if isinstance(answer, Exception):
            raise answer
        return [found for address in answer for found in self._real(address, port, **more)]


@pytest.fixture
def resolver(monkeypatch: pytest.MonkeyPatch) -> Resolver:
    return Resolver(monkeypatch)


def head(status: str, *headers: str) -> bytes:
    return "\r\n".join([f"HTTP/1.1 {status}", *headers, "", ""]).encode()


def raw(answer: bytes) -> Script:
    """Answers one request with these bytes and closes."""

    def script(connection: Connection) -> None:
        connection.request()
        connection.send(answer)

    return script


# --- what is sent


def test_the_request_is_what_was_asked_for(listen: Listen, post: Post) -> None:
    receiver = listen(answering(OK))
    attempt = post(receiver)
    assert (attempt.status, attempt.failure, attempt.answer) == (200, None, b"ok")
    lines, _, body = receiver.requests[0].partition(b"\r\n\r\n")
    assert body == BODY
    assert set(lines.decode().split("\r\n")) == {
        "POST /hook HTTP/1.1",
        f"Host: 127.0.0.1:{receiver.port}",
        f"User-Agent: {egress_module.USER_AGENT}",
        "Accept: */*",
        "Accept-Encoding: identity",
        "Content-Type: application/json",
        f"Signature: {HEADERS['Signature']}",
        f"Content-Length: {len(BODY)}",
    }


def test_headers_and_body_leave_in_one_piece(listen: Listen, post: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[bytes] = []
    real = socket.socket.sendall

    def sendall(sock: socket.socket, data: bytes) -> None:
        if isinstance(sock, PlainSocket):
            sent.append(bytes(data))
        real(sock, data)

    monkeypatch.setattr(socket.socket, "sendall", sendall)
    receiver = listen(answering(OK))
    assert post(receiver).failure is None
    assert sent == receiver.requests


def test_path_and_query_are_sent_as_they_are(listen: Listen, door: Open) -> None:
    receiver = listen(answering(OK))
    for target in ("/", "//a/../b", "/a%2fb%C3%A9?x=%20&y[]=1&z=/?", "/?x"):
        assert door().post(f"http://127.0.0.1:{receiver.port}{target}", BODY, HEADERS).failure is None
        assert receiver.requests[-1].startswith(f"POST {target} HTTP/1.1\r\n".encode())


def test_the_user_agent_names_the_version() -> None:
    project = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text())
    assert f"Cerber/{project['project']['version']}" == egress_module.USER_AGENT


def test_a_header_that_would_break_the_request_is_refused(listen: Listen, door: Open) -> None:
    receiver = listen(answering(OK))
    with pytest.raises(ValueError, match="header"):
        door().post(receiver.url, BODY, {"webhook-id": "1\r\nX: y"})
    assert receiver.requests == []


def test_the_environment_changes_nothing(
    listen: Listen, door: Open, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login user password secret\n")
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "missing"))
    receiver = listen(answering(OK))
    assert door().post(receiver.url, BODY, HEADERS).failure is None
    assert b"authorization" not in receiver.requests[0].lower()


def test_no_cookie_is_kept(listen: Listen, post: Post) -> None:
    receiver = listen(answering(head("200 OK", "Set-Cookie: a=b", "Content-Length: 0")))
    assert post(receiver).failure is post(receiver).failure is None
    assert b"cookie" not in receiver.requests[1].lower()


# --- what is answered


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


@pytest.mark.parametrize("status", ["429 Slow down", "503 Busy"])
@pytest.mark.parametrize(
    "value", ["120", "Fri, 31 Dec 1999 23:59:59 GMT", "soon", "-1", "31536000", "9" * 400, "", "1, 2", "ə"]
)
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


# --- a complete header block with a 2xx is success, whatever the body does

BODIES = {
    "cut": head("200 OK", "Content-Length: 100") + b"cut",
    "without length": head("200 OK") + b"cut",
    "conflicting lengths": head("200 OK", "Content-Length: 3", "Content-Length: 7") + b"cut",
    "absurd length": head("200 OK", "Content-Length: " + "9" * 5000) + b"cut",
    "no length": head("200 OK", "Content-Length: many") + b"cut",
    "cut chunk": head("200 OK", "Transfer-Encoding: chunked") + b"64\r\ncut",
    "broken chunk": head("200 OK", "Transfer-Encoding: chunked") + b"3\r\ncut\r\nzz\r\n",
    "chunks that never end": head("200 OK", "Transfer-Encoding: chunked") + b"3\r\ncut\r\n",
    "unknown coding": head("200 OK", "Transfer-Encoding: gzip, chunked") + b"cut",
    "broken headers": head("200 OK", "no header at all", "Content-Length: 3") + b"cut",
}


@pytest.mark.parametrize("name", BODIES)
def test_a_broken_body_doesnt_undo_success(listen: Listen, post: Post, name: str) -> None:
    attempt = post(listen(raw(BODIES[name])))
    assert (attempt.status, attempt.failure) == (200, None)
    assert attempt.answer.endswith(b"cut") or name == "broken headers"


def test_a_reset_body_doesnt_undo_success(listen: Listen, post: Post) -> None:
    def script(connection: Connection) -> None:
        connection.request()
        connection.send(head("200 OK", "Content-Length: 100") + b"cut")
        connection.reset()

    assert post(listen(script)).failure is None


@pytest.mark.parametrize("headers", [["Content-Length: 1000"], ["Transfer-Encoding: chunked"], []])
def test_a_dripping_body_ends_at_the_deadline(listen: Listen, post_hurriedly: Post, headers: list[str]) -> None:
    def script(connection: Connection) -> None:
        connection.request()
        connection.send(head("200 OK", *headers) + (b"3e8\r\n" if "chunked" in str(headers) else b""))
        connection.drip(b"d" * 1000)

    attempt = post_hurriedly(listen(script))
    assert (attempt.status, attempt.failure) == (200, None)
    assert attempt.answer.startswith(b"ddd")
    assert TOTAL <= attempt.seconds < TOTAL + SLACK


@pytest.mark.parametrize("headers", [["Content-Length: 10737418240"], ["Transfer-Encoding: chunked"], []])
def test_a_huge_body_is_cut_early(listen: Listen, post: Post, headers: list[str]) -> None:
    sent = []

    def script(connection: Connection) -> None:
        connection.request()
        connection.send(head("200 OK", *headers))
        while True:
            connection.send(b"10000\r\n" + b"x" * 65536 + b"\r\n")
            sent.append(65536)

    attempt = post(listen(script))
    assert (attempt.status, attempt.failure, len(attempt.answer)) == (200, None, ANSWER_KEPT)
    assert attempt.seconds < PATIENCE / 2
    assert sum(sent) < 20_000_000  # what fits into the buffers of the system


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


# --- headers that don't come


def test_no_answer_in_time_is_a_timeout(listen: Listen, post_hurriedly: Post) -> None:
    attempt = post_hurriedly(listen(lambda connection: connection.hang()))
    assert (attempt.status, attempt.failure) == (None, Failure.timeout)
    assert TOTAL <= attempt.seconds < TOTAL + SLACK


@pytest.mark.parametrize(
    "part", ["H", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n", "HTTP/1.1 100 Continue\r\n\r\n"]
)
def test_headers_that_stop_are_too_slow(listen: Listen, post_hurriedly: Post, part: str) -> None:
    def script(connection: Connection) -> None:
        connection.request()
        connection.send(part.encode())
        connection.hang()

    attempt = post_hurriedly(listen(script))
    assert (attempt.status, attempt.failure) == (None, Failure.too_slow)
    assert TOTAL <= attempt.seconds < TOTAL + SLACK


def test_headers_that_drip_are_too_slow(listen: Listen, post_hurriedly: Post) -> None:
    def script(connection: Connection) -> None:
        connection.request()
        connection.drip(head("200 OK", "X-Long: " + "x" * 1000))

    attempt = post_hurriedly(listen(script))
    assert (attempt.status, attempt.failure) == (None, Failure.too_slow)
    assert TOTAL <= attempt.seconds < TOTAL + SLACK


@pytest.mark.parametrize("line", [b"X: y\r\n", b"x" * 65536, b"HTTP/1.1 103 Early Hints\r\n\r\n", b"\0" * 4096])
def test_headers_without_end_are_cut(listen: Listen, post: Post, line: bytes) -> None:
    def script(connection: Connection) -> None:
        connection.request()
        connection.send(b"HTTP/1.1 103 Early Hints\r\n" if line.startswith(b"HTTP") else b"HTTP/1.1 200 OK\r\n")
        while True:
            connection.send(line)

    attempt = post(listen(script))
    assert (attempt.status, attempt.failure) == (None, Failure.protocol)
    assert attempt.seconds < PATIENCE / 2


@pytest.mark.parametrize(
    "part",
    [
        b"",
        b"HTTP/1.1 200 OK",
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"HTTP/1.1 200 OK\r\nA: b\r\n",
    ],
)
def test_closing_before_the_headers_are_complete_is_no_success(listen: Listen, post: Post, part: bytes) -> None:
    attempt = post(listen(raw(part)))
    assert (attempt.status, attempt.failure) == (None, Failure.reset)


def test_a_reset_is_a_failure(listen: Listen, post: Post) -> None:
    def script(connection: Connection) -> None:
        connection.request()
        connection.reset()

    assert post(listen(script)).failure is Failure.reset


def test_closing_at_once_is_a_failure(listen: Listen, post: Post) -> None:
    assert post(listen(lambda connection: None)).failure is Failure.reset


def test_an_answer_that_doesnt_wait_for_the_request_counts(listen: Listen, door: Open) -> None:
    def script(connection: Connection) -> None:
        connection.send(head("413 Too long", "Connection: close", "Content-Length: 0"))
        connection.sock.shutdown(socket.SHUT_WR)
        connection.hang()

    assert door().post(listen(script).url, b"x" * 16_000, HEADERS).status == 413


@pytest.mark.parametrize(
    "noise",
    [
        b"220 mail.example ESMTP\r\n", b"SSH-2.0-OpenSSH_9.6\r\n", b"hello\r\n\r\n", b"\x15\x03\x01\x00\x02\x02\r\n",
        b"HTTP/1.1 OK\r\n\r\n", b"HTTP/1.1 2000 OK\r\n\r\n", b"HTTP/1.1 99 No\r\n\r\n", b"HTTP/2 200\r\n\r\n",
        b"HTTP/1.1 -200 OK\r\n\r\n", b"\r\n\r\n", b"<html>" + b"x" * 5000 + b"\r\n",
    ],
)  # fmt: skip
def test_what_speaks_no_http_is_a_failure(listen: Listen, post: Post, noise: bytes) -> None:
    attempt = post(listen(raw(noise)))
    assert (attempt.status, attempt.failure) == (None, Failure.protocol)
    assert attempt.detail.isprintable()
    assert len(attempt.detail) <= 200


def test_more_than_100_headers_are_a_failure(listen: Listen, post: Post) -> None:
    assert post(listen(raw(head("200 OK", *["X: y"] * 200)))).failure is Failure.protocol


def test_a_deadline_that_has_passed_ends_the_reading_though_bytes_are_there() -> None:
    here, there = socket.socketpair()
    with PlainSocket(fileno=here.detach()) as sock, there:
        there.sendall(b"more and more")
        sock.allot(time.monotonic() + PATIENCE)
        assert sock.recv_into(bytearray(4)) == 4
        sock.allot(time.monotonic())
        with pytest.raises(TimeoutError):
            sock.recv_into(bytearray(4))
        with pytest.raises(TimeoutError):
            sock.sendall(b"x")


# --- connecting


def test_a_closed_port_refuses(door: Open) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    attempt = door().post(f"http://127.0.0.1:{port}/", BODY, HEADERS)
    assert (attempt.failure, attempt.detail) == (Failure.refused, f"127.0.0.1 port {port}: connection refused")


@contextmanager
def full_queue(host: str, port: int = 0) -> Iterator[int]:
    """The port of a server that gives new connections no answer at all."""
    with ExitStack() as stack:
        server = stack.enter_context(socket.create_server((host, port), backlog=0))
        for _ in range(3):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(server.getsockname())
        yield server.getsockname()[1]


def test_a_connection_that_never_opens_is_a_timeout(door: Open) -> None:
    with full_queue("127.0.0.1") as port:
        attempt = door(connect_timeout=0.2).post(f"http://127.0.0.1:{port}/", BODY, HEADERS)
    assert attempt.failure is Failure.timeout
    assert 0.2 <= attempt.seconds < 0.2 + SLACK


def test_a_dead_address_leaves_time_for_the_next(
    listen: Listen, door: Open, resolver: Resolver, authority: Authority
) -> None:
    receiver = listen(answering(OK), tls=authority.server("shop.example.com"))
    resolver.answers("shop.example.com", ["127.0.0.2", "127.0.0.1"])
    egress = door(connect_timeout=1.6, ca_file=str(authority.ca_file))
    with full_queue("127.0.0.2", receiver.port):
        attempt = egress.post(f"https://shop.example.com:{receiver.port}/", BODY, HEADERS)
    assert attempt.failure is None
    assert 0.8 <= attempt.seconds < 1.6


def test_the_next_address_is_tried(listen: Listen, door: Open, resolver: Resolver) -> None:
    receiver = listen(answering(OK))
    resolver.answers("shop.example.com", ["::1", "127.0.0.2", "127.0.0.1"])
    assert door().post(f"http://shop.example.com:{receiver.port}/", BODY, HEADERS).failure is None
    assert f"Host: shop.example.com:{receiver.port}".encode() in receiver.requests[0]


@pytest.mark.parametrize(
    ("number", "address", "failure"),
    [
        (errno.EMFILE, "8.8.8.8", Failure.own_side),
        (errno.ENETUNREACH, "8.8.8.8", Failure.own_side),
        (errno.ENETUNREACH, "2606:4700::1111", Failure.unreachable),
        (errno.EHOSTUNREACH, "8.8.8.8", Failure.unreachable),
        (errno.EPERM, "8.8.8.8", Failure.own_side),
        (errno.ETIMEDOUT, "8.8.8.8", Failure.timeout),
        (errno.ECONNRESET, "8.8.8.8", Failure.reset),
    ],
)
def test_what_is_ours_is_told_from_what_is_theirs(
    door: Open, monkeypatch: pytest.MonkeyPatch, number: int, address: str, failure: Failure
) -> None:
    def fail(*_: object) -> None:
        raise OSError(number, "no")

    monkeypatch.setattr(socket.socket, "connect", fail)
    host = f"[{address}]" if ":" in address else address
    assert door(allow_private=False).post(f"http://{host}/", BODY, HEADERS).failure is failure


def test_ours_are_the_failures_that_tell_nothing_of_the_endpoint() -> None:
    assert {failure for failure in Failure if failure.ours} == {Failure.own_dns, Failure.own_side}


# --- TLS


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def post_tls(listen: Listen, door: Open, resolver: Resolver, authority: Authority) -> Callable[..., Attempt]:
    resolver.answers("shop.example.com", ["127.0.0.1"])
    egress = door(ca_file=str(authority.ca_file))

    def post(*names: str, script: Script | None = None, **more: Any) -> Attempt:
        receiver = listen(script or answering(OK), tls=authority.server(*names, **more))
        return egress.post(f"https://shop.example.com:{receiver.port}/hook", BODY, HEADERS)

    return post


def test_a_certificate_for_the_name_is_accepted(post_tls: Callable[..., Attempt]) -> None:
    assert post_tls("shop.example.com").failure is None
    assert post_tls("*.example.com").failure is None


@pytest.mark.parametrize(
    ("names", "more", "reason"),
    [
        (["other.example.com"], {}, "mismatch"),
        (["127.0.0.1"], {}, "mismatch"),  # the address connected to is not what was asked for
        (["example.com"], {}, "mismatch"),
        (["shop.example.com"], {"days": -1}, "expired"),
        (["shop.example.com"], {"own": True}, "self-signed"),
    ],
)
def test_other_certificates_are_refused_before_anything_is_sent(
    post_tls: Callable[..., Attempt], names: list[str], more: dict[str, Any], reason: str
) -> None:
    seen: list[bytes] = []
    attempt = post_tls(*names, script=lambda connection: seen.append(connection.request()), **more)
    assert (attempt.status, attempt.failure) == (None, Failure.tls)
    assert reason in attempt.detail
    assert not any(seen)


def test_an_authority_that_nobody_knows_is_refused(listen: Listen, door: Open, authority: Authority) -> None:
    receiver = listen(answering(OK), tls=authority.server("127.0.0.1"))
    assert door().post(receiver.url, BODY, HEADERS).failure is Failure.tls
    assert door(ca_file=str(authority.ca_file)).post(receiver.url, BODY, HEADERS).failure is None


def test_the_name_is_sent_to_the_server(listen: Listen, door: Open, resolver: Resolver, authority: Authority) -> None:
    names: list[Any] = []
    context = authority.server("shop.example.com")
    context.sni_callback = lambda _sock, name, _context: names.append(name)
    resolver.answers("shop.example.com", ["127.0.0.1"])
    receiver = listen(answering(OK), tls=context)
    egress = door(ca_file=str(authority.ca_file))
    assert egress.post(f"https://SHOP.example.com.:{receiver.port}/", BODY, HEADERS).failure is None
    assert egress.post(f"https://shop.example.com:{receiver.port}/", BODY, HEADERS).failure is None
    assert names == ["shop.example.com"]  # and once: the connection is reused


def test_tls_that_isnt_spoken_is_a_failure(listen: Listen, door: Open) -> None:
    receiver = listen(raw(b"HTTP/1.1 200 OK\r\n\r\n"))
    receiver.script = lambda connection: connection.send(b"HTTP/1.1 200 OK\r\n\r\n")
    assert door().post(receiver.url.replace("http:", "https:"), BODY, HEADERS).failure is Failure.tls


def test_tls_that_doesnt_begin_ends_with_the_time_to_connect(listen: Listen, door: Open) -> None:
    url = listen(lambda connection: connection.hang()).url.replace("http:", "https:")
    attempt = door(connect_timeout=0.2).post(url, BODY, HEADERS)
    assert attempt.failure is Failure.timeout
    assert 0.2 <= attempt.seconds < 0.2 + SLACK


def test_a_dripping_answer_within_tls_ends_at_the_deadline(listen: Listen, door: Open, authority: Authority) -> None:
    def script(connection: Connection) -> None:
        connection.request()
        connection.drip(head("200 OK", "X-Long: " + "x" * 1000))

    receiver = listen(script, tls=authority.server("127.0.0.1"))
    attempt = door(total_timeout=TOTAL, ca_file=str(authority.ca_file)).post(receiver.url, BODY, HEADERS)
    assert attempt.failure is Failure.too_slow
    assert TOTAL <= attempt.seconds < TOTAL + SLACK


def test_closing_within_tls_is_a_reset(post_tls: Callable[..., Attempt]) -> None:
    assert post_tls("shop.example.com", script=raw(b"HTTP/1.1 200 OK\r\n")).failure is Failure.reset


# --- the guard

INSIDE = """
    127.0.0.1 10.0.0.1 169.254.169.254 168.63.129.16 100.100.100.200 0.0.0.0 ::1 ::ffff:127.0.0.1 64:ff9b::7f00:1
    2002:7f00:1:: fd00:ec2::254 fe80::1 fec0::1 ::127.0.0.1
"""


@pytest.fixture
def connects(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Where connections go that leave the machine: to the list, and nowhere else."""
    made: list[Any] = []

    def connect(_: socket.socket, address: Any) -> None:
        made.append(address)
        raise ConnectionRefusedError

    monkeypatch.setattr(socket.socket, "connect", connect)
    return made


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.1", "2130706433", "0x7f.1", "localhost", "[::1]", "[::ffff:127.0.0.1]"]
)
def test_an_inside_url_is_blocked_and_nothing_connected(listen: Listen, door: Open, host: str) -> None:
    receiver = listen(answering(OK))
    attempt = door(allow_private=False).post(f"http://{host}:{receiver.port}/", BODY, HEADERS)
    assert (attempt.status, attempt.failure) == (None, Failure.blocked_address)
    assert receiver.connections == 0


@pytest.mark.parametrize("address", INSIDE.split())
def test_a_name_that_leads_inside_is_blocked(
    door: Open, resolver: Resolver, connects: list[Any], address: str
) -> None:
    resolver.answers(
        "shop.example.com", [address], ["8.8.8.8", address], [address, "8.8.8.8"], ["2606:4700::1", address]
    )
    egress = door(allow_private=False)
    for _ in range(4):
        assert egress.post("https://shop.example.com/", BODY, HEADERS).failure is Failure.blocked_address
    assert connects == []


def test_the_checked_address_is_the_connected_one(door: Open, resolver: Resolver, connects: list[Any]) -> None:
    resolver.answers("shop.example.com", ["8.8.8.8"], ["127.0.0.1"])
    egress = door(allow_private=False)
    assert egress.post("http://shop.example.com:8080/", BODY, HEADERS).failure is Failure.refused
    assert connects == [("8.8.8.8", 8080)]
    assert resolver.asked == ["shop.example.com"]
    assert egress.post("http://shop.example.com:8080/", BODY, HEADERS).failure is Failure.blocked_address
    assert connects == [("8.8.8.8", 8080)]


def test_all_addresses_connected_are_checked_ones(door: Open, resolver: Resolver, connects: list[Any]) -> None:
    resolver.answers("shop.example.com", ["2606:4700::1111", "8.8.8.8", "1.1.1.1", "9.9.9.9", "8.8.4.4", "1.0.0.1"])
    assert door(allow_private=False).post("https://shop.example.com/", BODY, HEADERS).failure is Failure.refused
    assert connects == [("2606:4700::1111", 443), ("8.8.8.8", 443), ("1.1.1.1", 443), ("9.9.9.9", 443)]


def test_an_inside_address_is_blocked_after_many_public_ones(
    door: Open, resolver: Resolver, connects: list[Any]
) -> None:
    resolver.answers("shop.example.com", [f"8.8.8.{n}" for n in range(50)] + ["10.0.0.1"])
    assert (
        door(allow_private=False).post("http://shop.example.com/", BODY, HEADERS).failure is Failure.blocked_address
    )
    assert connects == []


# --- names


def test_a_name_that_doesnt_exist_is_a_failure_of_the_endpoint(door: Open, resolver: Resolver) -> None:
    resolver.answers("shop.example.com", socket.gaierror(socket.EAI_NONAME, "Name or service not known"))
    attempt = door().post("http://shop.example.com/", BODY, HEADERS)
    assert (attempt.failure, attempt.detail) == (Failure.dns, "shop.example.com has no address")


def test_a_silent_resolver_is_ours_until_it_answers_for_others(
    door: Open, resolver: Resolver, connects: list[Any]
) -> None:
    resolver.answers("silent.example.com", socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution"))
    resolver.answers("shop.example.com", ["8.8.8.8"])
    egress = door()
    assert egress.post("http://silent.example.com/", BODY, HEADERS).failure is Failure.own_dns
    assert egress.post("http://shop.example.com/", BODY, HEADERS).failure is Failure.refused
    assert egress.post("http://silent.example.com/", BODY, HEADERS).failure is Failure.dns
    resolver.answers("silent.example.com", ["8.8.8.8"], socket.gaierror(socket.EAI_AGAIN, "Temporary failure"))
    assert egress.post("http://silent.example.com/", BODY, HEADERS).failure is Failure.refused
    assert egress.post("http://silent.example.com/", BODY, HEADERS).failure is Failure.own_dns
    assert len(connects) == 2


def test_a_hanging_lookup_ends_at_the_deadline_and_holds_one_thread(door: Open, resolver: Resolver) -> None:
    release = threading.Event()
    resolver.answers("hangs.example.com", lambda: release.wait(10) and ["127.0.0.1"])
    egress = door(total_timeout=TOTAL)
    with ThreadPoolExecutor(8) as pool:
        attempts = list(pool.map(lambda _: egress.post("http://hangs.example.com/", BODY, HEADERS), range(8)))
    assert {attempt.failure for attempt in attempts} == {Failure.own_dns}
    assert all(TOTAL <= attempt.seconds < TOTAL + SLACK for attempt in attempts)
    assert resolver.asked == ["hangs.example.com"]
    release.set()


def test_a_lookup_that_is_over_is_asked_anew(door: Open, resolver: Resolver, connects: list[Any]) -> None:
    resolver.answers("shop.example.com", ["8.8.8.8"], ["9.9.9.9"])
    egress = door()
    egress.post("http://shop.example.com/", BODY, HEADERS)
    egress.post("http://shop.example.com/", BODY, HEADERS)
    assert connects == [("8.8.8.8", 80), ("9.9.9.9", 80)]


def test_a_machine_without_threads_is_a_failure_of_ours(door: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", fail)
    assert door().post("http://shop.example.com/", BODY, HEADERS).failure is Failure.own_dns


# --- connections kept


def test_a_connection_is_reused(listen: Listen, post: Post) -> None:
    receiver = listen(answering(OK, head("404 No", "Content-Length: 0"), head("204 Fine"), OK))
    assert [post(receiver).status for _ in range(5)] == [200, 404, 204, 200, 200]
    assert receiver.connections == 1


@pytest.mark.parametrize(
    "answer",
    [
        head("200 OK", "Transfer-Encoding: chunked") + b"2\r\nok\r\n0\r\nTrailer: x\r\n\r\n",
        head("100 Continue") + OK,
        head("200 OK", "Content-Length: 65536") + b"a" * 65536,
    ],
)
def test_a_connection_whose_answer_came_whole_is_reused(listen: Listen, post: Post, answer: bytes) -> None:
    receiver = listen(answering(answer))
    assert [post(receiver).status for _ in range(3)] == [200, 200, 200]
    assert receiver.connections == 1


@pytest.mark.parametrize(
    "answer",
    [
        head("200 OK", "Content-Length: 65537") + b"a" * 65537,
        head("200 OK", "Connection: close", "Content-Length: 0"),
        b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n",
    ],
)
def test_other_connections_are_not_reused(listen: Listen, post: Post, answer: bytes) -> None:
    receiver = listen(answering(answer))
    assert [post(receiver).status for _ in range(3)] == [200, 200, 200]
    assert receiver.connections == 3


def test_a_connection_with_a_part_of_an_answer_to_come_is_not_reused(listen: Listen, post: Post) -> None:
    def script(connection: Connection) -> None:
        connection.request()
        connection.send(head("200 OK", "Content-Length: 65541") + b"a" * 65536)
        if connection.request():
            connection.send(b"later" + OK)

    receiver = listen(script)
    assert [post(receiver).status, post(receiver).status, receiver.connections] == [200, 200, 2]


def test_an_answer_to_nothing_is_not_taken_for_the_next_one(listen: Listen, door: Open) -> None:
    unasked = head("500 Unasked", "Content-Length: 0")
    answered = threading.Event()

    def script(connection: Connection) -> None:
        connection.request()
        connection.send(OK + unasked)
        connection.request()
        connection.send(OK)
        answered.wait(5)
        connection.send(unasked)
        connection.hang()

    receiver = listen(script)
    egress = door()
    assert [egress.post(receiver.url, BODY, HEADERS).status for _ in range(2)] == [200, 200]
    answered.set()
    [[kept_one]] = egress._common.kept._stacks.values()
    wait_until(lambda: not kept_one.is_connected)  # the unasked answer has arrived
    assert egress.post(receiver.url, BODY, HEADERS).status == 200
    assert receiver.connections == 2


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_a_connection_is_not_shared_between_endpoints(listen: Listen, door: Open, resolver: Resolver) -> None:
    receiver = listen(answering(OK))
    egress = door()
    for name in ("a.example.com", "b.example.com"):
        resolver.answers(name, ["127.0.0.1"])
        egress.post(f"http://{name}:{receiver.port}/", BODY, HEADERS)
    assert receiver.connections == 2


def test_a_connection_that_was_closed_meanwhile_is_replaced(listen: Listen, post: Post) -> None:
    closed = threading.Event()

    def script(connection: Connection) -> None:
        connection.request()
        connection.send(OK)
        connection.sock.shutdown(socket.SHUT_RDWR)
        closed.set()

    receiver = listen(script)
    for _ in range(3):
        closed.clear()
        assert post(receiver).failure is None
        assert closed.wait(5)
    assert (receiver.connections, len(receiver.requests)) == (3, 3)


def second_request(then: Script) -> Script:
    """Answers the first request on the first connection, then does this with the second; other connections answer."""

    def script(connection: Connection) -> None:
        first = connection.receiver.connections == 1
        connection.request()
        connection.send(OK)
        connection.request()
        if first:
            then(connection)
        else:
            connection.send(OK)

    return script


@pytest.mark.parametrize("then", [lambda connection: None, lambda connection: connection.reset()])
def test_a_kept_connection_that_died_is_no_failure_of_the_endpoint(listen: Listen, post: Post, then: Script) -> None:
    receiver = listen(second_request(then))
    assert [post(receiver).failure, post(receiver).failure] == [None, None]
    assert receiver.connections == 2
    assert len(receiver.requests) == 3  # the receiver may have seen the second one twice


def test_an_answer_that_broke_off_is_not_asked_for_again(listen: Listen, post: Post) -> None:
    receiver = listen(second_request(lambda connection: connection.send(b"H")))
    assert [post(receiver).failure, post(receiver).failure] == [None, Failure.reset]
    assert (receiver.connections, len(receiver.requests)) == (1, 2)


def test_a_kept_connection_that_hangs_is_a_timeout(listen: Listen, post_hurriedly: Post) -> None:
    receiver = listen(second_request(lambda connection: connection.hang()))
    assert [post_hurriedly(receiver).failure, post_hurriedly(receiver).failure] == [None, Failure.timeout]
    assert (receiver.connections, len(receiver.requests)) == (1, 2)


def test_a_new_connection_that_dies_is_not_tried_again(listen: Listen, post: Post) -> None:
    receiver = listen(raw(b""))
    assert post(receiver).failure is Failure.reset
    assert (receiver.connections, len(receiver.requests)) == (1, 1)


def test_the_guard_holds_for_the_connection_after_a_dead_one(
    listen: Listen, door: Open, resolver: Resolver, monkeypatch: pytest.MonkeyPatch
) -> None:
    receiver = listen(second_request(lambda connection: None))
    real = socket.socket.connect
    monkeypatch.setattr(socket.socket, "connect", lambda sock, address: real(sock, ("127.0.0.1", address[1])))
    resolver.answers("shop.example.com", ["8.8.8.8"], ["127.0.0.1"])
    egress = door(allow_private=False)
    url = f"http://shop.example.com:{receiver.port}/"
    assert egress.post(url, BODY, HEADERS).failure is None
    assert egress.post(url, BODY, HEADERS).failure is Failure.blocked_address
    assert receiver.connections == 1


def test_a_connection_is_used_for_a_minute_at_most(
    listen: Listen, post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    receiver = listen(answering(OK))
    post(receiver)
    monkeypatch.setattr(kept, "SECONDS", 0.0)
    post(receiver)
    assert receiver.connections == 2


def test_connections_kept_are_bounded_over_all_endpoints(
    listen: Listen, post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept, "MOST", 2)
    receivers = [listen(answering(OK)) for _ in range(3)]
    for receiver in (*receivers, receivers[2], receivers[1], receivers[0]):
        assert post(receiver).failure is None
    assert [receiver.connections for receiver in receivers] == [2, 1, 1]


def test_many_threads_share_one_door(listen: Listen, door: Open) -> None:
    receivers = [listen(answering(OK)) for _ in range(4)]
    egress = door()
    with ThreadPoolExecutor(32) as pool:
        attempts = list(pool.map(lambda n: egress.post(receivers[n % 4].url, str(n).encode(), HEADERS), range(800)))
    assert [attempt for attempt in attempts if attempt.failure] == []
    bodies = [request.partition(b"\r\n\r\n")[2] for receiver in receivers for request in receiver.requests]
    assert sorted(map(int, bodies)) == list(range(800))
    assert sum(receiver.connections for receiver in receivers) <= 128


# --- a proxy that the host forces on us


def proxy_script(tunnel: bytes = b"HTTP/1.1 200 Connected\r\n\r\n", tls: Any = None) -> Script:
    """A proxy whose tunnels all end in itself, as the server of the context `tls`."""

    def script(connection: Connection) -> None:
        if connection.request().startswith(b"CONNECT"):
            connection.send(tunnel)
            if tls:
                connection.start_tls(tls)
                answering(OK)(connection)
        else:
            connection.send(OK)

    return script


def test_http_goes_through_the_proxy_whole(listen: Listen, door: Open, resolver: Resolver) -> None:
    proxy = listen(answering(OK))
    egress = door(allow_private=False, proxy=f"http://user:secret@127.0.0.1:{proxy.port}")
    for _ in range(2):
        assert egress.post("http://shop.example.com/hook?x=1", BODY, HEADERS).failure is None
    assert proxy.requests[0].startswith(b"POST http://shop.example.com:80/hook?x=1 HTTP/1.1\r\n")
    assert b"Proxy-Authorization: Basic dXNlcjpzZWNyZXQ=" in proxy.requests[1]
    assert proxy.connections == 1
    assert resolver.asked == []  # names are the proxy's to look up


def test_https_goes_through_a_tunnel_and_is_held_to_the_name(
    listen: Listen, door: Open, authority: Authority
) -> None:
    proxy = listen(proxy_script(tls=authority.server("shop.example.com")))
    egress = door(False, proxy=f"http://user:secret@127.0.0.1:{proxy.port}", ca_file=str(authority.ca_file))
    for _ in range(2):
        assert egress.post("https://shop.example.com/hook", BODY, HEADERS).failure is None
    connect, *inner = proxy.requests
    assert connect.startswith(b"CONNECT shop.example.com:443 HTTP/1.")
    assert b"Basic dXNlcjpzZWNyZXQ=" in connect
    assert len(inner) == 2
    assert all(request.startswith(b"POST /hook HTTP/1.1\r\nHost: shop.example.com\r\n") for request in inner)
    assert not any(b"Proxy-Authorization" in request for request in inner)
    assert egress.post("https://other.example.com/", BODY, HEADERS).failure is Failure.tls


@pytest.mark.parametrize("host", ["127.0.0.1", "0x7f.1", "[::ffff:10.0.0.1]", "localhost", "db.internal"])
def test_the_guard_sees_the_url_where_there_is_a_proxy(listen: Listen, door: Open, host: str) -> None:
    proxy = listen(answering(OK))
    egress = door(allow_private=False, proxy=f"http://127.0.0.1:{proxy.port}")
    assert egress.post(f"http://{host}/", BODY, HEADERS).failure is Failure.blocked_address
    assert proxy.connections == 0


@pytest.mark.parametrize("url", ["http://shop.example.com/", "https://shop.example.com/"])
def test_a_proxy_that_cant_be_reached_is_ours(door: Open, resolver: Resolver, url: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    resolver.answers("proxy.example.net", socket.gaierror(socket.EAI_NONAME, "no"))
    for proxy in (f"http://user:secret@127.0.0.1:{port}", "http://user:secret@proxy.example.net:3128"):
        attempt = door(allow_private=False, proxy=proxy).post(url, BODY, HEADERS)
        assert attempt.failure is Failure.own_side
        assert "secret" not in attempt.detail


@pytest.mark.parametrize(
    ("answer", "failure"),
    [
        ("403 Forbidden", Failure.own_side),
        ("407 Proxy Authentication Required", Failure.own_side),
        ("502 Bad Gateway", Failure.unreachable),
        ("504 Gateway Timeout", Failure.unreachable),
    ],
)
def test_a_tunnel_refused_is_ours_unless_the_receiver_was_away(
    listen: Listen, door: Open, answer: str, failure: Failure
) -> None:
    proxy = listen(proxy_script(tunnel=head(answer, "Content-Length: 0")))
    egress = door(allow_private=False, proxy=f"http://127.0.0.1:{proxy.port}")
    assert egress.post("https://shop.example.com/", BODY, HEADERS).failure is failure


def test_a_proxy_that_wants_a_password_is_ours(listen: Listen, door: Open) -> None:
    proxy = listen(answering(head("407 Proxy Authentication Required", "Content-Length: 0")))
    egress = door(allow_private=False, proxy=f"http://127.0.0.1:{proxy.port}")
    assert egress.post("http://shop.example.com/", BODY, HEADERS).failure is Failure.own_side


@pytest.mark.parametrize(
    "proxy", ["", "proxy.example:3128", "https://proxy.example:3128", "socks5://proxy.example", "http://"]
)
def test_a_proxy_that_cant_be_used_is_refused_at_the_start(proxy: str) -> None:
    with pytest.raises(ValueError, match="http://host:port"):
        Egress(allow_private=False, proxy=proxy)


def test_a_proxy_that_hangs_ends_at_the_deadline(listen: Listen, door: Open) -> None:
    proxy = listen(lambda connection: connection.hang())
    egress = door(allow_private=False, proxy=f"http://127.0.0.1:{proxy.port}", total_timeout=TOTAL)
    start = time.monotonic()
    assert egress.post("https://shop.example.com/", BODY, HEADERS).failure is Failure.timeout
    assert time.monotonic() - start < TOTAL + SLACK
