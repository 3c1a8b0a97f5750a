"""What a receiver answers, read with as little of its meaning as a delivery needs, and in bounded size."""

from __future__ import annotations

import http.client
import io
import re
import socket
from typing import Any

from cerber.webhooks.client.guard import CALL

WIRE_READ = 256 * 1024  # of one answer: headers, body, the marks of its chunks
MOST_HEADERS = 100

_STATUS = re.compile(rb"HTTP/1\.([0-9])[ \t]+([1-9][0-9]{2})(?:[ \t][^\n]*)?\r?\n")
_FOLD = re.compile(r"\r?\n[ \t]+")
_FIELD = re.compile("^(Content-Length|Transfer-Encoding|Connection|Retry-After):[ \t]*(.*?)[ \t\r]*$", re.I | re.M)


class Answer(http.client.HTTPResponse):
    """An answer of HTTP/1: its status, the length of its body, and `Retry-After`. Forerunners (1xx) are skipped."""

    def __init__(self, sock: socket.socket, *args: Any, **more: Any) -> None:
        super().__init__(sock, *args, **more)
        self.fp = io.BufferedReader(_Wire(self.fp.detach()))

    def begin(self) -> None:
        """Instead of http.client's, to which `0200` is a 200, and the end of the stream that of the headers.

        It also skips no 1xx but 100, that one without end, and has a parser of e-mails read the headers, to which
        some values of Content-Type are a ValueError.
        """
        status, is_old, fields = _head(self.fp)
        self.status, self.reason, self.version = status, "", 10 if is_old else 11
        has_body = status not in (204, 304)
        self.chunked, self.chunk_left = has_body and fields.get("transfer-encoding", "").lower() == "chunked", None
        length = fields.get("content-length", "") if has_body else "0"
        self.length = int(length) if re.fullmatch("[0-9]{1,18}", length) and not self.chunked else None
        is_endless = self.length is None and not self.chunked
        self.will_close = is_old or is_endless or "close" in fields.get("connection", "").lower()
        self.headers = self.msg = http.client.HTTPMessage()  # all that urllib3 gets to see
        if self.length is not None:
            self.headers["Content-Length"] = str(self.length)
        if "retry-after" in fields:
            self.headers["Retry-After"] = fields["retry-after"]


class _Wire(io.RawIOBase):
    """Gives out a bounded number of bytes, and none after the deadline."""

    def __init__(self, raw: io.RawIOBase) -> None:
        self._raw = raw
        self._left = WIRE_READ
        self._call = CALL.get()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        if self._left <= 0:
            raise http.client.HTTPException("the answer is too long")
        size = self._raw.readinto(buffer)
        if self._call.is_over:
            raise TimeoutError
        self._left -= size or 0
        self._call.is_heard |= bool(size)
        return size

    def close(self) -> None:
        self._raw.close()
        super().close()


def _head(file: io.BufferedIOBase) -> tuple[int, bool, dict[str, str]]:
    """The status, whether it's HTTP/1.0, and the headers that matter, of the first answer that isn't 1xx."""
    while True:
        line = _line(file)
        match = _STATUS.fullmatch(line)
        if match is None:
            raise http.client.BadStatusLine(repr(line[:100]))
        lines = []
        while (line := _line(file)) not in (b"\r\n", b"\n"):
            lines.append(line)
            if len(lines) > MOST_HEADERS:
                raise http.client.HTTPException(f"got more than {MOST_HEADERS} headers")
        if match[2] >= b"200":
            return int(match[2]), match[1] == b"0", _fields(b"".join(lines))


def _line(file: io.BufferedIOBase) -> bytes:
    line = file.readline()
    if line[-1:] != b"\n":
        raise http.client.RemoteDisconnected("closed before the headers were complete")
    return line


def _fields(text: bytes) -> dict[str, str]:
    fields: dict[str, str] = {}
    for name, value in _FIELD.findall(_FOLD.sub(" ", text.decode("latin-1"))):
        name = name.lower()
        fields[name] = f"{fields[name]}, {value}" if name in fields else value
    return fields
