"""The process behind one playbook run: supervises everything that Ansible starts, and ends it when it has to.

A server forks it, with ansible-runner imported already. It gets its order over a socket and answers there. When the
other end closes, be it that the run is cancelled or that the worker died, every process below this one is ended.
"""

from __future__ import annotations

import ctypes
import gc
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from webhook.edge.playbook import frame
from webhook.edge.playbook.tree import end_descendants
from webhook.edge.playbook.verdict import Account

_PR_SET_CHILD_SUBREAPER: Final = 36
#: ansible-runner looks up this often; its default of 5 s would be the least that a run takes to end.
POLL_SECONDS: Final = 1


def serve(control: socket.socket) -> None:
    """Fork a process for each connection that comes over `control`, until that closes."""
    import ansible_runner  # noqa: F401 - imported once, for all that is forked

    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    gc.collect()
    gc.freeze()
    while True:
        data, descriptors, _, _ = socket.recv_fds(control, 1, 1)
        if not data:
            return
        with socket.socket(fileno=descriptors[0]) as connection:
            if os.fork() == 0:
                control.close()
                _live(connection)
                os._exit(0)


def _live(connection: socket.socket) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setsid()
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1)
    try:
        answer = _Run(connection=connection, order=_receive(connection)).perform()
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

    def perform(self) -> dict[str, Any]:
        """The answer to the order."""
        # The server's environment was the worker's: nothing of it is left for Ansible, nor for what is written down.
        os.environ.clear()
        os.environ.update(self.order["environment"])
        os.chdir(self.order["folder"])
        threading.Thread(target=self._watch, daemon=True).start()
        account = Account(target=self.order["target"], playbook=self.order["playbook"])
        status, code = self._play(account)
        self.is_over = True
        if self.ended:
            end_descendants()
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
        from ansible_runner import interface

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
                quiet=True,
                settings={"pexpect_timeout": POLL_SECONDS, "suppress_ansible_output": True},
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
            end_descendants()
            time.sleep(0.02)

    def _ended(self) -> tuple[str, str]:
        if self.ended == "timeout":
            return "timeout", f"it took longer than {self.order['timeout_seconds']:g}s and was ended"
        return "cancelled", "it was cancelled and ended"


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
