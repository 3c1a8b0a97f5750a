"""The clients installed as their README says, and the README's first example run with what was installed."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cerber.config import ROOT
from tests.integration.clients.driving import LANGUAGES, Language
from tests.support.databases import missing
from tests.support.factories import MerchantKeys
from tests.support.gateway import running_web

pytestmark = pytest.mark.slow
CLIENTS = ROOT / "clients"
SOURCES = {"python": ".py", "php": ".php", "node": ".js"}
ADDRESS = "https://m2cerber.pythonanywhere.com"


@pytest.fixture
def gateway(env: dict[str, str], keys: MerchantKeys) -> Iterator[str]:
    with running_web(env) as address:
        yield address


def install_python(source: Path, place: Path) -> None:
    command = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "--target", str(place)]
    done = subprocess.run([sys.executable, *command, str(source)], capture_output=True, text=True, timeout=110)
    if "setuptools" in done.stderr and "No matching distribution" in done.stderr:
        missing("package index for pip", "set PIP_INDEX_URL to one that has setuptools")
    assert done.returncode == 0, done.stderr


def install_node(source: Path, place: Path) -> None:
    if npm := shutil.which("npm"):
        subprocess.run(
            [npm, "install", "--offline", str(source)], cwd=place, check=True, capture_output=True, timeout=60
        )
    else:  # what npm does with a folder
        (place / "node_modules").mkdir()
        (place / "node_modules" / "cerber-client").symlink_to(source)


def install_php(source: Path, place: Path) -> None:
    """The loader that Composer writes for a package's `psr-4`."""
    told = json.loads((source / "composer.json").read_text())
    prefix, folder = next(iter(told["autoload"]["psr-4"].items()))
    (place / "autoload.php").write_text(
        "<?php spl_autoload_register(function ($class) {"
        f" if (str_starts_with($class, {json.dumps(prefix)}))"
        f" require '{source}/{folder}' . strtr(substr($class, {len(prefix)}), '\\\\', '/') . '.php'; }});"
    )


INSTALL: dict[str, Callable[[Path, Path], None]] = {
    "python": install_python,
    "php": install_php,
    "node": install_node,
}
RUN = {
    "python": ["{program}", "{file}"],
    "php": ["{program}", "-d", "auto_prepend_file={place}/autoload.php", "{file}"],
    "node": ["{program}", "{file}"],
}


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("language", LANGUAGES, ids=lambda language: language.name)
def test_the_readmes_example_runs_with_the_installed_client(
    language: Language, gateway: str, keys: MerchantKeys, tmp_path: Path
) -> None:
    source, place, program = tmp_path / "source", tmp_path / "place", language.here()
    shutil.copytree(CLIENTS / language.name, source)  # nothing is built in the repository
    place.mkdir()
    INSTALL[language.name](source, place)
    file = place / ("example" + SOURCES[language.name])
    file.write_text(example(language.name).replace(ADDRESS, gateway).replace('"demo"', f'"{keys.merch_id}"'))
    file.write_text(file.read_text().replace("'demo'", f"'{keys.merch_id}'"))
    command = [part.format(program=program, file=file, place=place) for part in RUN[language.name]]
    env = {"PAYMENT_SECRET": keys.payment_secret, "BALANCE_SECRET": keys.balance_secret, "PYTHONPATH": str(place)}
    done = subprocess.run(
        command, cwd=place, env=os.environ | env | {"no_proxy": "*"}, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    first, second = done.stdout.splitlines()
    assert re.fullmatch(r"99450[0-9]{7} https://m10\.example/\S+ [0-9]{3,}", first)
    assert second == "confirming 12.50"


def example(name: str) -> str:
    """The README's first block of code in the language."""
    block = {"python": "python", "php": "php", "node": "js"}[name]
    found = re.findall(rf"^```{block}\n(.*?)^```", (CLIENTS / name / "README.md").read_text(), re.M | re.S)
    assert ADDRESS in found[0]
    return str(found[0])


@pytest.mark.parametrize("language", LANGUAGES, ids=lambda language: language.name)
def test_each_file_is_short_and_is_read_by_its_language(language: Language) -> None:
    check = {"php": ["-l"], "node": ["--check"]}
    files = [file for file in (CLIENTS / language.name).rglob("*") if file.suffix == SOURCES[language.name]]
    assert len(files) >= 6
    for file in files:
        assert len(file.read_text().splitlines()) <= 250, file
        if language.name == "python":  # 3.9 and newer
            ast.parse(file.read_text(), feature_version=(3, 9))
        else:
            subprocess.run([language.here(), *check[language.name], str(file)], check=True, capture_output=True)


def test_the_clients_need_nothing_but_their_language() -> None:
    assert "dependencies" not in json.loads((CLIENTS / "node" / "package.json").read_text())
    assert "dependencies" not in (CLIENTS / "python" / "pyproject.toml").read_text().replace("No dependencies.", "")
    required = json.loads((CLIENTS / "php" / "composer.json").read_text())["require"]
    assert sorted(required) == ["ext-hash", "ext-json", "php"]
    php = "".join(file.read_text() for file in (CLIENTS / "php").rglob("*.php"))
    assert not re.search(r"\b(curl|mb)_", php)


def test_all_of_them_say_the_same_version() -> None:
    """In what is installed, and to the gateway in each request."""
    said = {
        name: set(re.findall(r"(?:version\W{1,8}|cerber-client-\w+/)([0-9]+\.[0-9]+\.[0-9]+)", text, re.IGNORECASE))
        for name, text in ((name, everything(CLIENTS / name)) for name in SOURCES)
    }
    assert said == {"python": {"0.1.0"}, "php": {"0.1.0"}, "node": {"0.1.0"}}


def everything(folder: Path) -> str:
    suffixes = (".py", ".php", ".js", ".json", ".toml")
    return "\n".join(file.read_text() for file in sorted(folder.rglob("*")) if file.suffix in suffixes)


def test_the_types_of_node_name_what_there_is() -> None:
    index, types = (CLIENTS / "node" / "index.js").read_text(), (CLIENTS / "node" / "index.d.ts").read_text()
    exported = set(re.findall(r"^exports\.(\w+)", index, re.MULTILINE))
    declared = set(re.findall(r"^export (?:declare )?(?:class|function) (\w+)", types, re.MULTILINE))
    assert exported == declared
