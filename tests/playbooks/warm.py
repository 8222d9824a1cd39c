"""Plays from a process that has imported Ansible already: half of what a short play costs is its imports.

Run as a program, it reads one order per line and writes two lines for each: the play's process, then its return code.
"""

from __future__ import annotations

import gc
import json
import os
import random
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


class Warm:
    """Runs ansible-playbook, one play at a time. `environment` holds for all of them: Ansible reads it once."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.playbooks.warm"],
            cwd=Path(__file__).resolve().parents[2],
            env=dict(environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def start(self, arguments: Sequence[str], *, output: Path, path: str) -> int:
        """The process of a play that has begun; `wait` for it before the next."""
        assert self._process.stdin is not None
        order = {"arguments": list(arguments), "output": str(output), "path": path}
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return self._number()

    def wait(self) -> int:
        """The return code of the play that was started; negative: the signal that ended it."""
        return self._number()

    def close(self) -> None:
        """End the process."""
        with self._process as process:
            assert process.stdin is not None
            process.stdin.close()

    def _number(self) -> int:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the process that has imported Ansible is gone"
        return int(line)


def serve() -> None:
    """Fork a play for each order on standard input."""
    import ansible.cli.playbook
    import ansible.executor.playbook_executor
    import ansible.plugins.connection.local
    import ansible.plugins.strategy.linear  # noqa: F401

    gc.collect()
    gc.freeze()
    for line in sys.stdin:
        order = json.loads(line)
        pid = os.fork()
        if pid == 0:
            os._exit(_play(order))
        print(pid, flush=True)
        _, status = os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def _play(order: Mapping[str, Any]) -> int:
    from ansible.cli.playbook import PlaybookCLI

    os.setsid()
    output = os.open(order["output"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for descriptor, source in ((0, nothing), (1, output), (2, output)):
        os.dup2(source, descriptor)
    os.environ["PATH"] = order["path"]
    random.seed()
    try:
        PlaybookCLI.cli_executor(["ansible-playbook", *order["arguments"]])
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
    return 0


if __name__ == "__main__":
    serve()
