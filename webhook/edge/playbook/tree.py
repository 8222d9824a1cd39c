"""The processes of a run, found in the process table and ended."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

#: Marks every process of a run, wherever it went.
MARK: Final = "ALERTMEND_RUN"
#: How long processes are sent signals before we give up on them.
END_SECONDS: Final = 5.0


def end_leftovers(run: str) -> int:
    """How many processes on this machine still belonged to a run; they are gone when this returns."""
    return _end(lambda: _marked(run))


def end_descendants() -> int:
    """End all that runs below this process. Orphans come back to it, so nothing gets away by a session of its own."""
    return _end(_descendants)


def _end(found: Callable[[], list[int]]) -> int:
    ended: set[int] = set()
    deadline = time.monotonic() + END_SECONDS
    while (left := found()) and time.monotonic() < deadline:
        for pid in left:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
                ended.add(pid)
        time.sleep(0.01)
    return len(ended)


def _marked(run: str) -> list[int]:
    mark = f"{MARK}={run}".encode()
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            state = (folder / "stat").read_text().rpartition(")")[2].split()[0]
            if state != "Z" and mark in (folder / "environ").read_bytes().split(b"\0"):
                found.append(int(folder.name))
    return found


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
