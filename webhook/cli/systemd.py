"""What systemd is told by a service of `Type=notify`; see sd_notify(3)."""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True)
class Systemd:
    """The one that started this process; it need not be there."""

    #: Where it listens: a path, or a name behind an @.
    address: str = ""

    @classmethod
    def found(cls) -> Self:
        """As the environment says; none of the processes started from here is told of it."""
        return cls(os.environ.pop("NOTIFY_SOCKET", ""))

    def tell(self, *words: str) -> None:
        """Assignments such as `READY=1`; an error does not matter, since it notices what it is not told."""
        if not self.address:
            return
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as connection:
            connection.setblocking(False)
            connection.sendto("\n".join(words).encode(), self.address.replace("@", "\0", 1))
