"""A server on loopback that says exactly the bytes it is told to, and remembers what it was asked."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

Says = Callable[[bytes], Iterable[bytes]]


@dataclass
class Stub:
    """Answers each connection once."""

    says: Says
    port: int = 0
    #: Requests, whole.
    asked: list[bytes] = field(default_factory=list)
    #: Ends a `says` that waits.
    closing: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def serve(self, listening: socket.socket) -> None:
        while not self.closing.is_set():
            with suppress(OSError):
                connection, _ = listening.accept()
                threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with suppress(OSError), connection:
            request = _request(connection)
            self.asked.append(request)
            for part in self.says(request):
                if self.closing.is_set():
                    return
                connection.sendall(part)


def _request(connection: socket.socket) -> bytes:
    received = b""
    while b"\r\n\r\n" not in received:
        received += connection.recv(65536)
    head, _, body = received.partition(b"\r\n\r\n")
    length = next(
        (int(line.split(b":")[1]) for line in head.lower().splitlines() if line[:15] == b"content-length:"), 0
    )
    while len(body) < length:
        body += connection.recv(65536)
    return head + b"\r\n\r\n" + body


def http(body: bytes, *, status: str = "200 OK", headers: str = "Content-Type: application/json\r\n") -> Says:
    """An ordinary answer."""
    return lambda _: [f"HTTP/1.1 {status}\r\n{headers}Content-Length: {len(body)}\r\n\r\n".encode() + body]


@contextmanager
def stub(says: Says, *, port: int = 0) -> Iterator[Stub]:
    """A running server, at a port of its own unless told otherwise."""
    with socket.create_server(("127.0.0.1", port)) as listening:
        listening.settimeout(0.2)
        server = Stub(says, listening.getsockname()[1])
        threading.Thread(target=server.serve, args=(listening,), daemon=True).start()
        try:
            yield server
        finally:
            server.closing.set()
