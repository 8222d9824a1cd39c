"""What the flows need from the world, as Protocols and the plain records that pass through them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from webhook.core.alert import Alert
from webhook.core.audit import AuditEvent
from webhook.core.checkpoint import Checkpoint
from webhook.core.confinement import Confinement, Secrets
from webhook.core.httpconfig import Server
from webhook.core.incident import Incident
from webhook.core.pause import Pause
from webhook.core.probe import Probe
from webhook.core.run import Pair, Run
from webhook.core.run import ProbeAnswer as ProbeAnswer
from webhook.core.run import TaskCounts as TaskCounts
from webhook.core.state import Draft, Keys, Snapshot
from webhook.core.transcript import Passage, Position, Told
from webhook.core.verdict import Decision


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """A notification as it lies in the inbox."""

    received_at: datetime
    #: Who sent it: the name of a user or of a token.
    sender: str
    #: The JSON that was received.
    body: str
    #: The span in which it was received, as W3C Trace Context writes it; empty without traces.
    traceparent: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class IncidentRecord:
    """An incident, and the decision that says what is done about it when it has changed."""

    incident: Incident
    decision: Decision | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What one transaction puts into the ledger."""

    #: The same batch written twice leaves one trace.
    id: str
    at: datetime
    events: tuple[AuditEvent, ...]
    incidents: tuple[IncidentRecord, ...] = ()
    runs: tuple[Run, ...] = ()
    #: What playbooks said, by run.
    transcripts: Mapping[str, tuple[Passage, ...]] = field(default_factory=dict)
    #: Runs to call a worker for, and plans to have tried, once it is written.
    doorbells: tuple[str, ...] = ()
    plans: tuple[str, ...] = ()


class Errand(StrEnum):
    """What a worker is called for; each is a Celery task."""

    INTAKE = "intake"
    RECONSIDER = "reconsider"
    EXECUTE = "execute"
    #: Try what people are asked to approve, without doing it.
    PLAN = "plan"


@dataclass(frozen=True, slots=True, kw_only=True)
class Doorbell:
    """A call to a worker: an errand and the id that it is about, nothing else."""

    errand: Errand
    about: str


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


class Store(Protocol):
    """Remembers the state; every call is atomic, and raises `Unavailable` when it cannot answer."""

    def read(self, keys: Keys) -> Snapshot:
        """What is remembered under `keys`, all of it at one revision."""
        ...

    def commit(self, draft: Draft, *, batch: Batch | None = None, taken: str | None = None) -> bool:
        """Whether the draft became the state, as one with its batch in the outbox and `taken` out of the inbox.

        False when the revision has moved on: read again, decide again.
        """
        ...

    def envelope(self, notification: str) -> Envelope | None:
        """A notification as it was received; None when it was dealt with."""
        ...

    def waiting_since(self, before: datetime, *, limit: int) -> list[str]:
        """The oldest notifications that came in before a time."""
        ...

    def unconfirmed(self, *, limit: int) -> list[Batch]:
        """Batches that the ledger has yet to confirm."""
        ...

    def confirm(self, batch: Batch) -> None:
        """The ledger has the batch: forget it, and ring for its runs."""
        ...

    def ring(self, doorbells: Sequence[Doorbell]) -> None:
        """Call a worker for each; hearing it twice changes nothing."""
        ...

    def take_due(self, now: datetime, *, again_at: datetime, limit: int) -> list[str]:
        """What is due, earliest first; each comes again at `again_at`, unless someone deals with it."""
        ...

    def put(self, notification: str, envelope: Envelope) -> None:
        """Lay a notification into the inbox, and call for it."""
        ...

    def know_receiver(self, name: str) -> None:
        """Remember the name by which an Alertmanager calls us."""
        ...

    def receivers(self) -> frozenset[str]:
        """The names by which Alertmanagers have called us."""
        ...

    def open_pairs(self) -> list[Pair]:
        """The rules and targets with an open incident, in no order."""
        ...

    def is_fresh(self) -> bool:
        """Whether the store is new or was emptied, and nobody has settled in it since."""
        ...

    def settle(self) -> None:
        """What could be remembered again is: the store is not fresh any more."""
        ...

    def call_line(self, line: str, *, due: str, now: datetime, limit: int) -> int:
        """How many pairs of a waiting line are due now, first come first; the rest are called a second later."""
        ...

    def forget_due(self, due: str) -> None:
        """Take something off the due list."""
        ...

    def tell(self, run: str, events: Sequence[Told], *, left_out: Sequence[Position]) -> None:
        """Let those who follow a run hear events, in order, and late comers no more of those that are left out.

        What was told before, or comes after the run's end, is not told. A run's states are told as they are committed.
        """
        ...

    def told(self, run: str) -> tuple[Passage, ...]:
        """What a run's playbook said, as far as it was told."""
        ...

    def renew(self, runs: Sequence[str], *, owner: str, lease: timedelta) -> None:
        """Say that the runs' worker lives."""
        ...

    def without_lease(self, runs: Sequence[str]) -> list[str]:
        """The runs whose worker has not been heard of for the length of a lease."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Pulse:
    """What a worker says of itself, every few seconds."""

    role: str
    #: Host and process.
    owner: str
    at: datetime
    started_at: datetime
    #: What it decides by.
    revision: str
    #: Since when it is at the oldest of what it does now; None: it waits for work.
    busy_since: datetime | None = None
    #: Why the record would not take an entry from it; empty when it would.
    record: str = ""
    #: The first thing for which the files of its machine cannot be used; empty when they are.
    files: str = ""


#: The kinds of workers.
ROLES = ("intake", "runs")
#: Faults: the record did not take what a worker had for it; a sign of life did not arrive.
LEDGER_FAULT, HEARTBEAT_FAULT = "ledger", "heartbeat"


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What waits in the store, and what went wrong."""

    #: Notifications that nobody has dealt with, and when the oldest of them came.
    waiting: int
    oldest_at: datetime | None
    #: Batches that the ledger has yet to take.
    unsealed: int
    #: How often, by what.
    faults: Mapping[str, int] = field(default_factory=dict)
    #: Escalations that reach nobody, by rule.
    unheard: Mapping[str, int] = field(default_factory=dict)


