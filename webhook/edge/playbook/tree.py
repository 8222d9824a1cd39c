"""The processes of a run, found in the process table and ended."""

from __future__ import annotations

import ctypes
import os
import signal
import time
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

_PR_SET_CHILD_SUBREAPER: Final = 36
#: Marks every process of a run, wherever it went.
MARK: Final = "ALERTMEND_RUN"
#: How long processes are sent signals before we give up on them.
END_SECONDS: Final = 5.0


def end_leftovers(run: str) -> int:
    """How many processes on this machine still belonged to a run; they are gone when this returns."""
    return len(_end(lambda: _with_all_below(_marked(run))))


def end_descendants() -> set[int]:
    """The processes that ran below this one, ended. Orphans come back to it: a session of its own saves none."""
    return _end(lambda: _with_all_below([os.getpid()]) - {os.getpid()})


def end_orphans(*, but: Callable[[], Collection[int]]) -> set[int]:
    """The processes below this one, ended, all but some of its children and what runs below those."""
    return _end(lambda: _with_all_below(set(children()) - set(but())))


def children() -> list[int]:
    """The living processes whose parent is this one."""
    return _by_parent().get(os.getpid(), [])


def adopt_orphans() -> None:
    """Become the parent of every descendant that loses its own, wherever it fled to."""
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1)


def _end(found: Callable[[], Collection[int]]) -> set[int]:
    ended: set[int] = set()
    deadline = time.monotonic() + END_SECONDS
    while (left := found()) and time.monotonic() < deadline:
        for pid in left:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
                ended.add(pid)
        time.sleep(0.01)
    return ended


def _marked(run: str) -> list[int]:
    mark = f"{MARK}={run}".encode()
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if mark in (folder / "environ").read_bytes().split(b"\0"):
                found.append(int(folder.name))
    return found


def _with_all_below(pids: Iterable[int]) -> set[int]:
    """Living processes, with everything that they started and that these started."""
    by_parent = _by_parent()
    found: set[int] = set()
    waiting = list(pids)
    while waiting:
        pid = waiting.pop()
        found.add(pid)
        waiting += [child for child in by_parent.get(pid, []) if child not in found]
    return found


def _by_parent() -> dict[int, list[int]]:
    """The children of every process, but for the dead that nobody has buried yet."""
    found: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            with suppress(OSError):
                state, parent = Path("/proc", name, "stat").read_text().rpartition(")")[2].split()[:2]
                if state != "Z":
                    found.setdefault(int(parent), []).append(int(name))
    return found
