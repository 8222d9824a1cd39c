"""What the tests of every kind of probe need: a way to ask, and servers on loopback."""

from __future__ import annotations

import gzip
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from webhook.core.probe import CommandProbe, Probe, ProbeKind
from webhook.edge.probe import WorldProber
from webhook.edge.probe.http import BODY_LIMIT_BYTES
from webhook.world import ProbeAnswer, Prober

PROBER: Prober = WorldProber()


def ask(kind: ProbeKind, *, seconds: float = 5) -> ProbeAnswer:
    return PROBER.ask(Probe(kind=kind, timeout=timedelta(seconds=seconds)))


def python(code: str, *arguments: str) -> CommandProbe:
    return CommandProbe(argv=(sys.executable, "-c", code, *arguments))


class Answers(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    seen: list[tuple[str, str, dict[str, str]]]

    def do_GET(self) -> None:
        self.seen.append((self.command, self.path, {name.lower(): value for name, value in self.headers.items()}))
        status, headers, body = {
            "/healthy": (200, {}, b'{"status": "green"}'),
            "/sick": (503, {}, b"no"),
            "/moved": (302, {"Location": "/healthy"}, b""),
            "/big": (200, {}, b"x" * BODY_LIMIT_BYTES + b"needle"),
            "/packed": (200, {"Content-Encoding": "gzip"}, gzip.compress(b"needle" * 100_000)),
        }[self.path]
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET

    def log_message(self, *_: object) -> None:
        pass


def url(server: ThreadingHTTPServer, path: str, *, scheme: str = "http") -> str:
    return f"{scheme}://127.0.0.1:{server.server_port}{path}"


@contextmanager
def serving(talk: Callable[[socket.socket], object]) -> Iterator[int]:
    """The port of a server that talks to its first caller."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            with connection:
                talk(connection)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield int(listening.getsockname()[1])
        thread.join(5)
        assert not thread.is_alive(), "the connection was left open"


def trickle(start: bytes, drop: bytes) -> Callable[[socket.socket], None]:
    def talk(connection: socket.socket) -> None:
        connection.recv(65536)
        try:
            connection.sendall(start)
            while True:
                connection.sendall(drop)
                time.sleep(0.02)
        except OSError:
            return

    return talk


def wait_for(condition: Callable[[], bool], *, seconds: float = 60) -> None:
    """Returns when it has come true."""
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, f"it did not come true in {seconds:g} s"
        time.sleep(0.01)
