"""docs/merchants/: each of its examples is run from its own text, and its tables agree with the code."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient

from cerber import config, signing
from cerber.bot_api import LARGEST, problems, schemas
from cerber.bot_api.limits import REFUSED_SHARE
from cerber.config import ROOT
from tests.integration.clients.driving import LANGUAGES, Language
from tests.support.databases import ENV
from tests.support.factories import MerchantKeys
from tests.support.gateway import free_port, is_listening, running_gateway, running_web
from tests.support.workers import until

DOCS = ROOT / "docs" / "merchants"
SECRET, T = signing.new_secret(), 1795500000
SQLITE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def blocks(page: str, label: str, language: str) -> list[str]:
    """The page's blocks of code below a comment that begins with this label."""
    text = (DOCS / page).read_text()
    found = re.findall(rf"^<!-- {label}[^>]*-->\n```{language}\n(.*?)^```", text, re.M | re.S)
    assert found, f"{page} has no {label}"
    return found


def block(page: str, label: str, language: str) -> str:
    (found,) = blocks(page, label, language)
    return found


def env_of(keys: MerchantKeys, gateway: str) -> dict[str, str]:
    return os.environ | {
        "CERBER_URL": f"{gateway}/bot_api",
        "MERCH_ID": keys.merch_id,
        "PAYMENT_SECRET": keys.payment_secret,
        "BALANCE_SECRET": keys.balance_secret,
        "PYTHONPATH": str(ROOT / "clients" / "python"),
        "no_proxy": "*",
    }


