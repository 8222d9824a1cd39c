"""Runs a playbook through ansible-runner on exactly one host, and leaves no process and no file behind.

Each run is a process of its own, forked by a small server that has ansible-runner imported already: ansible-runner is
not made for threads, and a process can be ended with everything that it started. What happens in there is
`playbook_child`'s.
"""

from __future__ import annotations

import json
import os
import re
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from webhook.core.rule import Untrusted
from webhook.ports import PlaybookEnd, PlaybookJob, PlaybookResult, TaskCounts

#: Of a stranger's text this much reaches Ansible; the rest is cut, with a mark.
VALUE_LIMIT_BYTES: Final = 64 * 1024
CUT_MARK: Final = " [cut by alertmend]"
#: How often the worker asks whether a run is cancelled.
CANCEL_POLL_SECONDS: Final = 0.5
#: A run's process has this long, after it was told to end, to end all others; then it is ended itself.
END_SECONDS: Final = 10.0
#: Marks every process of a run, wherever it went.
MARK: Final = "ALERTMEND_RUN"
#: Of the worker's environment a playbook gets this; the rest may hold secrets.
ENVIRONMENT: Final = ("HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "SSH_AUTH_SOCK", "ANSIBLE_CONFIG")

#: Magic variables are top-level names; a name that Ansible reads as a tag replaces the whole dictionary.
_NAME = re.compile(r"(?!__)[A-Za-z_][A-Za-z0-9_]*")
#: What ends lines, moves cursors, forges ansible-runner's events or turns text around; and what is no text at all.
_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
#: Whatever Ansible's --limit would read as more than the name of one host.
_PATTERN = re.compile(r"^-|[\s,&!*~@?;{}$|]|^\[|\[.*\]$")


class AnsibleRunner:
    """Runs playbooks for the threads of one worker.

    `work_dir` is where each run has its private folder; `environment` replaces the worker's.
    """

    def __init__(self, *, work_dir: Path, environment: Mapping[str, str] | None = None) -> None:
        self._work_dir = work_dir
        self._environment = dict(os.environ if environment is None else environment)
        self._server = _Server()

    def run(self, job: PlaybookJob, *, is_cancelled: Callable[[], bool]) -> PlaybookResult:
        """The result of one run; blocks until its whole process tree is gone.

        Raises:
            ValueError: the target is not the plain name of one host.
        """
        if not job.target or _PATTERN.search(job.target):
            raise ValueError(f"{job.target!r} is not the name of one host")
        self._work_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        folder = Path(tempfile.mkdtemp(prefix="run-", dir=self._work_dir))
        try:
            answer = self._perform(job, folder, is_cancelled)
        except OSError as error:
            answer = {"end": PlaybookEnd.FAILED, "reason": f"the playbook could not be started: {error}"}
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        return _result(answer)

    def close(self) -> None:
        """End the server; runs that are under way end with it."""
        self._server.close()

    def _perform(self, job: PlaybookJob, folder: Path, is_cancelled: Callable[[], bool]) -> dict[str, Any]:
        _write_private(folder, job)
        with self._server.fork() as connection:
            _send(connection, self._order(job, folder))
            if (answer := _wait(connection, is_cancelled)) is not None:
                return answer
        # The run's process died before it could end what it had started.
        end_leftovers(job.run)
        return {"end": PlaybookEnd.FAILED, "reason": "the process that ran the playbook was killed"}

    def _order(self, job: PlaybookJob, folder: Path) -> dict[str, Any]:
        kept = {name: value for name, value in self._environment.items() if name in ENVIRONMENT}
        scratch = folder / "tmp"
        return {
            "folder": str(folder),
            "playbook": str(job.playbook),
            "inventory": str(job.inventory),
            "target": job.target,
            "timeout_seconds": job.timeout.total_seconds(),
            "environment": {
                **kept,
                "PATH": f"{Path(sys.executable).parent}:{self._environment.get('PATH', os.defpath)}",
                MARK: job.run,
                "TMPDIR": str(scratch),
                "ANSIBLE_HOME": str(folder / "ansible"),
                "ANSIBLE_LOCAL_TEMP": str(scratch),
                # ansible-runner turns it off unless it is told otherwise.
                "ANSIBLE_HOST_KEY_CHECKING": "True",
                "ANSIBLE_NOCOLOR": "1",
                "ANSIBLE_RETRY_FILES_ENABLED": "False",
                "ANSIBLE_COLLECTIONS_PATH": self._environment.get(
                    "ANSIBLE_COLLECTIONS_PATH", f"{kept.get('HOME', '/root')}/.ansible/collections"
                ),
            },
        }


def end_leftovers(run: str) -> int:
    """How many processes on this machine still belonged to a run; they are gone when this returns."""
    ended: set[int] = set()
    deadline = time.monotonic() + END_SECONDS
    while time.monotonic() < deadline and (left := _marked(run)):
        for pid in left:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
                ended.add(pid)
        time.sleep(0.02)
    return len(ended)


def clean(text: str) -> str:
    """`text` without what is not seen, cut to `VALUE_LIMIT_BYTES`."""
    text = _UNSEEN.sub("", text)
    raw = text.encode()
    if len(raw) <= VALUE_LIMIT_BYTES:
        return text
    return raw[: VALUE_LIMIT_BYTES - len(CUT_MARK)].decode(errors="ignore") + CUT_MARK


def unsafe(value: object) -> object:
    """`value` with every string in it cleaned and marked, so that Ansible never templates it.

    A name that Ansible could take for more than a name is left out, with its value.
    """
    if isinstance(value, str):
        return {"__ansible_unsafe": clean(value)}
    if isinstance(value, Mapping):
        return {name: unsafe(item) for name, item in value.items() if _NAME.fullmatch(str(name))}
    if isinstance(value, (list, tuple)):
        return [unsafe(item) for item in value]
    return value


def _trusted(value: object) -> object:
    """A rule author's value: theirs to template, but for what came from a stranger."""
    if isinstance(value, Untrusted):
        return unsafe(str(value))
    if isinstance(value, Mapping):
        return {name: _trusted(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_trusted(item) for item in value]
    return value


def _write_private(folder: Path, job: PlaybookJob) -> None:
    """The run's private folder; mkdtemp made it for us alone."""
    for name in ("env", "project", "tmp", "ansible"):
        (folder / name).mkdir(mode=0o700)
    # A file: on the command line it would be seen in the process list, and a label's name would become syntax.
    variables = {str(name): _trusted(value) for name, value in job.variables.items()}
    content = {**variables, "alertmend": unsafe(job.alertmend)}
    file = os.open(folder / "env/extravars", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(file, "w", encoding="utf-8") as extra_vars:
        json.dump(content, extra_vars)


def _wait(connection: socket.socket, is_cancelled: Callable[[], bool]) -> dict[str, Any] | None:
    """What the run's process answers; None when it died without a word."""
    received, told_at = bytearray(), 0.0
    while True:
        readable, _, _ = select.select([connection], [], [], CANCEL_POLL_SECONDS)
        if readable:
            chunk = connection.recv(1 << 16)
            if not chunk:
                return json.loads(received) if received else None
            received += chunk
        elif told_at and time.monotonic() - told_at > END_SECONDS:
            return None
        elif not told_at and is_cancelled():
            # Half of the connection closes: that is the sign to end everything.
            connection.shutdown(socket.SHUT_WR)
            told_at = time.monotonic()


def _send(connection: socket.socket, order: Mapping[str, Any]) -> None:
    content = json.dumps(order).encode()
    connection.sendall(struct.pack("!I", len(content)) + content)


def _result(answer: Mapping[str, Any]) -> PlaybookResult:
    first_task_at = answer.get("first_task_at")
    return PlaybookResult(
        end=PlaybookEnd(answer["end"]),
        reason=clean(str(answer["reason"])),
        return_code=answer.get("return_code"),
        tasks=TaskCounts(**answer.get("tasks", {})),
        first_task_at=datetime.fromisoformat(first_task_at) if first_task_at else None,
        result=answer.get("result", {}),
        output=answer.get("output", ""),
    )


def _marked(run: str) -> list[int]:
    mark = f"{MARK}={run}".encode()
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            state = (folder / "stat").read_text().rpartition(")")[2].split()[0]
            if state != "Z" and mark in (folder / "environ").read_bytes().split(b"\0"):
                found.append(int(folder.name))
    return found


@dataclass(slots=True)
class _Server:
    """The process that forks runs; started for the first of them, ended when this end of its socket closes."""

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
            command = [sys.executable, "-m", "webhook.edge.playbook_child", str(theirs.fileno())]
            self.process = subprocess.Popen(
                command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, start_new_session=True
            )
        return self.control

    def _end(self) -> None:
        if self.control is not None:
            self.control.close()
        if self.process is not None:
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(END_SECONDS)
        self.control = self.process = None
