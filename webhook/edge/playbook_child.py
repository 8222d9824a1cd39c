"""The process behind one playbook run: supervises everything that Ansible starts, and ends it when it has to.

A server forks it, with ansible-runner imported already. It gets its order over a socket and answers there. When the
other end closes, be it that the run is cancelled or that the worker died, every process below this one is ended.
"""

from __future__ import annotations

import ctypes
import gc
import json
import math
import os
import re
import signal
import socket
import struct
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

_PR_SET_CHILD_SUBREAPER: Final = 36
#: Of the output this much is kept, half of it from the beginning and half from the end.
OUTPUT_LIMIT_BYTES: Final = 256 * 1024
RESULT_LIMIT_BYTES: Final = 16 * 1024
#: ansible-runner looks up this often; its default of 5 s would be the least that a run takes to end.
POLL_SECONDS: Final = 1
END_SECONDS: Final = 5.0
_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)")


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
        connection.sendall(json.dumps(answer).encode())


def _receive(connection: socket.socket) -> dict[str, Any]:
    (length,) = struct.unpack("!I", _exactly(connection, 4))
    found: dict[str, Any] = json.loads(_exactly(connection, length))
    return found


def _exactly(connection: socket.socket, length: int) -> bytes:
    received = bytearray()
    while len(received) < length:
        chunk = connection.recv(length - len(received))
        if not chunk:
            raise ConnectionError("the worker is gone")
        received += chunk
    return bytes(received)


@dataclass(slots=True, kw_only=True)
class _Run:
    """One run, and what its events said."""

    connection: socket.socket
    order: Mapping[str, Any]
    #: Why it was ended: `timeout` or `cancelled`; empty while it was not.
    ended: str = ""
    is_over: bool = False
    stats: list[Mapping[str, Any]] = field(default_factory=list)
    failure: str = ""
    result: Mapping[str, Any] = field(default_factory=dict)
    first_task_at: str | None = None
    output: _Output = field(default_factory=lambda: _Output())

    def perform(self) -> dict[str, Any]:
        """The answer to the order."""
        # The server's environment was the worker's: nothing of it is left for Ansible, nor for what is written down.
        os.environ.clear()
        os.environ.update(self.order["environment"])
        os.chdir(self.order["folder"])
        threading.Thread(target=self._watch, daemon=True).start()
        status, code = self._play()
        self.is_over = True
        if self.ended:
            _end_descendants()
        return self._answer(status, code)

    def _play(self) -> tuple[str, int | None]:
        from ansible_runner import interface

        try:
            runner = interface.run(
                private_data_dir=self.order["folder"],
                ident="run",
                playbook=self.order["playbook"],
                inventory=self.order["inventory"],
                limit=self.order["target"],
                quiet=True,
                settings={"pexpect_timeout": POLL_SECONDS, "suppress_ansible_output": True},
                event_handler=self._on_event,
                # Without one, ansible-runner takes over the process's signals.
                cancel_callback=lambda: bool(self.ended),
            )
        except Exception as error:
            # Its own bookkeeping can fail when what it watches is ended from outside.
            return f"{type(error).__name__}: {error}", None
        return str(runner.status), runner.rc

    def _on_event(self, event: Mapping[str, Any]) -> bool:
        kind, data = event.get("event"), event.get("event_data") or {}
        self.output.add(str(event.get("stdout") or ""))
        if kind == "playbook_on_task_start" and self.first_task_at is None:
            self.first_task_at = datetime.now(UTC).isoformat()
        elif kind == "playbook_on_stats":
            self.stats.append(data)
            self._take_result((data.get("artifact_data") or {}).get("alertmend_result"))
        elif kind in ("runner_on_failed", "runner_on_unreachable") and not data.get("ignore_errors"):
            self.failure = self.failure or _failure(kind, data)
        elif kind == "runner_on_ok":
            self._take_result(((data.get("res") or {}).get("ansible_facts") or {}).get("alertmend_result"))
        # False: it is not written to disk as well.
        return False

    def _take_result(self, value: object) -> None:
        if isinstance(value, dict) and len(json.dumps(value)) <= RESULT_LIMIT_BYTES:
            self.result = _cleaned(value)

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
            _end_descendants()
            time.sleep(0.02)

    def _answer(self, status: str, code: int | None) -> dict[str, Any]:
        end, reason = self._verdict(status, code)
        return {
            "end": end,
            "reason": reason,
            "return_code": code,
            "tasks": self._counts(),
            "first_task_at": self.first_task_at,
            "result": self.result,
            "output": self.output.text,
        }

    def _verdict(self, status: str, code: int | None) -> tuple[str, str]:
        if self.ended == "timeout":
            return "timeout", f"it took longer than {self.order['timeout_seconds']:g}s and was ended"
        if self.ended:
            return "cancelled", "it was cancelled and ended"
        if self.failure:
            return "failed", self.failure
        if code != 0:
            return "failed", self._why(status, code)
        return self._proved()

    def _proved(self) -> tuple[str, str]:
        """Success is what the return code and the statistics say together: events alone can be forged."""
        target = self.order["target"]
        if len(self.stats) != 1:
            return "failed", f"Ansible gave {len(self.stats)} statistics instead of one; its output is not trusted"
        hosts = set(self.stats[0].get("processed") or ())
        if not hosts:
            return "failed", f"no play in {Path(self.order['playbook']).name} has {target} among its hosts"
        if hosts != {target}:
            return "failed", f"Ansible reports on {', '.join(sorted(hosts))} instead of on {target} alone"
        if self.stats[0].get("failures") or self.stats[0].get("dark"):
            return "failed", "Ansible reports failures"
        counts = self._counts()
        return "ok", f"{counts['ok']} tasks ok, {counts['changed']} changed"

    def _why(self, status: str, code: int | None) -> str:
        lines = [line for line in self.output.text.splitlines() if line.strip()]
        errors = [line for line in lines if "ERROR" in line]
        said = (errors or lines or [status])[0].strip()
        return f"ansible-playbook ended with status {code}: {said[:500]}"

    def _counts(self) -> dict[str, int]:
        if len(self.stats) != 1:
            return {}
        names = {"ok": "ok", "changed": "changed", "failed": "failures", "unreachable": "dark", "skipped": "skipped"}
        target = self.order["target"]
        return {ours: int((self.stats[0].get(theirs) or {}).get(target, 0)) for ours, theirs in names.items()}


