"""The process that forks runs, as the worker sees it."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

#: A server that was told to end is waited for this long.
END_SECONDS: Final = 10.0


@dataclass(slots=True)
class Server:
    """Started for the first run, ended when this end of its socket closes."""

    #: All of it that the server, and so any process that it forks, ever sees.
    environment: Mapping[str, str]
    lock: threading.Lock = field(default_factory=threading.Lock)
    control: socket.socket | None = None
    process: subprocess.Popen[bytes] | None = None

    def fork(self) -> socket.socket:
        """A connection to a new process that waits for its order."""
        ours, theirs = socket.socketpair()
        with self.lock, theirs:
            for _ in range(2):
                try:
                    socket.send_fds(self._started(), [b"\0"], [theirs.fileno()])
                    return ours
                except OSError:
                    # It died since the last run: once more, with a new one.
                    self._end()
            ours.close()
            raise OSError("the process that forks runs does not start")

    def close(self) -> None:
        """End it."""
        with self.lock:
            self._end()

    def _started(self) -> socket.socket:
        if self.control is not None and self.process is not None and self.process.poll() is None:
            return self.control
        self._end()
        self.control, theirs = socket.socketpair()
        with theirs:
            command = [sys.executable, "-m", "webhook.edge.playbook.child", str(theirs.fileno())]
            self.process = subprocess.Popen(
                command,
                env=self.environment,
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        return self.control

    def _end(self) -> None:
        if self.control is not None:
            self.control.close()
        if self.process is not None:
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(END_SECONDS)
        self.control = self.process = None
