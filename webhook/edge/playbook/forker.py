"""The process that forks runs: started once, so that what they import is imported once."""

from __future__ import annotations

import gc
import os
import signal
import socket
import sys
from contextlib import suppress
from dataclasses import dataclass, field

from webhook.edge.playbook.child import live
from webhook.edge.playbook.tree import adopt_orphans, children, end_orphans
from webhook.edge.playbook.warm import Warm, load


def serve(control: socket.socket) -> None:
    """Fork a process for each connection that comes over `control`, and say so; until that closes.

    A `w` asks for Ansible to be imported before, if it was not yet. When that has gone stale, this returns without a
    word: a new server has to be started.
    """
    adopt_orphans()
    runs, warm = _Runs(), Warm()
    signal.signal(signal.SIGCHLD, lambda number, frame: runs.bury())
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _freeze()
    while True:
        wish, descriptors, _, _ = socket.recv_fds(control, 1, 1)
        if not wish or warm.is_stale():
            return
        if wish == b"w" and not warm.files:
            warm = load()
            _freeze()
        for descriptor in descriptors:
            with socket.socket(fileno=descriptor) as connection:
                if runs.fork() == 0:
                    control.close()
                    live(connection, warm=warm)
                    os._exit(0)
        control.sendall(b"!")


def _freeze() -> None:
    # What the collector does not look at is not copied for each run.
    gc.collect()
    gc.freeze()


@dataclass(slots=True)
class _Runs:
    """The processes of the runs that are under way, as the server knows them."""

    alive: set[int] = field(default_factory=set)
    #: Orphans of runs that came to a normal end: a kept SSH connection, say.
    spared: set[int] = field(default_factory=set)

    def fork(self) -> int:
        """As `os.fork`; the child is a run's."""
        # Until it is known as a run, an end elsewhere would take it for an orphan.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
        if pid := os.fork():
            self.alive.add(pid)
        else:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
        return pid

    def bury(self) -> None:
        """Take note of who died. A run that was killed leaves orphans, and they come to us: they are ended."""
        with suppress(ChildProcessError):
            while (found := os.waitpid(-1, os.WNOHANG)) != (0, 0):
                pid, status = found
                self.spared.discard(pid)
                if pid in self.alive:
                    self.alive.discard(pid)
                    if os.WIFSIGNALED(status):
                        end_orphans(but=lambda: self.alive | self.spared)
                    self.spared.update(set(children()) - self.alive)


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