@dataclass(slots=True)
class _Output:
    """Head and tail of what was printed."""

    head: str = ""
    tail: str = ""
    left_out: int = 0

    def add(self, text: str) -> None:
        """Take what was printed next."""
        if not text:
            return
        half = OUTPUT_LIMIT_BYTES // 2
        # Long texts are cut before they are cleaned, or a task that prints a gigabyte would cost a second one.
        if len(text) > OUTPUT_LIMIT_BYTES:
            self.left_out += len(text) - OUTPUT_LIMIT_BYTES
            text = f"{text[:half]}\n… [cut] …\n{text[-half:]}"
        text = _clean(text) + "\n"
        room = half - len(self.head)
        if room > 0:
            self.head += text[:room]
            text = text[room:]
        self.tail += text
        if len(self.tail) > half:
            self.left_out += len(self.tail) - half
            self.tail = self.tail[-half:]

    @property
    def text(self) -> str:
        """All that was kept."""
        if not self.left_out:
            return self.head + self.tail
        return f"{self.head}\n… [{self.left_out} characters left out by alertmend] …\n{self.tail}"


def _failure(kind: str, data: Mapping[str, Any]) -> str:
    result = data.get("res") or {}
    message = result.get("msg") or result.get("stderr") or result.get("module_stderr") or result.get("reason") or ""
    verb = "could not be reached" if kind == "runner_on_unreachable" else "failed"
    task = _clean(str(data.get("task") or "a task"))[:200]
    return f"task {task!r} {verb} on {_clean(str(data.get('host')))[:100]}: {_clean(str(message))[:1000].strip()}"


def _clean(text: str) -> str:
    return _UNSEEN.sub("", _ESCAPES.sub("", text.replace("\r\n", "\n")))


def _cleaned(value: Any) -> Any:
    if isinstance(value, str):
        return _clean(value)
    if isinstance(value, dict):
        return {_clean(str(name)): _cleaned(item) for name, item in value.items()}
    if isinstance(value, float) and not math.isfinite(value):
        # JSON has no word for it.
        return str(value)
    return [_cleaned(item) for item in value] if isinstance(value, list) else value


def _end_descendants() -> None:
    """End all that runs below this process. Orphans come back to it, so nothing gets away by a session of its own."""
    deadline = time.monotonic() + END_SECONDS
    while (left := _descendants()) and time.monotonic() < deadline:
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.01)


def _descendants() -> list[int]:
    children: dict[int, list[int]] = {}
    dead = set()
    for name in os.listdir("/proc"):
        if name.isdigit():
            with suppress(OSError):
                fields = Path("/proc", name, "stat").read_text().rpartition(")")[2].split()
                children.setdefault(int(fields[1]), []).append(int(name))
                if fields[0] == "Z":
                    dead.add(int(name))
    found, waiting = [], [os.getpid()]
    while waiting:
        below = children.get(waiting.pop(), [])
        waiting += below
        found += below
    return [pid for pid in found if pid not in dead]


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
