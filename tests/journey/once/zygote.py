"""A process that has imported everything and forks the roles of alertmend: starting one costs hardly anything.

It takes orders as lines of JSON and answers each with the process id. Playbooks named `mark.yml` are played by writing
to a file what a real one would do to the world; all others are Ansible's.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.journey.once.fuse import Fuse, lay


def main() -> None:
    """Until standard input closes."""
    _import_everything()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for line in sys.stdin:
        order = json.loads(line)
        if (pid := os.fork()) == 0:
            os._exit(_live(order))
        print(pid, flush=True)


def _import_everything() -> None:
    import kombu.transport.redis  # noqa: F401
    import uvloop  # noqa: F401

    from webhook.edge import queue
    from webhook.wiring import current

    # Longer than most playbooks take, and shorter than some: those are heard of again while they run.
    queue.VISIBILITY_TIMEOUT_SECONDS = 2
    loaded: dict[Path, Any] = {}
    load = current.load

    def load_once(file: Path) -> Any:
        # Ansible reads the inventory, which takes longer than all the rest.
        if file not in loaded:
            loaded[file] = load(file)
        return loaded[file]

    current.load = load_once
    load_once(Path(sys.argv[1]))


def _live(order: Mapping[str, Any]) -> int:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setsid()
    log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for number, target in ((0, os.open(os.devnull, os.O_RDONLY)), (1, log), (2, log)):
        os.dup2(target, number)
    fuse = Fuse(*order["fuse"], note=Path(order["note"]), role=order["role"]) if order["fuse"] else None
    _play_marks(Path(order["world"]), fuse)
    if fuse is not None:
        lay(fuse)
    arguments = [*order["arguments"], f"--parent={os.getppid()}"]
    if order["role"] == "web":
        from webhook.web.__main__ import main as web

        return web(arguments)
    from webhook.worker import main as worker

    return worker([order["role"], *arguments])


def _play_marks(world: Path, fuse: Fuse | None) -> None:
    from webhook.edge.playbook.runner import AnsibleRunner
    from webhook.world import PlaybookEnd, PlaybookResult

    play_really: Callable[..., PlaybookResult] = AnsibleRunner.run

    def play(self: Any, job: Any, *, is_cancelled: Any, hear: Any) -> PlaybookResult:
        if job.playbook.name != "mark.yml":
            return play_really(self, job, is_cancelled=is_cancelled, hear=hear)
        from webhook.core.transcript import Passage

        _write(world, f"begin {job.run} {job.target}")
        if fuse is not None:
            fuse.pass_by("the world", "before")
        hear(Passage(at=datetime.now(UTC), text="PLAY\n"))
        # As long as it may take, and now and then longer than the broker's patience.
        time.sleep(3.0 if job.run[-1] == "0" else 0.05)
        _write(world, f"end {job.run} {job.target}")
        if fuse is not None:
            fuse.pass_by("the world", "after")
        return PlaybookResult(end=PlaybookEnd.OK, reason="1 tasks ok, 1 changed", return_code=0)

    AnsibleRunner.run = play  # type: ignore[method-assign]


def _write(world: Path, line: str) -> None:
    # One write to a file that is only appended to: it is there, or it is not.
    file = os.open(world, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.write(file, f"{line}\n".encode())
    os.close(file)


if __name__ == "__main__":
    main()
