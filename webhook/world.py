"""What the flows need from the world, as Protocols and plain records: playbooks, probes, Alertmanagers, people."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from webhook.core.alert import Alert
from webhook.core.confinement import Confinement, Secrets
from webhook.core.httpconfig import Server
from webhook.core.probe import Probe
from webhook.core.run import ProbeAnswer as ProbeAnswer
from webhook.core.run import TaskCounts as TaskCounts
from webhook.core.transcript import Passage


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
    #: The folder that it was found below.
    playbooks: Path
    #: Absolute; any inventory that Ansible reads.
    inventory: Path
    #: Equals one inventory host name.
    target: str
    #: The step's vars, top-level in Ansible. A string of type `Untrusted` holds a stranger's words.
    variables: Mapping[str, object]
    #: Becomes the variable `alertmend`; every string below it is a stranger's.
    alertmend: Mapping[str, object]
    timeout: timedelta
    #: Regular expressions; what they match is taken out of all that the playbook says before it leaves the run.
    redact: tuple[str, ...] = ()
    #: Ansible's check mode with differences shown: nothing is changed.
    check: bool = False
    confinement: Confinement = Confinement()
    secrets: Secrets = Secrets()


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


class PlaybookRunner(Protocol):
    """Runs playbooks; leaves no process and no file behind, however the run ends."""

    def run(
        self, job: PlaybookJob, *, is_cancelled: Callable[[], bool], hear: Callable[[Passage], None]
    ) -> PlaybookResult:
        """The result of one run; blocks until its whole process tree is gone. Never raises for what Ansible does.

        `hear` gets what is printed and what becomes of tasks, at once, without control characters, and bounded each.
        """
        ...


class Prober(Protocol):
    """Asks the world."""

    def ask(self, probe: Probe) -> ProbeAnswer:
        """One answer, after at most `probe.timeout`. What goes wrong is an answer too, never an error."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Alertmanager:
    """One of a cluster, or the only one."""

    server: Server
    #: The name, in its configuration, of the receiver through which it notifies us.
    receiver: str = "alertmend"


class KnownState(StrEnum):
    """What an Alertmanager does about an alert that fires."""

    ACTIVE = "active"
    #: Silenced, inhibited or muted.
    SUPPRESSED = "suppressed"
    #: It has yet to look at it, as just after its start.
    UNPROCESSED = "unprocessed"


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownAlert:
    """An alert that fires, as Alertmanager's API tells it."""

    alert: Alert
    state: KnownState
    #: In words: `silence 3f2…`, `inhibited by 9ab…`, `muted by freeze`.
    suppressed_by: tuple[str, ...]
    #: The names of all receivers that its routes lead to.
    receivers: tuple[str, ...]
    #: The receiver through which Alertmanager notifies us is one of them.
    is_ours: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What fires, as far as the Alertmanagers that answered know."""

    #: By fingerprint. Active for one of them counts for more than suppressed for another.
    alerts: Mapping[str, KnownAlert]
    #: URLs of those that answered. With none of them nothing is known: `alerts` is empty then, too.
    answered: tuple[str, ...]
    #: Why the others did not, by URL.
    silent: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Posted:
    """Who took what was posted."""

    #: URLs. One of them is enough.
    taken_by: tuple[str, ...]
    #: Why the others did not, by URL.
    failures: Mapping[str, str] = field(default_factory=dict)


class Alertmanagers(Protocol):
    """Knows what fires, and takes alerts. Never raises for what the Alertmanagers do."""

    def alerts(self, *, matchers: Sequence[str] = ()) -> Answer:
        """What fires now and fits all matchers, asked of all of them side by side, in a few seconds at the most."""
        ...

    def started_at(self) -> datetime | None:
        """When the youngest of those that answer was started; None when none says so."""
        ...

    def post(self, alerts: Sequence[Mapping[str, object]]) -> Posted:
        """Hands alerts, in the words of their API, to all of them: that is how a cluster wants it."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Paged:
    """How a page went."""

    was_taken: bool
    #: One sentence; holds nothing of the URL, which may be a secret.
    words: str


class Pager(Protocol):
    """Calls people."""

    def post(self, url: str, body: Mapping[str, object]) -> Paged:
        """One POST of JSON, once, within a few seconds. Never raises for what the other side does."""
        ...
