"""What the flows remember with, as Protocols and the plain records that pass through them: the state and the record."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol

from webhook.core.alert import Alert
from webhook.core.audit import AuditEvent
from webhook.core.checkpoint import Checkpoint
from webhook.core.incident import Incident
from webhook.core.pause import Pause
from webhook.core.run import Pair, Run
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
