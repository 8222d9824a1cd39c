"""One attempt to mend one incident: what it did, what was seen, and how it ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from webhook.core.verdict import Check


class Pair(NamedTuple):
    """A rule on a target: what an incident, a cooldown and a rate limit are about."""

    rule: str
    target: str


class RunState(StrEnum):
    """Where a run is."""

    #: It is a plan that people are asked about, and holds nothing.
    AWAITING_APPROVAL = "awaiting_approval"
    QUEUED = "queued"
    RUNNING = "running"
    #: It acted and was probed; it waits for the alerts to resolve and holds no worker.
    PROVING = "proving"
    FINISHED = "finished"


class Outcome(StrEnum):
    """How a run ended."""

    #: A probe or the resolve proved it.
    FIXED = "fixed"
    #: It ran well, and the rule asks for no proof.
    UNPROVED = "unproved"
    INEFFECTIVE = "ineffective"
    FAILED = "failed"
    #: The probe found the target healthy, so nothing was done.
    NOT_NEEDED = "not_needed"
    #: It never acted, or was told to stop.
    CANCELLED = "cancelled"
    #: Its worker vanished.
    LOST = "lost"
    #: A person said no.
    REJECTED = "rejected"

    @property
    def uses_up_attempt(self) -> bool:
        """The step was tried, and is not tried again."""
        return self not in (Outcome.NOT_NEEDED, Outcome.CANCELLED, Outcome.REJECTED)

    @property
    def did_not_help(self) -> bool:
        """It used up an attempt and left the incident as it was."""
        return self in (Outcome.INEFFECTIVE, Outcome.FAILED, Outcome.LOST)


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskCounts:
    """Ansible's own statistics for the target."""

    ok: int = 0
    changed: int = 0
    failed: int = 0
    unreachable: int = 0
    skipped: int = 0


class Phase(StrEnum):
    """When a probe was asked."""

    #: What has to hold for anything to be done.
    REQUIRE = "require"
    BEFORE = "before"
    AFTER = "after"


class TaskStatus(StrEnum):
    """What became of a task."""

    OK = "ok"
    CHANGED = "changed"
    FAILED = "failed"
    SKIPPED = "skipped"
    UNREACHABLE = "unreachable"


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskResult:
    """What became of one task on one host, in Ansible's words; not to be trusted, for they can be forged."""

    name: str
    host: str
    status: TaskStatus
    #: The playbook goes on after its failure.
    ignored: bool = False
    started_at: datetime
    duration_seconds: float
    #: Why it failed.
    words: str = ""
    #: What it changed, where the module tells; cut when it is long.
    diff: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeAnswer:
    """One answer of the world to a probe."""

    at: datetime
    healthy: bool
    #: What was seen: a status, an exit code, an error.
    words: str
    latency_seconds: float
    #: False: whoever was asked about the target could not say, so it is neither healthy nor known to be sick.
    known: bool = True
    phase: Phase | None = None
    #: The kind of the probe, and what it asked.
    kind: str = ""
    asked: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """What a person said."""

    by: str
    at: datetime
    comment: str
    #: The pause through which it was said; empty for a word on this one thing.
    pause: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What people are asked to approve."""

    #: The step's vars with every placeholder replaced.
    vars: Mapping[str, object] = field(default_factory=dict)
    #: What `--check --diff` said; empty until it was asked.
    output: str = ""
    #: One sentence: what would change, or why that cannot be told.
    summary: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How a run ended, or will once it was compensated for."""

    outcome: Outcome
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollback:
    """The compensation for a step that failed or did not help."""

    playbook: str
    succeeded: bool
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One attempt to mend one incident."""

    id: str
    incident: str
    rule: str
    target: str
    #: Which rung of the rule's ladder, from 1.
    step: int
    playbook: str
    state: RunState
    outcome: Outcome | None = None
    #: One sentence: why it ended so.
    reason: str = ""
    created_at: datetime
    #: When it was claimed, which spends a token of every rate limit.
    queued_at: datetime | None = None
    started_at: datetime | None = None
    #: When its playbook was begun; until then it has touched nothing.
    acted_at: datetime | None = None
    #: When Ansible began its first task.
    first_task_at: datetime | None = None
    #: Since when it waits for the resolve.
    proving_at: datetime | None = None
    finished_at: datetime | None = None
    attempt: int
    #: Fingerprints of the alerts that it acts for; the one that was decided on comes first.
    alerts: tuple[str, ...]
    checks: tuple[Check, ...] = ()
    probes: tuple[ProbeAnswer, ...] = ()
    tasks: TaskCounts | None = None
    #: The first and the last tasks, in order.
    task_results: tuple[TaskResult, ...] = ()
    #: What the playbook set as `alertmend_result`.
    result: Mapping[str, object] = field(default_factory=dict)
    #: The worker that started it.
    owner: str = ""
    #: What it holds besides its target.
    locks: tuple[str, ...] = ()
    #: Until when it may be approved; None for one that needs no approval.
    expires_at: datetime | None = None
    plan: Plan | None = None
    approvals: tuple[Word, ...] = ()
    #: Who told it to stop.
    cancelled: Word | None = None
    #: How it would have ended, while it is compensated for.
    ending: Ending | None = None
    rollback: Rollback | None = None
    #: That of its incident.
    traceparent: str = ""

    @property
    def machine(self) -> str:
        """The name of the machine on which its worker started it."""
        return self.owner.partition(":")[0]

    @property
    def is_active(self) -> bool:
        """It holds its target and counts as under way."""
        return self.state in (RunState.QUEUED, RunState.RUNNING)

    @property
    def progress(self) -> tuple[bool, bool, int]:
        """Never becomes less: of two states of a run the one with less was before the other."""
        return (self.state is RunState.FINISHED, self.ending is not None, list(RunState).index(self.state))

    @property
    def pair(self) -> Pair:
        """The rule on the target that this run is about."""
        return Pair(self.rule, self.target)
