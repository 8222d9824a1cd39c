"""The store and the ledger in memory. They pass the same contract tests as the real ones."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from pydantic import TypeAdapter

from webhook.core.alert import Alert
from webhook.core.audit import GENESIS, AuditEntry, AuditEvent, seal_all
from webhook.core.chain import first_break
from webhook.core.count import count
from webhook.core.due import pair_due
from webhook.core.incident import Incident
from webhook.core.metric import Counts
from webhook.core.pause import Pause, pauses_of
from webhook.core.run import Pair, Run
from webhook.core.state import Draft, Keys, Snapshot
from webhook.core.transcript import BEGINNING, Kind, Passage, Position, Told, tell_state
from webhook.ports import Batch, Doorbell, Envelope, Errand

ALERT = TypeAdapter(Alert)

#: Where a draft has each kind of record.
PLACES = {
    "alert": "alerts",
    "pair": "pairs",
    "target": "targets",
    "rule": "rules",
    "breaker": "breakers",
    "run": "runs",
    "lock": "locks",
    "crowd": "crowds",
    "escalation": "escalations",
    "pauses": "pauses",
    "everything": "everything",
}


@dataclass
class MemoryStream:
    """What a run says."""

    events: dict[Position, Told] = field(default_factory=dict)
    last: Position = BEGINNING

    def add(self, told: Told) -> None:
        if told.position > self.last:
            self.events[told.position] = told
            self.last = told.position


@dataclass
class MemoryStore:
    """The store, as dictionaries."""

    revision: int = 0
    records: dict[tuple[str, object], Any] = field(default_factory=dict)
    due: dict[str, datetime] = field(default_factory=dict)
    lines: dict[str, dict[Pair, datetime]] = field(default_factory=dict)
    inbox: dict[str, Envelope] = field(default_factory=dict)
    outbox: dict[str, Batch] = field(default_factory=dict)
    leases: dict[str, str] = field(default_factory=dict)
    streams: dict[str, MemoryStream] = field(default_factory=dict)
    rung: list[Doorbell] = field(default_factory=list)
    known_receivers: set[str] = field(default_factory=set)
    fresh: bool = True

    def put(self, notification: str, envelope: Envelope) -> None:
        self.inbox[notification] = envelope
        self.rung.append(Doorbell(errand=Errand.INTAKE, about=notification))

    def empty(self) -> None:
        """As after FLUSHALL."""
        self.__init__()  # type: ignore[misc]

    def read(self, keys: Keys) -> Snapshot:
        def found(kind: str, names: Any) -> Any:
            return {name: self.records[kind, name] for name in names if (kind, name) in self.records}

        rules = {pair.rule for pair in keys.pairs}
        snapshot = Snapshot(
            revision=self.revision,
            alerts=found("alert", keys.alerts),
            pairs=found("pair", keys.pairs),
            targets=found("target", {pair.target for pair in keys.pairs}),
            rules=found("rule", rules),
            breakers=found("breaker", rules),
            runs=found("run", keys.runs),
            locks=found("lock", keys.locks),
            crowds=found("crowd", keys.crowds),
            escalations=found("escalation", keys.escalations),
            pauses=self.records.get(("pauses", ""), ()),
        )
        everything = self.records.get(("everything", ""))
        return replace(snapshot, everything=everything) if everything else snapshot

    def commit(self, draft: Draft, *, batch: Batch | None = None, taken: str | None = None) -> bool:
        if draft.revision != self.revision:
            return False
        for kind, name in draft.touched:
            place = getattr(draft, PLACES[kind])
            record = place.get(name) if isinstance(place, dict) else place
            if record is None:
                self.records.pop((kind, name), None)
            else:
                self.records[kind, name] = record
            if kind == "run":
                run = draft.runs[str(name)]
                self.streams.setdefault(run.id, MemoryStream()).add(tell_state(run))
        for due, at in draft.due.items():
            self._set_due(due, at)
        for (line, pair), since in draft.lines.items():
            waiting = self.lines.setdefault(line, {})
            if since is None:
                waiting.pop(pair, None)
            else:
                waiting[pair] = since
        if batch is not None:
            self.outbox[batch.id] = batch
        if taken is not None:
            self.inbox.pop(taken, None)
        self.revision += 1
        return True

    def _set_due(self, due: str, at: datetime | None) -> None:
        if at is None:
            self.due.pop(due, None)
        elif due.startswith("line:"):
            self.due[due] = min(at, self.due.get(due, at))
        else:
            self.due[due] = at

    def envelope(self, notification: str) -> Envelope | None:
        return self.inbox.get(notification)

    def waiting_since(self, before: datetime, *, limit: int) -> list[str]:
        old = [(e.received_at, id) for id, e in self.inbox.items() if e.received_at <= before]
        return [id for _, id in sorted(old)][:limit]

    def unconfirmed(self, *, limit: int) -> list[Batch]:
        return sorted(self.outbox.values(), key=lambda batch: batch.at)[:limit]

    def confirm(self, batch: Batch) -> None:
        self.outbox.pop(batch.id, None)
        self.ring([Doorbell(errand=Errand.EXECUTE, about=run) for run in batch.doorbells])
        self.ring([Doorbell(errand=Errand.PLAN, about=run) for run in batch.plans])

    def ring(self, doorbells: Sequence[Doorbell]) -> None:
        self.rung.extend(doorbells)

    def take_due(self, now: datetime, *, again_at: datetime, limit: int) -> list[str]:
        found = sorted((at, due) for due, at in self.due.items() if at <= now)[:limit]
        for _, due in found:
            self.due[due] = again_at
        return [due for _, due in found]

    def call_line(self, line: str, *, due: str, now: datetime, limit: int) -> int:
        waiting = self.lines.setdefault(line, {})
        called = sorted(waiting, key=lambda pair: (waiting[pair], pair))[:limit]
        for place, pair in enumerate(called):
            del waiting[pair]
            self.due[pair_due(pair)] = now - timedelta(milliseconds=len(called) - place)
        self.due.pop(due, None)
        if len(called) == limit:
            self.due[due] = now + timedelta(seconds=1)
        return len(called)

    def know_receiver(self, name: str) -> None:
        self.known_receivers.add(name)

    def receivers(self) -> frozenset[str]:
        return frozenset(self.known_receivers)

    def is_fresh(self) -> bool:
        return self.fresh

    def settle(self) -> None:
        self.fresh = False

    def open_pairs(self) -> list[Pair]:
        return [name for (kind, name), state in self.records.items() if kind == "pair" and state.incident]  # type: ignore[misc]

    def forget_due(self, due: str) -> None:
        self.due.pop(due, None)

    def tell(self, run: str, events: Sequence[Told], *, left_out: Sequence[Position]) -> None:
        if stream := self.streams.get(run):
            for told in events:
                stream.add(told)
            for position in left_out:
                stream.events.pop(position, None)

    def told(self, run: str) -> tuple[Passage, ...]:
        events = self.streams[run].events.values() if run in self.streams else ()
        return tuple(
            Passage(number=told.position.number, **told.data)  # type: ignore[arg-type]
            for told in events
            if told.kind in (Kind.OUTPUT, Kind.TASK)
        )

    def renew(self, runs: Sequence[str], *, owner: str, lease: timedelta) -> None:
        self.leases.update(dict.fromkeys(runs, owner))

    def without_lease(self, runs: Sequence[str]) -> list[str]:
        return [run for run in runs if run not in self.leases]


@dataclass
class MemoryLedger:
    """The ledger, as lists."""

    entries: list[AuditEntry] = field(default_factory=list)
    events: list[AuditEvent] = field(default_factory=list)
    seen: dict[str, datetime] = field(default_factory=dict)
    runs: dict[str, Run] = field(default_factory=dict)
    incidents: dict[str, Any] = field(default_factory=dict)
    transcripts: dict[str, tuple[Passage, ...]] = field(default_factory=dict)
    counts: Counts = field(default_factory=dict)
    fails: Callable[[], None] = lambda: None

    def append(self, batch: Batch) -> bool:
        self.fails()
        if batch.id in self.seen:
            return not batch.events or self.seen[batch.id] == batch.events[-1].at
        self.seen[batch.id] = batch.events[-1].at if batch.events else batch.at
        last = self.entries[-1] if self.entries else None
        plain = [replace(event, body={}) for event in batch.events]
        self.entries += seal_all(plain, seq=len(self.entries), previous_hash=last.hash if last else GENESIS)
        self.events += deepcopy(batch.events)
        _go_on(self.runs, batch.runs)
        self.transcripts.update(batch.transcripts)
        incidents = [record.incident for record in batch.incidents]
        _go_on(self.incidents, incidents)
        for series, value in count(batch.events, incidents=incidents, runs=batch.runs).items():
            self.counts[series] = self.counts.get(series, 0) + value
        return True

    def ready(self) -> None:
        self.fails()

    def run(self, id: str) -> Run | None:
        return self.runs.get(id)

    def unfinished_runs(self) -> list[Run]:
        return [run for run in self.runs.values() if run.outcome is None]

    def pauses(self) -> tuple[Pause, ...]:
        return pauses_of(self.events)

    def open_incidents(self) -> list[tuple[Incident, tuple[Alert, ...]]]:
        return [(found, self._alerts_of(found)) for found in self.incidents.values() if found.is_open]

    def _alerts_of(self, incident: Incident) -> tuple[Alert, ...]:
        bodies = [event.body for event in self.events if event.incident == incident.id and event.decision]
        alerts = [ALERT.validate_python(body["alert"]) for body in bodies]
        return tuple({alert.fingerprint: alert for alert in alerts if alert.fingerprint in incident.firing}.values())

    @property
    def holds(self) -> bool:
        return first_break(self.entries) is None


def _go_on(known: dict[str, Any], found: Iterable[Any]) -> None:
    """What is further on than what is known takes its place."""
    for record in found:
        if record.id not in known or record.progress >= known[record.id].progress:
            known[record.id] = record
