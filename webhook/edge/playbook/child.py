"""The process behind one playbook run: supervises everything that Ansible starts, and ends it when it has to.

The server forks it, with all imported that it needs. It gets its order over a socket and answers there. When the
other end closes, be it that the run is cancelled or that the worker died, every process below this one is ended.
"""

from __future__ import annotations

import os
import shlex
import shutil
import socket
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
from webhook.edge.playbook.confine import remove_container
from webhook.edge.playbook.folder import hold, remove_litter
from webhook.edge.playbook.start import Start
from webhook.edge.playbook.tree import adopt_orphans, end_descendants
from webhook.edge.playbook.verdict import Account
from webhook.edge.playbook.warm import Warm

#: ansible-runner looks up every second: its 5 would be the least that a run takes to end. And what Ansible prints is
#: not to lie on the disk, as it comes and of any length.
SETTINGS: Final = {"pexpect_timeout": 1, "suppress_ansible_output": True, "suppress_output_file": True}


def live(connection: socket.socket, *, warm: Warm) -> None:
    """Do what is ordered, and answer."""
    os.setsid()
    adopt_orphans()
    try:
        order = _receive(connection)
        hold(Path(order["folder"]))
        answer = _Run(connection=connection, order=order, warm=warm if order["warm"] else None).perform()
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
    warm: Warm | None
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
        # In a container the limits are the engine's.
        limits = {} if self.order["container"] else self.order["limits"]
        start = Start(folder=Path(self.order["folder"]), supervisor=os.getpid(), limits=limits, warm=self.warm)
        terminal.install(start, events=Path("artifacts", self.order["run"], "job_events").absolute())
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
        note = start.note()
        # Here as well as in the worker, which may be dead.
        shutil.rmtree(self.order["folder"], ignore_errors=True)
        end, reason = self._ended() if self.ended else account.verdict(status, code)
        return {
            "end": end,
            "reason": f"{reason} (Ansible was started cold: {note})" if note else reason,
            "note": note,
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

        engine = (self.order["container"] or {}).get("process_isolation_executable")
        if engine and shutil.which(engine) is None:
            return f"{engine} is not installed on this worker", None
        try:
            runner = interface.run(
                private_data_dir=self.order["folder"],
                # A container is called after it.
                ident=self.order["run"],
                playbook=self.order["playbook"],
                limit=self.order["target"],
                cmdline=self._cmdline(),
                quiet=True,
                settings=SETTINGS,
                event_handler=on_event,
                # Without one, ansible-runner takes over the process's signals.
                cancel_callback=lambda: bool(self.ended),
                **(self.order["container"] or {}),
            )
        except SystemExit:
            # What it has to say about an engine, it has printed.
            return f"{engine} does not work on this worker", None
        except Exception as error:
            # Its own bookkeeping can fail when what it watches is ended from outside.
            return f"{type(error).__name__}: {error}", None
        return str(runner.status), runner.rc

    def _cmdline(self) -> str:
        # A second inventory, with the target's secrets, is found in the run's folder by ansible-runner.
        check = "--check --diff " if self.order["check"] else ""
        return f"{check}-i {shlex.quote(self.order['inventory'])}"

    def _watch(self) -> None:
        self.connection.settimeout(self.order["timeout_seconds"])
        try:
            self.connection.recv(1)
            reason = "cancelled"
        except TimeoutError:
            reason = "timeout"
        except OSError:
            reason = "cancelled"
        self.ended = "" if self.is_over else reason
        if self.ended and self.order["container"]:
            # While the processes live that keep account of it.
            remove_container(self.order["container"]["process_isolation_executable"], self.order["run"])
        while not self.is_over:
            self.killed |= end_descendants()
            time.sleep(0.02)

    def _ended(self) -> tuple[str, str]:
        if self.ended == "timeout":
            return "timeout", f"it took longer than {self.order['timeout_seconds']:g}s and was ended"
        return "cancelled", "it was cancelled and ended"