class Follower(Protocol):
    """Hears what runs say, for all who follow them in one process; raises `Unavailable` when it cannot."""

    async def since(self, run: str, after: Position) -> list[Told]:
        """The next events of a run after a position; none when nothing came yet."""
        ...

    async def said(self, run: str) -> tuple[Passage, ...]:
        """What a run's playbook said so far."""
        ...

    def follow(self, run: str, after: Position) -> AbstractAsyncContextManager[None]:
        """Listen to a run, from a position on, for as long as this lasts."""
        ...

    async def news(self, run: str, after: Position, *, timeout_seconds: float) -> bool:
        """Whether something was told of a run that is followed, after a position, before the time was over."""
        ...


class Ledger(Protocol):
    """Keeps the audit log."""

    def append(self, batch: Batch) -> bool:
        """Seals the batch in one transaction; a batch that is there already changes nothing.

        False when another one, of another time, is there under its id: this one is not on the record.

        Raises:
            Unavailable: the database did not take it.
        """
        ...

    def ready(self) -> None:
        """Answers when an append would be taken now, as far as anyone can tell.

        Raises:
            Unavailable: it would not.
        """
        ...


class History(Protocol):
    """Remembers runs and incidents for good."""

    def open_incidents(self) -> list[tuple[Incident, tuple[Alert, ...]]]:
        """The incidents that have no end on the record, each with the latest word on the alerts behind it."""
        ...

    def run(self, id: str) -> Run | None:
        """A run as it is on the record; None when it is not."""
        ...

    def unfinished_runs(self) -> list[Run]:
        """The runs that were queued or begun, and have no end on the record."""
        ...

    def pauses(self) -> tuple[Pause, ...]:
        """The pauses that nobody has ended on the record; those whose time is over are among them."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruning:
    """What would be removed from the record, or was."""

    #: The first and the last entry of those.
    first_seq: int
    last_seq: int
    last_hash: str
    #: Everything before this time, in the ledger's spelling, and nothing that is still needed.
    before: str
    #: What keeps older entries from being removed; empty when nothing does.
    kept_for: str = ""

    @property
    def entries(self) -> int:
        """How many."""
        return self.last_seq - self.first_seq + 1


class Archive(Protocol):
    """The ledger as something that is kept for long."""

    def add_checkpoint(self, at: datetime, sign: Callable[[bytes], str] | None) -> Checkpoint | None:
        """A new checkpoint at the head; None when there is one already, or nothing to be at."""
        ...

    def prune(self, before: datetime, *, now: datetime, actor: str) -> Pruning:
        """What was pruned: an entry says so, and then it is removed."""
        ...

    def analyze(self) -> None:
        """Let the database count anew what its plans are made by."""
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
