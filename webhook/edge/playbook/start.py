"""What a new process of a run does before it becomes Ansible."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from webhook.edge.playbook.confine import limit_this_process
from webhook.edge.playbook.warm import Warm
from webhook.process import end_with_parent

#: In the run's folder: why Ansible was started cold though it should not have been.
_NOTE: Final = "cold"


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """Ends with the supervisor, whatever becomes of that, keeps the limits, and starts from warm where it can."""

    folder: Path
    #: The process that forks this one.
    supervisor: int
    limits: Mapping[str, int]
    #: None: a cold start is wanted.
    warm: Warm | None

    def __call__(self, argv: Sequence[str], environment: Mapping[str, str]) -> None:
        """Returns when the command is to be started as any other."""
        end_with_parent(self.supervisor, by=signal.SIGKILL)
        limit_this_process(self.limits)
        program = shutil.which(argv[0], path=environment.get("PATH", os.defpath))
        if self.warm is None or argv[0] != "ansible-playbook" or program is None:
            return
        reason = self.warm.start([program, *argv[1:]], environment)
        (self.folder / _NOTE).write_text(reason)

    def note(self) -> str:
        """Why Ansible was started cold; empty when it was not, or was meant to be."""
        file = self.folder / _NOTE
        return file.read_text() if file.is_file() else ""
