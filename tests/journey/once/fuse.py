"""Points in the line at which a process kills itself, as if the machine had lost power there.

They are put around methods of the real edges, in the process that is to die; the program knows nothing of them.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import wraps
from inspect import iscoroutinefunction
from pathlib import Path
from typing import Any

#: What each role calls on an alert's way, and what its upkeep calls.
POINTS = {
    "web": ("RedisInbox._store",),
    "intake": (
        *(f"RedisStore.{name}" for name in ("envelope", "read", "commit", "confirm", "ring", "lead", "take_due")),
        *(f"RedisStore.{name}" for name in ("unconfirmed", "without_lease", "told", "waiting_since")),
        *("SqlLedger.append", "worker._hear", "upkeep.end_leftovers"),
    ),
    "runs": (
        *(f"RedisStore.{name}" for name in ("read", "commit", "confirm", "renew", "tell")),
        *("SqlLedger.append", "worker._hear", "AnsibleRunner.run", "the world"),
    ),
}


@dataclass(slots=True)
class Fuse:
    """Kills its process when a point is passed for the nth time."""

    point: str
    when: str
    nth: int
    #: Where it is noted that it did.
    note: Path
    role: str
    _passed: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def pass_by(self, point: str, when: str) -> None:
        """Another step is done."""
        if (point, when) != (self.point, self.when):
            return
        with self._lock:
            self._passed += 1
            if self._passed == self.nth:
                with self.note.open("a") as note:
                    note.write(f"{self.role}: {when} {point}\n")
                os.kill(os.getpid(), signal.SIGKILL)

    def around(self, point: str, work: Callable[..., Any]) -> Callable[..., Any]:
        """The same work, with the fuse before and after it."""

        @wraps(work)
        def fused(*arguments: Any, **named: Any) -> Any:
            self.pass_by(point, "before")
            found = work(*arguments, **named)
            self.pass_by(point, "after")
            return found

        @wraps(work)
        async def fused_later(*arguments: Any, **named: Any) -> Any:
            self.pass_by(point, "before")
            found = await work(*arguments, **named)
            self.pass_by(point, "after")
            return found

        return fused_later if iscoroutinefunction(work) else fused


def lay(fuse: Fuse) -> None:
    """Put the fuse where it belongs."""
    owner, name = _owner(fuse.point)
    if owner is not None:
        setattr(owner, name, fuse.around(fuse.point, getattr(owner, name)))


def is_in_the_program(point: str) -> bool:
    """Whether there is such a point: one that was renamed would never be passed, and nobody would die of it."""
    owner, name = _owner(point)
    return point == "the world" or hasattr(owner, name)


def _owner(point: str) -> tuple[Any, str]:
    from webhook import worker
    from webhook.edge.ledger import SqlLedger
    from webhook.edge.playbook import tree
    from webhook.edge.playbook.runner import AnsibleRunner
    from webhook.edge.store import RedisInbox, RedisStore

    owners = {
        "RedisInbox": RedisInbox,
        "RedisStore": RedisStore,
        "SqlLedger": SqlLedger,
        "AnsibleRunner": AnsibleRunner,
        "worker": worker,
        "upkeep": tree,
    }
    owner, _, name = point.partition(".")
    # The last is in the playbook that the test plays.
    return owners.get(owner), name
