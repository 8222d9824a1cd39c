"""Runs one command and leaves nothing of it behind: `python supervisor.py PROGRAM ARGUMENT…`, started by edge.probe.

Ends with the command's status, 128 + n when signal n ended it. When standard input closes, because the time is over or
the one who asks has died, the command ends at once. Whatever it started is adopted and ended too, in other sessions and
process groups as well: killing a process group alone would miss it. Imports the standard library only, since it is
started for each question.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import sys
import time

_PR_SET_CHILD_SUBREAPER = 36
#: As shells say it.
CANNOT_START = 127


def main(argv: list[str]) -> int:
    """The command's status."""
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    changed, wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(wake)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    child = os.fork()
    if child == 0:
        _become(argv)
    status = _status(child, changed)
    _end_all()
    return status


def _become(argv: list[str]) -> None:
    try:
        os.setsid()
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        # Python ignores these, and what is ignored stays so in the program.
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        os.execvp(argv[0], argv)
    except OSError as error:
        os.write(2, f"{argv[0]}: {error.strerror}\n".encode(errors="replace"))
    finally:
        os._exit(CANNOT_START)


def _status(child: int, changed: int) -> int:
    while True:
        ready, _, _ = select.select([0, changed], [], [])
        if 0 in ready:
            return 128 + signal.SIGKILL
        os.read(changed, 4096)
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code


def _end_all() -> None:
    """Returns when no process is left."""
    while True:
        try:
            # Not a blocking wait: what is adopted after the list was read would be waited for, and never ended.
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            for descendant in _children():
                os.kill(descendant, signal.SIGKILL)
            time.sleep(0.001)


def _children() -> list[int]:
    # They cannot vanish: a child stays until we have waited for it.
    return [int(name) for name in os.listdir("/proc") if name.isdigit() and _parent(name) == os.getpid()]


def _parent(pid: str) -> int:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            # The program's name stands in brackets before, and may hold anything.
            return int(file.read().rpartition(b")")[2].split()[1])
    except OSError:
        return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
