"""The terminal between ansible-runner and Ansible, bounded and believed no further than it has to be.

As they come, both pexpect and ansible-runner keep all that is printed until it can be used: a task that prints a
gigabyte would cost several.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from io import StringIO
from pathlib import Path
from typing import Any, Final

import pexpect
from ansible_runner import runner
from ansible_runner.utils import OutputEventFilter

#: Of one event's text this much is kept at each end,
KEPT: Final = 64 * 1024
#: and this much more, that what has to be redacted is seen as a whole when it lies across the seam.
MARGIN: Final = 8 * 1024
#: What an event says, beyond what is printed, is not read when it is longer.
EVENT_LIMIT_BYTES: Final = 4 * 1024 * 1024
#: Stands where something was left out. Nobody who prints it can know it.
SEAM: Final = f"\0{secrets.token_hex(8)}\0"
_READ: Final = 64 * 1024
_UUID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


#: Called with a command and its environment in the process that was forked for it.
First = Callable[[Sequence[str], Mapping[str, str]], None]


def install(first: First, *, events: Path) -> None:
    """Have ansible-runner use what is here, in this process.

    `first` may start the command in its own way; `events` is the folder where Ansible's side leaves what events say.
    """
    pexpect.spawn = partial(Terminal, first)
    runner.OutputEventFilter = partial(Events, events)


class Terminal(pexpect.spawn):  # type: ignore[misc]
    """pexpect's terminal; of what was read it remembers what a prompt may be found in."""

    _before: StringIO

    def __init__(
        self, first: First, command: str, arguments: list[str], *, env: Mapping[str, str], **given: Any
    ) -> None:
        def in_the_new_process() -> None:
            first([command, *arguments], env)

        super().__init__(command, arguments, env=env, preexec_fn=in_the_new_process, maxread=_READ, **given)
        # It is closed when the process has ended; there is nothing to wait for.
        self.ptyproc.delayafterclose = 0

    def read_nonblocking(self, *args: Any, **given: Any) -> str:
        """What is there to be read."""
        if self._before.tell() > _READ:
            kept = self._before.getvalue()[-MARGIN:]
            self._before = StringIO()
            self._before.write(kept)
        return str(super().read_nonblocking(*args, **given))


class Events(OutputEventFilter):  # type: ignore[misc]
    """ansible-runner's reader of events.

    Whatever a host makes Ansible print may look like an event. All that is taken from the stream is an event's id, of
    its one possible form; what the event says lies in a file in the run's folder, which nobody on the host can write,
    and which has to be there.
    """

    _buffer: StringIO

    def __init__(self, folder: Path, *args: Any, **given: Any) -> None:
        super().__init__(*args, **given)
        self._folder = folder

    def write(self, data: str) -> None:
        """Take what was printed next."""
        super().write(data)
        if self._buffer.tell() > 4 * (KEPT + MARGIN):
            value = self._buffer.getvalue()
            self._buffer = StringIO()
            self._buffer.write(value[: KEPT + MARGIN] + SEAM + value[-(KEPT + MARGIN) :])

    def _emit_event(self, buffered_stdout: str, next_event_data: dict[str, Any] | None = None) -> dict[str, Any]:
        uuid = str((next_event_data or {}).get("uuid"))
        believed = {"uuid": uuid} if self._is_believed(uuid) else {}
        event: dict[str, Any] = super()._emit_event(buffered_stdout, believed)
        return event

    def _is_believed(self, uuid: str) -> bool:
        file = self._folder / f"{uuid}-partial.json"
        return bool(_UUID.fullmatch(uuid)) and file.is_file() and file.stat().st_size <= EVENT_LIMIT_BYTES
