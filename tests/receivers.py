"""Receivers of webhooks for tests: real sockets on 127.0.0.1 that do whatever a script tells them."""

from __future__ import annotations

import datetime
import ipaddress
import re
import socket
import ssl
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Connection:
    """One accepted connection, as a script sees it."""

    def __init__(self, receiver: Receiver, sock: socket.socket) -> None:
        self.receiver = receiver
        self.sock = sock

    def request(self) -> bytes:
        """The next whole request; b"" where the other side has closed."""
        data = b""
        while b"\r\n\r\n" not in data or len(data) < _length(data):
            piece = self.sock.recv(65536)
            if not piece:
                return b""
            data += piece
        self.receiver.requests.append(data)
        return data

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def start_tls(self, context: ssl.SSLContext) -> None:
        self.sock = context.wrap_socket(self.sock, server_side=True)

    def reset(self) -> None:
        """Closes so that the other side gets an RST."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def hang(self) -> None:
        """Until the test is over or the other side closes."""
        while not self.receiver.over.is_set() and self.sock.recv(65536):
            pass

    def drip(self, data: bytes, seconds: float = 0.02) -> None:
        """A byte at a time."""
        for byte in data:
            self.send(bytes([byte]))
            if self.receiver.over.wait(seconds):
                return


def _length(data: bytes) -> int:
    head, _, _ = data.partition(b"\r\n\r\n")
    match = re.search(rb"content-length: *([0-9]+)", head, re.IGNORECASE)
    return len(head) + 4 + (int(match[1]) if match else 0)


Script = Callable[[Connection], None]


class Receiver:
    """Listens on a port of its own and runs its script for each connection. Counts connections, keeps requests."""

    def __init__(self, script: Script, tls: ssl.SSLContext | None = None) -> None:
        self.script = script
        self.tls = tls
        self.connections = 0
        self.requests: list[bytes] = []
        self.over = threading.Event()
        self._open: list[Connection] = []
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port: int = self._listening.getsockname()[1]
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}/hook"
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def close(self) -> None:
        self.over.set()
        with suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._threads[0].join()
        for connection in self._open:
            with suppress(OSError):
                connection.sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads[1:]:
            thread.join()
        self._listening.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection = Connection(self, self._listening.accept()[0])
                self.connections += 1
                self._open.append(connection)
                self._threads.append(threading.Thread(target=self._serve, args=(connection,)))
                self._threads[-1].start()

    def _serve(self, connection: Connection) -> None:
        with suppress(OSError):
            if self.tls:
                connection.start_tls(self.tls)
            self.script(connection)
        connection.sock.close()


def answering(*answers: bytes) -> Script:
    """Answers each request on a connection with the next of these, the last one again and again."""

    def script(connection: Connection) -> None:
        turn = 0
        while connection.request():
            connection.send(answers[min(turn, len(answers) - 1)])
            turn += 1

    return script


class Authority:
    """Makes certificates, each in a file with its key. `ca_file` is what its clients are to trust."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Test authority")])
        self.ca_file = folder / "ca.pem"
        self.ca_file.write_bytes(_pem(self._certificate(self._name, self._key, ca=True)))

    def server(self, *names: str, days: int = 1, own: bool = False) -> ssl.SSLContext:
        """The context of a server that is called so. `days` until it expires; `own`: signed by itself."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
        certificate = self._certificate(name, key, names, days, own=own)
        file = self._folder / f"{names[0]}.pem"
        file.write_bytes(_pem(certificate) + _key_pem(key))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        return context

    def _certificate(
        self,
        subject: x509.Name,
        key: ec.EllipticCurvePrivateKey,
        names: tuple[str, ...] = (),
        days: int = 1,
        *,
        ca: bool = False,
        own: bool = False,
    ) -> x509.Certificate:
        now = datetime.datetime.now(datetime.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject if own else self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=30))
            .not_valid_after(now + datetime.timedelta(days=days))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .add_extension(
                x509.SubjectAlternativeName([_general_name(name) for name in names or ("ca",)]), critical=False
            )
            .sign(key if own else self._key, hashes.SHA256())
        )


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