@SQLITE
@pytest.mark.slow
def test_the_first_payment_in_five_steps(env: dict[str, str], keys: MerchantKeys, tmp_path: Path) -> None:
    """To the first verified webhook; the payer gives up, as no operator is at work here."""
    port = free_port()
    steps = "".join(blocks("start.md", "walk", "bash"))
    steps += """send update_status '{"payment_id": "1001", "status": "cancel"}'\n"""
    (tmp_path / "hook.py").write_text(block("start.md", "server", "python"))
    with running_gateway(env) as gateway:
        own = env_of(keys, gateway) | {"HOOK_PORT": str(port), "HOOK_URL": f"http://127.0.0.1:{port}/hook"}
        hook = subprocess.Popen(
            [sys.executable, "hook.py"],
            cwd=tmp_path,
            env=own,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        try:
            until(lambda: is_listening(port))
            done = subprocess.run(
                ["bash", "-euc", steps], env=own, capture_output=True, text=True, timeout=60, check=True
            )
            answers = [json.loads(line) for line in done.stdout.splitlines()]
            assert hook.stdout is not None
            told = hook.stdout.readline()
        finally:
            hook.kill()
            hook.communicate()
    assert answers[0]["wallet_number"]
    assert [answer["status"] for answer in answers[1:]] == ["confirming", "confirming", "cancel"]
    assert told == '{"status": "cancel", "payment_id": "1001", "confirm_sum": "0"} verified\n'


@pytest.mark.parametrize("language", ["bash", *LANGUAGES], ids=lambda one: getattr(one, "name", one))
def test_body_and_query_are_signed_as_the_gateway_does(language: Language | str, tmp_path: Path) -> None:
    name = language if isinstance(language, str) else language.name
    section = (DOCS / "signing.md").read_text().split("## Both, in four languages")[1].split("\n## ")[0]
    fence = {"node": "js"}.get(name, name)
    (code,) = re.findall(rf"^```{fence}\n(.*?)^```", section, re.M | re.S)
    program = tmp_path / f"sign.{fence}"
    program.write_text(code)
    interpreter = ["bash", "-eu"] if isinstance(language, str) else [language.here()]
    done = subprocess.run(
        [*interpreter, str(program)],
        env=os.environ | {"SECRET": SECRET, "T": str(T)},
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    body, query = b'{"payment_id":"3636363","status":"accept"}', b"payment_id=3636363"
    assert done.stdout.split() == [
        signing.sign(SECRET, body),
        signing.sign_v2(SECRET, "POST", "/bot_api/update_status/", T, body),
        signing.sign(SECRET, query),
        signing.sign_v2(SECRET, "GET", "/bot_api/get_status/", T, query),
    ]


@SQLITE
@pytest.mark.slow
def test_a_bot_without_a_server_handles_its_events(
    app: Flask, env: dict[str, str], keys: MerchantKeys, tmp_path: Path
) -> None:
    program = tmp_path / "bot.py"
    program.write_text(block("webhooks.md", "handle", "python") + block("webhooks.md", "poll", "python"))
    with (
        running_web(env) as gateway,
        subprocess.Popen(
            [sys.executable, str(program)], env=env_of(keys, gateway), stdout=subprocess.PIPE, text=True
        ) as bot,
    ):
        assert bot.stdout is not None
        try:
            assert bot.stdout.readline() == "cancel 1001 cancelled\n"
        finally:
            bot.kill()


def test_an_event_is_handled_once_and_money_may_come_late() -> None:
    sys.path.insert(0, str(ROOT / "clients" / "python"))
    try:
        from cerber_client import Event

        names: dict[str, object] = {}
        exec(block("webhooks.md", "handle", "python"), names)  # noqa: S102 - it is our own text
    finally:
        sys.path.remove(str(ROOT / "clients" / "python"))
    handle, orders = names["handle"], names["orders"]
    assert callable(handle)
    assert isinstance(orders, dict)
    happened = [
        ("e1", "cancel", "0"),
        ("e2", "change_sum", "2.50"),
        ("e2", "change_sum", "2.50"),
        ("e3", "accept", "5"),
    ]
    seen = []
    for event_id, kind, amount in [*happened, ("e4", "cancel", "0")]:
        handle(Event(event_id, kind, "1001", amount, None, None, ""))  # type: ignore[arg-type]
        seen.append((orders["1001"]["state"], orders["1001"]["received"]))
    partly, paid = ("partly paid", 250), ("paid", 500)
    assert seen == [("cancelled", 0), partly, partly, paid, paid]
    handle(Event("e5", "accept", "of-another", "5", None, None, ""))
    assert list(orders) == ["1001"]


def test_each_code_has_its_line() -> None:
    rows = re.findall(r"^\| ([0-9]{3}) \| `(\w+)` \|.* \| (no|yes).*\|$", (DOCS / "errors.md").read_text(), re.M)
    assert {code: int(status) for status, code, _ in rows} == problems.STATUS
    assert len(rows) == len(problems.STATUS)
    repeated = {code for _, code, again in rows if again == "yes"}
    assert repeated == {code for code, status in problems.STATUS.items() if status == 429 or status >= 500}


def test_the_figures_are_those_of_the_code() -> None:
    text, settings = (DOCS / "limits.md").read_text(), config.from_environment(BARE)
    attempts = len(settings.retry_schedule)
    assert [
        f"| a request | {LARGEST // 1024} KiB |" in text,
        f"| {settings.rate_limit} each of" in text,
        f"| {settings.rate_limit // REFUSED_SHARE}, then 429" in text,
        f"| {schemas.USUAL_EVENTS}, up to {schemas.MOST_EVENTS} by" in text,
        f"| {settings.payment_ttl // 60} minutes, then" in text,
        f"| {attempts} attempts in {sum(settings.retry_schedule) / 3600:.0f} hours |" in text,
        f"| {signing.V2_SECONDS} seconds of ours |" in text,
    ] == [True] * 7


BARE = {name: ENV[name] for name in ("CERBER_SECRET_KEY", "CERBER_ENCRYPTION_KEYS")} | {
    "CERBER_DATABASE_URL": "sqlite:////not/opened.db"
}


@SQLITE
def test_what_is_called_safe_to_repeat_is(client: FlaskClient, keys: MerchantKeys) -> None:
    """The table of limits.md, call by call."""
    from tests.support.factories import call, get_wallet

    def told(name: str, **fields: str) -> tuple[int, object]:
        answer = call(client, "POST", name, keys.payment_secret, {"payment_id": "3636363"} | fields)
        return answer.status_code, answer.json.get("status", answer.json.get("code"))

    opened = get_wallet(client, keys)
    assert get_wallet(client, keys).json == opened.json
    assert get_wallet(client, keys, sum="501").json["code"] == "payment_id_reused"
    assert [told("update_status", status="accept") for _ in "12"] == [(200, "confirming")] * 2
    assert [told("update_status", status="cancel") for _ in "12"] == [(200, "cancel")] * 2
    assert get_wallet(client, keys).json["code"] == "payment_closed"


def test_the_pages_link_to_what_there_is() -> None:
    """Files, and headings in them."""
    pages = sorted(DOCS.glob("*.md"))
    assert len(pages) == 7
    for page in pages:
        for target in re.findall(r"\]\(([^)]+)\)", page.read_text()):
            name, _, heading = target.partition("#")
            file = (page.parent / name).resolve()
            assert file.exists(), (page, target)
            if heading:
                found = [re.sub(r"[^\w -]", "", line.lstrip("# ")).lower() for line in file.read_text().splitlines()]
                assert heading in [line.replace(" ", "-") for line in found], (page, target)
