"""What the flows need from the world, as Protocols and the plain records that pass through them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from webhook.core.incident import ProbeAnswer as ProbeAnswer
from webhook.core.incident import TaskCounts as TaskCounts
from webhook.core.rule import Probe


class PlaybookEnd(StrEnum):
    """How a playbook came to its end."""

    OK = "ok"
    FAILED = "failed"
    TIMEOUT = "timeout"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaybookJob:
    """One playbook on exactly one host."""

    run: str
    #: Absolute; was found below the playbooks folder when the configuration was read.
    playbook: Path
    #: Absolute; any inventory that Ansible reads.
    inventory: Path
    #: Equals one inventory host name.
    target: str
    #: The step's vars, top-level in Ansible. A string of type `Untrusted` holds a stranger's words.
    variables: Mapping[str, object]
    #: Becomes the variable `alertmend`; every string below it is a stranger's.
    alertmend: Mapping[str, object]
    timeout: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaybookResult:
    """What the playbook did, taken from the return code together with the statistics."""

    end: PlaybookEnd
    #: One sentence for people: why it failed, or what was done.
    reason: str
    return_code: int | None
    tasks: TaskCounts = TaskCounts()
    #: When Ansible began its first task.
    first_task_at: datetime | None = None
    #: What the playbook set as `alertmend_result`.
    result: Mapping[str, object] = field(default_factory=dict)
    #: Standard output, cleaned of control characters; head and tail when it was long.
    output: str = ""


class PlaybookRunner(Protocol):
    """Runs playbooks; leaves no process and no file behind, however the run ends."""

    def run(self, job: PlaybookJob, *, is_cancelled: Callable[[], bool]) -> PlaybookResult:
        """The result of one run; blocks until its whole process tree is gone. Never raises for what Ansible does."""
        ...


class Prober(Protocol):
    """Asks the world."""

    def ask(self, probe: Probe) -> ProbeAnswer:
        """One answer, after at most `probe.timeout`. A probe that cannot be asked is a sick answer, never an error."""
        ...
