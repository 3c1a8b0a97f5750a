"""Bodies to the byte: contract sections 4 and 5."""

from __future__ import annotations

import json

import pytest

from cerber.webhooks import bodies
from cerber.webhooks.kinds import Kind


@pytest.mark.parametrize(
    ("payment_id", "shown"),
    [
        ("0", 0),
        ("7", 7),
        ("3636363", 3636363),
        ("9007199254740991", 2**53 - 1),
        ("9007199254740992", "9007199254740992"),
        ("9" * 64, "9" * 64),
        ("007", "007"),
        ("00", "00"),
        ("-1", "-1"),
        ("+1", "+1"),
        ("1.0", "1.0"),
        ("1e3", "1e3"),
        ("1_0", "1_0"),
        ("٣", "٣"),
        ("abc", "abc"),
    ],
)
def test_ids_are_numbers_where_they_are_canonical(payment_id: str, shown: int | str) -> None:
    assert bodies.payment_number(payment_id) == shown
    assert type(bodies.payment_number(payment_id)) is type(shown)


@pytest.mark.parametrize(
    ("kind", "payment_id", "received", "body"),
    [
        (Kind.ACCEPT, "3636363", 500_00, '{"status": "confirm", "payment_id": "3636363", "confirm_sum": "500"}'),
        (Kind.ACCEPT, "3636363", 500_50, '{"status": "confirm", "payment_id": "3636363", "confirm_sum": "500.50"}'),
        (Kind.CANCEL, "3636363", 0, '{"status": "cancel", "payment_id": "3636363", "confirm_sum": "0"}'),
        (Kind.CHANGE_SUM, "3636363", 200_00, '{"payment_id": 3636363, "confirm_sum": "200", "payment_sum": "500"}'),
        (Kind.CHANGE_SUM, "3636363", 0, '{"payment_id": 3636363, "confirm_sum": "0", "payment_sum": "500"}'),
        (Kind.CHANGE_SUM, "007", 1, '{"payment_id": "007", "confirm_sum": "0.01", "payment_sum": "500"}'),
        (
            Kind.CANCEL,
            "sifariş-№7",
            0,
            r'{"status": "cancel", "payment_id": "sifari\u015f-\u21167", "confirm_sum": "0"}',
        ),
        (Kind.ACCEPT, "😀", 1, r'{"status": "confirm", "payment_id": "\ud83d\ude00", "confirm_sum": "0.01"}'),
        (Kind.CANCEL, 'a"b\\c/', 0, r'{"status": "cancel", "payment_id": "a\"b\\c/", "confirm_sum": "0"}'),
    ],
)
def test_webhooks_are_as_published(kind: Kind, payment_id: str, received: int, body: str) -> None:
    made = bodies.webhook_body(kind, payment_id, received, 500_00)
    assert made == body
    assert made.isascii()
    assert str(json.loads(made)["payment_id"]) == payment_id


@pytest.mark.parametrize(
    ("sums", "body"),
    [
        ((0, 0, 0), '{"canceled_sum": 0, "confirm_sum": 0, "pending_sum": 0}'),
        ((500_00, 500_50, 30), '{"canceled_sum": 500, "confirm_sum": 500.50, "pending_sum": 0.30}'),
        ((0, 10**15 + 1, 0), '{"canceled_sum": 0, "confirm_sum": 10000000000000.01, "pending_sum": 0}'),
    ],
)
def test_balances_are_exact_numbers(sums: tuple[int, int, int], body: str) -> None:
    assert bodies.balance_body(*sums) == body
    assert json.loads(body)
