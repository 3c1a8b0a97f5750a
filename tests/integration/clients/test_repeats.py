"""What the clients repeat, what they don't, and how long they wait, against servers that do as a script says."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator

import pytest

from cerber import signing
from tests.integration.clients.driving import Driver
from tests.support.factories import MerchantKeys
from tests.support.receivers import Connection, Receiver, Script

pytestmark = pytest.mark.slow
KEYS = MerchantKeys("shop-1", signing.new_secret(), signing.new_secret())
DONE = {"payment_id": 7, "status": "pending"}
PAGE = {
    "events": [
        {
            "webhook-id": "evt_1",
            "kind": "cancel",
            "payment_id": 7,
            "body": '{"status": "cancel", "payment_id": "7", "confirm_sum": "0"}',
            "time": "2026-11-24T07:19:01.123456Z",
            "state": "due",
            "attempts": 0,
        }
    ],
    "cursor": "evt_1",
    "has_more": False,
}


def answer(status: int, told: object, *headers: str) -> bytes:
    body = told.encode() if isinstance(told, str) else json.dumps(told).encode()
    lines = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


def problem(status: int, code: str, *headers: str) -> bytes:
    told = {"type": f"urn:cerber:problem:{code}", "title": "Title", "detail": "Detail.", "code": code}
    return answer(status, told, "Content-Type: application/problem+json", *headers)


GOOD = answer(200, DONE)


@pytest.fixture
def receive() -> Iterator[Callable[[Script], Receiver]]:
    opened: list[Receiver] = []

    def receiver(script: Script) -> Receiver:
        opened.append(Receiver(script))
        return opened[-1]

    yield receiver
    for one in opened:
        one.close()


def first_then(first: Callable[[Connection], None]) -> Script:
    """The first connection as it says; the others get the good answer."""

    def script(connection: Connection) -> None:
        if connection.request():
            if len(connection.receiver.requests) == 1:
                first(connection)
            else:
                connection.send(GOOD)

    return script


def in_turn(*answers: bytes) -> Script:
    """Answers each request with the next of these, the last one again and again, on whatever connection."""

    def script(connection: Connection) -> None:
        while connection.request():
            connection.send(answers[min(len(connection.receiver.requests), len(answers)) - 1])

    return script


def at(receiver: Receiver) -> str:
    return f"http://127.0.0.1:{receiver.port}"


@pytest.mark.parametrize(
    "failure",
    [
        pytest.param(lambda c: c.reset(), id="reset"),
        pytest.param(lambda c: None, id="closed without an answer"),
        pytest.param(lambda c: c.send(GOOD[:-3]), id="cut short"),
        pytest.param(lambda c: c.send(b"SSH-2.0-x\r\n\r\n"), id="another protocol"),
        pytest.param(lambda c: c.send(answer(302, "", "Location: /elsewhere")), id="a redirect, as when it reloads"),
        pytest.param(lambda c: c.send(answer(307, "", "Location: /elsewhere")), id="another redirect"),
        pytest.param(lambda c: c.send(problem(500, "internal")), id="a mistake of the gateway's"),
        pytest.param(lambda c: c.send(answer(502, "<html>")), id="a proxy's page"),
        pytest.param(lambda c: c.send(problem(503, "unavailable")), id="the database away"),
        pytest.param(lambda c: c.hang(), id="silence"),
    ],
)
def test_what_may_pass_is_repeated(
    driver: Driver, receive: Callable[[Script], Receiver], failure: Callable[[Connection], None]
) -> None:
    receiver = receive(first_then(failure))
    driver.connect(at(receiver), KEYS, timeout=1)
    assert driver.ask("update_status", payment_id="7", status="cancel") == "pending"
    assert len(receiver.requests) == 2
    for request in receiver.requests:
        head, _, body = request.partition(b"\r\n\r\n")
        assert head.startswith(b"POST /bot_api/update_status/ HTTP/1.1\r\n")
        assert json.loads(body) == {"merch_id": "shop-1", "payment_id": "7", "status": "cancel"}
        assert is_signed(head, body)


def is_signed(head: bytes, message: bytes) -> bool:
    found = re.search(rb"\r\nSignature-V2: (t=([0-9]+),v2=[0-9a-f]{64})(\r|$)", head, re.IGNORECASE)
    assert found, head
    seconds = int(found[2])
    made = signing.sign_v2(KEYS.payment_secret, "POST", "/bot_api/update_status/", seconds, message)
    return found[1].decode() == made and abs(seconds - time.time()) < 30


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, "not_json"),
        (401, "unauthorized"),
        (404, "not_found"),
        (409, "payment_closed"),
        (413, "too_large"),
        (422, "invalid"),
    ],
)
def test_what_stays_wrong_is_not_repeated(
    driver: Driver, receive: Callable[[Script], Receiver], status: int, code: str
) -> None:
    receiver = receive(in_turn(problem(status, code), GOOD))
    driver.connect(at(receiver), KEYS)
    told = driver.refusal("get_status", payment_id="7")
    assert (told["error"], told["status"], told["code"], told["detail"]) == ("ApiError", status, code, "Detail.")
    assert len(receiver.requests) == 1


@pytest.mark.parametrize("told", ["", "<html>", "null", "[]", "7"])
def test_an_answer_that_is_not_the_gateways_is_an_error(
    driver: Driver, receive: Callable[[Script], Receiver], told: str
) -> None:
    driver.connect(at(receive(in_turn(answer(200, told)))), KEYS, patience=0)
    assert driver.refusal("get_status", payment_id="7")["code"] == "unexpected"


def test_retry_after_is_kept(driver: Driver, receive: Callable[[Script], Receiver]) -> None:
    limited = problem(429, "too_many_requests", "Retry-After: 2")
    receiver = receive(in_turn(limited, GOOD))
    driver.connect(at(receiver), KEYS)
    began = time.monotonic()
    assert driver.ask("get_status", payment_id="7") == "pending"
    assert time.monotonic() - began >= 2


def test_what_lies_beyond_the_patience_is_not_waited_for(
    driver: Driver, receive: Callable[[Script], Receiver]
) -> None:
    """A payer who waits is told at once that there is no wallet now."""
    receiver = receive(in_turn(problem(503, "no_wallet_available", "Retry-After: 30")))
    driver.connect(at(receiver), KEYS, patience=20)
    began = time.monotonic()
    told = driver.refusal("get_status", payment_id="7")
    assert (told["code"], told["retry_after"]) == ("no_wallet_available", 30)
    assert time.monotonic() - began < 5
    assert len(receiver.requests) == 1


def test_the_pauses_grow_until_the_patience_ends(driver: Driver, receive: Callable[[Script], Receiver]) -> None:
    receiver = receive(in_turn(problem(503, "unavailable")))
    driver.connect(at(receiver), KEYS, patience=3)
    began = time.monotonic()
    assert driver.refusal("get_status", payment_id="7")["code"] == "unavailable"
    assert time.monotonic() - began <= 4
    assert 3 <= len(receiver.requests) <= 6


def test_silence_ends_with_the_time_out(driver: Driver, receive: Callable[[Script], Receiver]) -> None:
    driver.connect(at(receive(first_then(lambda c: c.hang()))), KEYS, timeout=0.5, patience=0)
    began = time.monotonic()
    assert driver.refusal("get_status", payment_id="7")["error"] == "Unreachable"
    assert 0.3 <= time.monotonic() - began < 5


def test_where_nobody_listens_it_is_unreachable(driver: Driver, receive: Callable[[Script], Receiver]) -> None:
    gone = receive(in_turn(GOOD))
    gone.close()
    driver.connect(at(gone), KEYS, patience=0)
    assert driver.refusal("get_status", payment_id="7")["error"] == "Unreachable"


def test_the_iterator_goes_through_an_outage_and_ends_at_a_mistake(
    driver: Driver, receive: Callable[[Script], Receiver]
) -> None:
    away, wrong = problem(503, "unavailable"), problem(401, "unauthorized")
    receiver = receive(in_turn(away, answer(302, ""), answer(200, PAGE), away, wrong))
    driver.connect(at(receiver), KEYS, patience=0)
    told = driver.refusal("events", count=2, every=0.05)
    assert told["code"] == "unauthorized"
    asked = [request.split(b" ")[1] for request in receiver.requests]
    assert [b"after=evt_1" in target for target in asked] == [False, False, False, True, True]
    assert driver.refusal("events", count=1, follow=False)["code"] == "unauthorized"


def test_mistakes_of_the_shop_are_named_before_anything_is_sent(driver: Driver) -> None:
    keys = {"merch_id": "shop-1", "payment_secret": KEYS.payment_secret}
    for address in ("", "gateway.example", "ftp://gateway.example/bot_api/", "https:///bot_api/"):
        assert driver.refusal("client", base_url=address, **keys)["error"] == "ValueError"
    cut = KEYS.payment_secret[:-2]
    told = driver.refusal("client", base_url="https://gateway.example", **(keys | {"payment_secret": cut}))
    assert told["error"] == "ValueError"
    assert "payment_secret" in told["detail"]
    assert cut not in told["detail"]
    assert driver.ask("client", base_url="https://gateway.example", **keys)
    assert "balance_secret" in driver.refusal("get_balance")["detail"]
    for number in (12.5, 5):
        told = driver.refusal("get_wallet", payment_id="1", user_wallet="2", sum=number)
        assert told["error"] in ("TypeError", "ValueError")
