"""Does a local program end with status 0?"""

from __future__ import annotations

import os
import select
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Final

from webhook.core.placeholder import placeholders
from webhook.core.probe import CommandProbe
from webhook.edge.probe.supervisor import CANNOT_START
from webhook.located import Node, mapping, string_list
from webhook.probing import Deadline, Kind, Seen

#: The end of a command's output that is kept; its last line goes into the words.
_TAIL_BYTES: Final = 4096
#: What a command sees of our environment. The rest of it may hold secrets.
_ENVIRONMENT: Final = ("PATH", "HOME", "LANG")
#: How long the end of a command's processes may take after they were killed.
_GRACE_SECONDS: Final = 2.0
_SUPERVISOR: Final = Path(__file__).with_name("supervisor.py")


def _read(node: Node) -> CommandProbe | None:
    fields = mapping(node, known={"argv"}, required={"argv"})
    argv = string_list(fields.get("argv"))
    if argv is None:
        return None
    if not argv:
        fields["argv"].report("give the program and its arguments as a list")
    elif placeholders(argv[0]):
        fields["argv"].report("the program is fixed; nothing is replaced in its name")
    return CommandProbe(argv=argv)


def _ask(probe: CommandProbe, deadline: Deadline) -> Seen:
    """What the command's end said. Nothing that it started is left, however it ended."""
    supervisor = subprocess.Popen(
        [sys.executable, "-I", "-S", str(_SUPERVISOR), *probe.argv],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={name: os.environ[name] for name in _ENVIRONMENT if name in os.environ},
        start_new_session=True,
    )
    assert supervisor.stdout is not None
    deadline.at_end(partial(_end, supervisor))
    with supervisor.stdout as output:
        tail = _tail(output.fileno(), deadline)
        _end(supervisor)
    return _judged(supervisor.returncode, tail)


def _tail(output: int, deadline: Deadline) -> bytes:
    """The end of the output, up to its own end or that of the time."""
    readable = select.poll()
    readable.register(output, select.POLLIN)
    tail = b""
    while not deadline.is_over:
        if readable.poll(deadline.seconds_left * 1000):
            chunk = os.read(output, 65536)
            if not chunk:
                break
            tail = (tail + chunk)[-_TAIL_BYTES:]
    return tail


def _end(supervisor: subprocess.Popen[bytes]) -> None:
    """Returns when the supervisor is gone, and with it all that the command started."""
    assert supervisor.stdin is not None
    # Before the wait: this is what it takes as the sign to end everything.
    supervisor.stdin.close()
    try:
        supervisor.wait(_GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        supervisor.kill()
        supervisor.wait()


def _judged(status: int, tail: bytes) -> Seen:
    lines = tail.decode("utf-8", "replace").split("\n")
    last = next((line.strip() for line in reversed(lines) if line.strip()), "")
    if status == CANNOT_START:
        return Seen(healthy=None, words=f"it cannot be started: {last}")
    return Seen(healthy=status == 0, words=f"exit status {status}" + (f": {last}" if last else ""))


KIND = Kind(read=_read, ask=_ask)
