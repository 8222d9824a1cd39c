"""What a process asks of the operating system: to end with its parent, to be heard by it, to be seen as what it is."""

from __future__ import annotations

import ctypes
import os
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

#: So often a process that is looked after gives a sign of life.
LIFE_SECONDS = 2.0

_PR_SET_PDEATHSIG = 1
#: The clock is not synchronised.
_TIME_ERROR = 5


def end_with_parent(parent: int, *, by: int = signal.SIGTERM) -> None:
    """Get a signal when the parent is gone, however it went; at once when it is gone already."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, by)
    if os.getppid() != parent:
        os.kill(os.getpid(), by)


def tell_life(descriptor: int) -> None:
    """Give a sign of life to the parent, which reads the other end of a pipe; it is not waited for."""
    with suppress(OSError):
        os.write(descriptor, b".")


def is_clock_kept() -> bool:
    """Whether the kernel knows of someone who keeps the clock, as NTP does."""
    # adjtimex(2): asked to change nothing, it says so; the structure has no more than 208 bytes.
    state: int = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(256))
    return state != _TIME_ERROR


def show_as(argv: Sequence[str], environment: Mapping[str, str]) -> None:
    """Have the process table show this command and environment for a process that has become another.

    What does not fit in the place of the old ones is cut off.
    """
    # proc(5): the numbers 48 to 51, of which the third comes first here.
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()[45:49]
    arguments, arguments_end, variables, variables_end = map(int, fields)
    _overwrite(arguments, arguments_end, "\0".join(argv))
    _overwrite(variables, variables_end, "\0".join(f"{name}={value}" for name, value in environment.items()))
    Path("/proc/self/comm").write_text(os.path.basename(argv[0])[:15])


def _overwrite(start: int, end: int, text: str) -> None:
    length = end - start
    ctypes.memmove(start, text.encode()[: length - 1].ljust(length, b"\0"), length)
