"""Runs a playbook through ansible-runner on exactly one host, and leaves no process and no file behind.

Each run is a process of its own, forked by a small server that has ansible-runner imported already: ansible-runner is
not made for threads, and a process can be ended with everything that it started. What happens in there is `child`'s.
"""

from __future__ import annotations

import os
import re
import select
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import datetime
from ipaddress import IPv6Address
from pathlib import Path
from threading import Event as Flag
from typing import Any, Final

import structlog
from pydantic import TypeAdapter

from webhook.core.transcript import Passage
from webhook.edge.playbook import frame
from webhook.edge.playbook.confine import container_of, limits_of
from webhook.edge.playbook.connections import Connections
from webhook.edge.playbook.credentials import environment_of, write_secrets
from webhook.edge.playbook.folder import private_folder, sweep, write_variables
from webhook.edge.playbook.server import Server
from webhook.edge.playbook.tree import MARK, end_leftovers
from webhook.text import clean
from webhook.world import PlaybookEnd, PlaybookJob, PlaybookResult, TaskCounts

log = structlog.get_logger()

#: How often the worker asks whether a run is cancelled.
CANCEL_POLL_SECONDS: Final = 0.2
#: A run's process has this long, after it was told to end, to end all others; then it is ended itself.
END_SECONDS: Final = 10.0
#: Of the worker's environment a playbook gets this; the rest may hold secrets.
ENVIRONMENT: Final = (
    *("HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "LC_CTYPE", "TZ"),
    *("SSH_AUTH_SOCK", "ANSIBLE_CONFIG", "ANSIBLE_COLLECTIONS_PATH"),
)

#: Ansible's settings in every run.
_SETTINGS: Final = {
    # ansible-runner turns it off unless it is told otherwise.
    "ANSIBLE_HOST_KEY_CHECKING": "True",
    "ANSIBLE_NOCOLOR": "1",
    "ANSIBLE_DIFF_ALWAYS": "True",
    "ANSIBLE_RETRY_FILES_ENABLED": "False",
}
#: Whatever Ansible's --limit would read as more than the name of one host.
_PATTERN = re.compile(r"^-|[\s,&!*~@?;{}$|]|^\[|\[.*\]$")

_PASSAGE: Final = TypeAdapter(Passage)


class AnsibleRunner:
    """Runs playbooks for the threads of one worker.

    `work_dir` is where each run has its private folder, and what a killed worker left there is removed; `environment`
    replaces the worker's.
    """

    def __init__(self, *, work_dir: Path, environment: Mapping[str, str] | None = None) -> None:
        self._work_dir = work_dir
        self._environment = _environment(os.environ if environment is None else environment)
        self._server = Server(environment=self._environment)
        self._connections = Connections(beside=work_dir)
        sweep(work_dir)

    def run(
        self, job: PlaybookJob, *, is_cancelled: Callable[[], bool], hear: Callable[[Passage], None]
    ) -> PlaybookResult:
        """The result of one run; blocks until its whole process tree is gone. `hear` gets what it says, at once.

        Raises:
            ValueError: the target is not the plain name of one host.
        """
        if not _is_name(job.target):
            raise ValueError(f"{job.target!r} is not the name of one host")
        try:
            with private_folder(self._work_dir) as folder:
                write_variables(folder, job)
                secret = write_secrets(folder, job)
                job = replace(job, redact=(*job.redact, *secret))
                answer = self._perform(job, folder, is_cancelled, hear)
        except OSError as error:
            answer = {"end": PlaybookEnd.FAILED, "reason": f"the playbook could not be started: {error}"}
        return _result(answer)

    def warm_up(self) -> None:
        """Have Ansible imported before the first run needs it. Takes about a second."""
        self._server.warm_up()

    def close(self) -> None:
        """End the server; runs that are under way end with it."""
        self._server.close()
        self._connections.close()

    def _perform(
        self, job: PlaybookJob, folder: Path, is_cancelled: Callable[[], bool], hear: Callable[[Passage], None]
    ) -> dict[str, Any]:
        with self._server.fork(warm=_is_warm(job)) as connection, _asked_aside(is_cancelled) as cancelled:
            frame.send(connection, self._order(job, folder))
            if (answer := _wait(connection, cancelled, hear)) is not None:
                if note := answer.get("note"):
                    log.warning("Ansible was started cold", action="start", run=job.run, reason=note)
                return answer
        # The run's process died before it could end what it had started.
        end_leftovers(job.run)
        return {"end": PlaybookEnd.FAILED, "reason": "the process that ran the playbook was killed"}

    def _order(self, job: PlaybookJob, folder: Path) -> dict[str, Any]:
        scratch = str(folder / "tmp")
        own = {
            MARK: job.run,
            "TMPDIR": scratch,
            "ANSIBLE_LOCAL_TEMP": scratch,
            "ANSIBLE_HOME": str(folder / "ansible"),
            "ANSIBLE_SSH_CONTROL_PATH_DIR": str(self._connections.folder(job)),
        }
        settings = {**_SETTINGS, **environment_of(job.secrets)}
        return {
            "run": job.run,
            "folder": str(folder),
            "playbook": str(job.playbook),
            "inventory": str(job.inventory),
            "target": job.target,
            "timeout_seconds": job.timeout.total_seconds(),
            "check": job.check,
            "redact": list(job.redact),
            "warm": _is_warm(job),
            "limits": limits_of(job.confinement.limits),
            "container": container_of(job, {MARK: job.run, **settings}),
            "environment": {**self._environment, **settings, **own},
        }


def _is_name(target: str) -> bool:
    """Whether Ansible reads it as the name of one host, wherever it stands."""
    if ":" in target:
        # It joins patterns, unless it stands in an address.
        with suppress(ValueError):
            return bool(IPv6Address(target))
        return False
    return bool(target) and not _PATTERN.search(target)


def _is_warm(job: PlaybookJob) -> bool:
    return job.confinement.warm and job.confinement.container is None


def _environment(given: Mapping[str, str]) -> dict[str, str]:
    """What every run gets of a worker's environment, and what we add."""
    kept = {name: value for name, value in given.items() if name in ENVIRONMENT}
    return {
        "ANSIBLE_COLLECTIONS_PATH": f"{kept.get('HOME', '/root')}/.ansible/collections",
        **kept,
        "PATH": f"{Path(sys.executable).parent}:{given.get('PATH', os.defpath)}",
        **_SETTINGS,
    }


@contextmanager
def _asked_aside(is_cancelled: Callable[[], bool]) -> Iterator[Flag]:
    """Set as soon as the run is cancelled.

    Asked in a thread of its own: while an answer takes its time nobody would listen to the playbook, which would wait.
    """
    cancelled, over = Flag(), Flag()

    def ask() -> None:
        while not over.wait(CANCEL_POLL_SECONDS) and not cancelled.is_set():
            if is_cancelled():
                cancelled.set()

    threading.Thread(target=ask, name="cancel", daemon=True).start()
    try:
        yield cancelled
    finally:
        over.set()


def _wait(connection: socket.socket, cancelled: Flag, hear: Callable[[Passage], None]) -> dict[str, Any] | None:
    """What the run's process answers; None when it died without an answer."""
    frames, told_at = frame.Frames(), 0.0
    while True:
        readable, _, _ = select.select([connection], [], [], CANCEL_POLL_SECONDS)
        if readable:
            piece = connection.recv(1 << 16)
            for message in frames.feed(piece):
                if "end" in message:
                    return message
                hear(_PASSAGE.validate_python(message["passage"]))
            if not piece:
                return None
        if told_at and time.monotonic() - told_at > END_SECONDS:
            return None
        if not told_at and cancelled.is_set():
            # Half of the connection closes: that is the sign to end everything.
            connection.shutdown(socket.SHUT_WR)
            told_at = time.monotonic()


def _result(answer: Mapping[str, Any]) -> PlaybookResult:
    first_task_at = answer.get("first_task_at")
    return PlaybookResult(
        end=PlaybookEnd(answer["end"]),
        reason=clean(str(answer["reason"])),
        return_code=answer.get("return_code"),
        tasks=TaskCounts(**answer.get("tasks", {})),
        first_task_at=datetime.fromisoformat(first_task_at) if first_task_at else None,
        result=answer.get("result", {}),
    )
