"""The process that forks runs, as the worker sees it."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

#: For so long it may import what it needs, and fork; one that takes longer is ended.
START_SECONDS: Final = 60.0
END_SECONDS: Final = 10.0


@dataclass(slots=True)
class Server:
    """Started for the first run, ended when this end of its socket closes."""

    #: All of it that the server, and so any process that it forks, ever sees.
    environment: Mapping[str, str]
    lock: threading.Lock = field(default_factory=threading.Lock)
    control: socket.socket | None = None
    process: subprocess.Popen[bytes] | None = None

    def fork(self, *, warm: bool) -> socket.socket:
        """A connection to a new process that waits for its order; with Ansible imported, if it is to start warm."""
        ours, theirs = socket.socketpair()
        with theirs:
            if self._ask(warm=warm, descriptors=[theirs.fileno()]):
                return ours
        ours.close()
        raise OSError("the process that forks runs does not start")

    def warm_up(self) -> None:
        """Have Ansible imported before it is needed."""
        self._ask(warm=True, descriptors=[])

    def _ask(self, *, warm: bool, descriptors: Sequence[int]) -> bool:
        """Whether it did as it was asked; once more with a new one, if it has died or gone stale."""
        with self.lock:
            for _ in range(2):
                with suppress(OSError):
                    control = self._started()
                    socket.send_fds(control, [b"w" if warm else b"c"], descriptors)
                    if control.recv(1):
                        return True
                self._end()
        return False

    def close(self) -> None:
        """End it."""
        with self.lock:
            self._end()

    def _started(self) -> socket.socket:
        if self.control is not None and self.process is not None and self.process.poll() is None:
            return self.control
        self._end()
        self.control, theirs = socket.socketpair()
        self.control.settimeout(START_SECONDS)
        with theirs:
            command = [sys.executable, "-m", "webhook.edge.playbook.forker", str(theirs.fileno())]
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
            try:
                self.process.wait(END_SECONDS)
            except subprocess.TimeoutExpired:
                self.process.kill()
        self.control = self.process = None
