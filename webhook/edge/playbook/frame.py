"""What the worker and a run's process say to each other: JSON, each with its length before it."""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

_LENGTH: Final = struct.Struct("!I")


def send(connection: socket.socket, message: Mapping[str, Any]) -> None:
    """Say something; blocks while the other end does not listen."""
    content = json.dumps(message).encode()
    connection.sendall(_LENGTH.pack(len(content)) + content)


@dataclass(slots=True)
class Frames:
    """Messages out of the pieces in which they arrive."""

    received: bytearray = field(default_factory=bytearray)

    def feed(self, piece: bytes) -> Iterator[dict[str, Any]]:
        """The messages that are whole with this piece."""
        self.received += piece
        while len(self.received) >= _LENGTH.size:
            end = _LENGTH.size + _LENGTH.unpack_from(self.received)[0]
            if len(self.received) < end:
                return
            content = bytes(self.received[_LENGTH.size : end])
            del self.received[:end]
            yield json.loads(content)
