"""Runs the web process and the delivery worker together, for script/server, until Ctrl-C or SIGTERM.

Both are then stopped and the status is 0; where one ends by itself the other is stopped and the status is 1. They run
in process groups of their own, so that Ctrl-C reaches this process alone. In Python, as bash can lose a signal that
comes while it forks or changes its job control.

Arguments: HOST PORT LOCK_FD. The lock is let go once the gateway answers.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import suppress

SLOW = 30  # seconds until a start is remarked upon
PATIENCE = 40  # seconds for what is in flight, then SIGKILL
STOPPED = (0, -signal.SIGTERM)  # the latter: it was told to stop before it listened for that

signals: list[int] = []
woken, _waker = socket.socketpair()


def main(host: str, port: str, lock: str) -> int:
    listen()
    children = start(host, port)
    wait_until_ready(children, address(host, port))
    os.close(int(lock))
    while running(children) and not signals:
        doze()
    dead = [name for name, child in children.items() if child.poll() is not None]
    if signals:
        say("stopping")
    stop(children)
    if dead and not signals:
        ended = " and the ".join(f"{name} (status {children[name].returncode})" for name in dead)
        return complain(f"the {ended} ended by itself, so everything was stopped.")
    unclean = [f"{name}: {child.returncode}" for name, child in children.items() if child.returncode not in STOPPED]
    if unclean:
        return complain("did not stop cleanly; status of " + ", ".join(unclean))
    say("stopped")
    return 0


def listen() -> None:
    """From here on a signal, a child's end among them, is noted and wakes `doze`."""
    woken.setblocking(False)
    _waker.setblocking(False)
    signal.set_wakeup_fd(_waker.fileno(), warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: signals.append(number))


def doze(seconds: float | None = None) -> None:
    if select.select([woken], [], [], seconds)[0]:
        woken.recv(4096)


def start(host: str, port: str) -> dict[str, subprocess.Popen[bytes]]:
    bind = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    web = ["gunicorn", "--config", "script/gunicorn.conf.py", "--bind", bind, "wsgi:app"]
    commands = {"web process": web, "delivery worker": ["flask", "deliver"]}
    return {
        name: subprocess.Popen(command, stdin=subprocess.DEVNULL, process_group=0)
        for name, command in commands.items()
    }


def address(host: str, port: str) -> str:
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # nothing is bound: it asks there  # nosec B104
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


def wait_until_ready(children: dict[str, subprocess.Popen[bytes]], url: str) -> None:
    slow = time.monotonic() + SLOW
    while running(children) and not signals:
        trouble = health(url)
        if trouble is None:
            say(f"Cerber runs at {url} and delivers webhooks. Ctrl-C stops both.")
            return
        if time.monotonic() > slow:
            say(f"not ready after {SLOW} s, yet running on: {trouble}")
            return
        doze(0.1)


def health(url: str) -> str | None:
    """What is not ready, or None."""
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        direct.open(url + "health/ready", timeout=5).close()
    except urllib.error.HTTPError as error:
        return f"{error.code} {error.read(500).decode(errors='replace').strip()}"
    except OSError as error:
        return str(error)
    return None


def running(children: dict[str, subprocess.Popen[bytes]]) -> bool:
    return all(child.poll() is None for child in children.values())


def stop(children: dict[str, subprocess.Popen[bytes]]) -> None:
    """SIGTERM, and time for what is in flight; SIGKILL after that, or at a second Ctrl-C."""
    heard, give_up = len(signals), time.monotonic() + PATIENCE
    for child in children.values():
        if child.poll() is None:
            child.terminate()
        else:
            to_group(child, signal.SIGTERM)  # what a process that crashed left behind
    while any(child.poll() is None for child in children.values()):
        if len(signals) > heard or time.monotonic() > give_up:
            for child in children.values():
                to_group(child, signal.SIGKILL)
        doze(0.5)


def to_group(child: subprocess.Popen[bytes], number: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(child.pid, number)


def say(text: str) -> None:
    print(f"server: {text}", flush=True)


def complain(text: str) -> int:
    print(f"server: {text}", file=sys.stderr, flush=True)
    return 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
