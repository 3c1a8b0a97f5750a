"""docs/merchants/signing.md: its recipes for a webhook's raw body, each sent a genuine webhook and a changed one.

Flask and plain PHP run as they are. Of the frameworks that are not installed here, a stand-in does no more than hand
the recipe a request as the framework would.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from pathlib import Path

import pytest

from cerber import signing
from cerber.config import ROOT
from tests.integration.clients.driving import LANGUAGES
from tests.integration.docs.test_merchants import block

SECRET = signing.new_secret()
BODY = b'{"status": "confirm", "payment_id": "\\u0259-1", "confirm_sum": "500"}'
PYTHON, PHP, NODE = LANGUAGES
TOLD = "evt_1 accept ə-1"

FLASK = """
import json, sys
w = json.load(sys.stdin)
answer = app.test_client().post("/hook", data=w["body"].encode(), headers=w["headers"])
sys.stderr.write(str(answer.status_code))
"""

FASTAPI_MODULE = """
class Response:
    def __init__(self, status_code=200): self.status_code = status_code
class Request:
    def __init__(self, body, headers): self._body, self.headers = body, headers
    async def body(self): return self._body
class FastAPI:
    def post(self, path): return lambda view: view
"""

FASTAPI = """
import asyncio, json, sys
w = json.load(sys.stdin)
headers = {name.lower(): value for name, value in w["headers"].items()}
sys.stderr.write(str(asyncio.run(hook(Request(w["body"].encode(), headers))).status_code))
"""

EXPRESS_MODULE = """
const express = () => ({ post(path, ...handlers) { this.handlers = handlers; } });
express.raw = ({ type }) => (request, response, next) => {
  request.body = type === request.headers["content-type"] ? Buffer.from(request.raw) : {};
  next();
};
module.exports = express;
"""

EXPRESS = """
const w = JSON.parse(require("node:fs").readFileSync(0, "utf8"));
const headers = { "content-type": "application/json" };
for (const [name, value] of Object.entries(w.headers)) headers[name.toLowerCase()] = value;
const request = { headers, raw: w.body };
const [parse, handle] = app.handlers;
parse(request, null, () => handle(request, { sendStatus: (status) => process.stderr.write(String(status)) }));
"""

LARAVEL_BEFORE = """<?php
namespace Illuminate\\Http {
    class Headers { function __construct(private array $all) {} function all() { return $this->all; } }
    class Request {
        public Headers $headers;
        function __construct(private string $body, array $headers) {
            $this->headers = new Headers(array_map(fn ($value) => [$value], array_change_key_case($headers)));
        }
        function getContent() { return $this->body; }
    }
}
namespace Illuminate\\Support\\Facades {
    class Route { static $hook; static function post($path, $hook) { self::$hook = $hook; } }
}
namespace {
    function response(string $body, int $status) { return $status; }
    require $argv[1];
    $w = json_decode(stream_get_contents(STDIN), true);
    require __DIR__ . '/recipe.php';
    $request = new Illuminate\\Http\\Request($w['body'], $w['headers']);
    fwrite(STDERR, ' ' . (Illuminate\\Support\\Facades\\Route::$hook)($request));
}
"""

PLAIN_BEFORE = """<?php
require $argv[1];
$w = json_decode(stream_get_contents(STDIN), true);
foreach ($w['headers'] as $name => $value) {
    $_SERVER['HTTP_' . strtoupper(strtr($name, '-', '_'))] = $value;
}
class Input {
    static string $body; public $context; private int $at = 0;
    function stream_open() { return true; }
    function stream_read($count) {
        $piece = substr(self::$body, $this->at, $count);
        $this->at += strlen($piece);
        return $piece;
    }
    function stream_eof() { return $this->at >= strlen(self::$body); }
    function stream_stat() { return []; }
}
Input::$body = $w['body'];
stream_wrapper_unregister('php');
stream_wrapper_register('php', Input::class);
require __DIR__ . '/recipe.php';
error_log(' ' . http_response_code());
"""


def prepared(framework: str, place: Path) -> list[str]:
    """Writes the recipe and what surrounds it, and gives the command."""
    fence = {"Express": "js", "Laravel": "php", "plain PHP": "php"}.get(framework, "python")
    recipe = block("signing.md", framework, fence)
    if fence == "python":
        (place / "fastapi.py").write_text(FASTAPI_MODULE)
        (place / "main.py").write_text(recipe + (FLASK if framework == "Flask" else FASTAPI))
        return [PYTHON.here(), "main.py"]
    if fence == "js":
        (place / "node_modules" / "express").mkdir(parents=True)
        (place / "node_modules" / "express" / "index.js").write_text(EXPRESS_MODULE)
        (place / "node_modules" / "cerber-client").symlink_to(ROOT / "clients" / "node")
        (place / "main.cjs").write_text(recipe + EXPRESS)
        return [NODE.here(), "main.cjs"]
    (place / "recipe.php").write_text(recipe)
    (place / "main.php").write_text(LARAVEL_BEFORE if framework == "Laravel" else PLAIN_BEFORE)
    return [PHP.here(), "-d", "error_log=", "main.php", str(ROOT / "clients" / "php" / "autoload.php")]


@pytest.mark.parametrize("framework", ["Flask", "FastAPI", "Express", "Laravel", "plain PHP"])
def test_the_recipe_takes_a_genuine_webhook_and_no_other(framework: str, tmp_path: Path) -> None:
    command, at = prepared(framework, tmp_path), int(time.time())
    headers = {
        "Webhook-Id": "evt_1",
        "Webhook-Timestamp": str(at),
        "Webhook-Signature": signing.standard_signature([SECRET], "evt_1", at, BODY),
    }
    own = {"PAYMENT_SECRET": SECRET, "PYTHONPATH": f"{ROOT / 'clients' / 'python'}:{tmp_path}"}
    for body, told, status in ((BODY, [TOLD], "204"), (BODY.replace(b"500", b"900"), [], "400")):
        webhook = json.dumps({"body": body.decode(), "headers": headers})
        done = subprocess.run(
            command, cwd=tmp_path, env=os.environ | own, input=webhook, capture_output=True, text=True, timeout=30
        )
        said = done.stdout + done.stderr
        assert re.findall(r"evt_1 \S+ \S+", said) == told, said
        assert said.split()[-1] == status, said
        assert done.returncode == 0, said
