"""The process behind one playbook run: supervises everything that Ansible starts, and ends it when it has to.

A server forks it, with ansible-runner imported already. It gets its order over a socket and answers there. When the
other end closes, be it that the run is cancelled or that the worker died, every process below this one is ended.
"""

from __future__ import annotations

import gc
import os
import shutil
import signal
import socket
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from ansible_runner import interface

from webhook.core.redaction import Redaction
from webhook.edge.playbook import frame, terminal
from webhook.edge.playbook.folder import hold, remove_litter
from webhook.edge.playbook.tree import adopt_orphans, children, end_descendants, end_orphans
from webhook.edge.playbook.verdict import Account

#: ansible-runner looks up every second: its 5 would be the least that a run takes to end. And what Ansible prints is
#: not to lie on the disk, as it comes and of any length.
SETTINGS: Final = {"pexpect_timeout": 1, "suppress_ansible_output": True, "suppress_output_file": True}


def serve(control: socket.socket) -> None:
    """Fork a process for each connection that comes over `control`, until that closes."""
    terminal.install()
    runs = _Runs()
    adopt_orphans()
    signal.signal(signal.SIGCHLD, lambda number, frame: runs.bury())
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    gc.collect()
    gc.freeze()
    while True:
        data, descriptors, _, _ = socket.recv_fds(control, 1, 1)
        if not data:
            return
        with socket.socket(fileno=descriptors[0]) as connection:
            if runs.fork() == 0:
                control.close()
                _live(connection)
                os._exit(0)


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


def _live(connection: socket.socket) -> None:
    os.setsid()
    adopt_orphans()
    try:
        order = _receive(connection)
        hold(Path(order["folder"]))
        answer = _Run(connection=connection, order=order).perform()
    except Exception as error:
        answer = {"end": "failed", "reason": f"the playbook could not be run: {type(error).__name__}: {error}"}
    with suppress(OSError):
        frame.send(connection, answer)


def _receive(connection: socket.socket) -> dict[str, Any]:
    frames = frame.Frames()
    while piece := connection.recv(1 << 16):
        for order in frames.feed(piece):
            return order
    raise ConnectionError("the worker is gone")


@dataclass(slots=True, kw_only=True)
class _Run:
    """One run under way."""

    connection: socket.socket
    order: Mapping[str, Any]
    #: Why it was ended: `timeout` or `cancelled`; empty while it was not.
    ended: str = ""
    is_over: bool = False
    killed: set[int] = field(default_factory=set)

    def perform(self) -> dict[str, Any]:
        """The answer to the order."""
        # The server's environment was the worker's: nothing of it is left for Ansible, nor for what is written down.
        os.environ.clear()
        os.environ.update(self.order["environment"])
        os.chdir(self.order["folder"])
        watch = threading.Thread(target=self._watch, daemon=True)
        watch.start()
        account = Account(
            target=self.order["target"],
            playbook=self.order["playbook"],
            redaction=Redaction(tuple(self.order["redact"])),
        )
        status, code = self._play(account)
        self.is_over = True
        if self.ended:
            watch.join()
            remove_litter(self.killed | end_descendants())
        # Here as well as in the worker, which may be dead.
        shutil.rmtree(self.order["folder"], ignore_errors=True)
        end, reason = self._ended() if self.ended else account.verdict(status, code)
        return {
            "end": end,
            "reason": reason,
            "return_code": code,
            "tasks": account.counts(),
            "first_task_at": account.first_task_at,
            "result": account.result,
        }

    def _play(self, account: Account) -> tuple[str, int | None]:
        def on_event(event: Mapping[str, Any]) -> bool:
            for passage in account.take(event):
                # When the worker is gone, the watch ends everything.
                with suppress(OSError):
                    frame.send(self.connection, {"passage": passage})
            # False: it is not written to disk as well.
            return False

        try:
            runner = interface.run(
                private_data_dir=self.order["folder"],
                ident="run",
                playbook=self.order["playbook"],
                inventory=self.order["inventory"],
                limit=self.order["target"],
                cmdline="--check --diff" if self.order["check"] else None,
                quiet=True,
                settings=SETTINGS,
                event_handler=on_event,
                # Without one, ansible-runner takes over the process's signals.
                cancel_callback=lambda: bool(self.ended),
            )
        except Exception as error:
            # Its own bookkeeping can fail when what it watches is ended from outside.
            return f"{type(error).__name__}: {error}", None
        return str(runner.status), runner.rc

    def _watch(self) -> None:
        self.connection.settimeout(self.order["timeout_seconds"])
        try:
            self.connection.recv(1)
            reason = "cancelled"
        except TimeoutError:
            reason = "timeout"
        except OSError:
            reason = "cancelled"
        while not self.is_over:
            self.ended = self.ended or reason
            self.killed |= end_descendants()
            time.sleep(0.02)

    def _ended(self) -> tuple[str, str]:
        if self.ended == "timeout":
            return "timeout", f"it took longer than {self.order['timeout_seconds']:g}s and was ended"
        return "cancelled", "it was cancelled and ended"


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
