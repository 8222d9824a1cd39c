"""What is remembered between two decisions, and a draft of its next version.

Where it is kept is the store's affair; how it changes is `transition`'s.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import datetime

from webhook.core.alert import Alert, AlertStatus
from webhook.core.audit import AuditEvent
from webhook.core.breaker import BreakerState
from webhook.core.due import DueKey
from webhook.core.escalation import Escalation
from webhook.core.incident import Incident
from webhook.core.pause import Pause
from webhook.core.run import Pair, Run
from webhook.core.storm import Crowd, StormState
from webhook.core.transcript import Passage
from webhook.core.verdict import Decision


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertState:
    """The latest word on one alert."""

    alert: Alert
    received_at: datetime
    #: The external URL of the Alertmanager that said it.
    source: str
    #: The incident that it belongs to.
    incident: str
    rule: str
    target: str
    #: Since when it fires, as far as anybody saw.
    since: datetime
    #: Fingerprints of those that fire and differ from it in nothing but labels that are ignored.
    copies: tuple[str, ...] = ()
    #: By what Alertmanager keeps it from people; empty while it does not.
    suppressed_by: str = ""
    #: Alertmanager did not have it when it was last asked.
    is_missed: bool = False

    @property
    def pair(self) -> Pair:
        """The rule on the target that it counts for."""
        return Pair(self.rule, self.target)

    @property
    def is_firing(self) -> bool:
        """Whether the latest word was that it fires."""
        return self.alert.status is AlertStatus.FIRING


@dataclass(frozen=True, slots=True, kw_only=True)
class PairState:
    """What a rule has done on a target."""

    incident: Incident | None = None
    last_finished_at: datetime | None = None
    #: The latest run, if it helped.
    last_helped: str | None = None
    #: When its latest runs were claimed, oldest first; as many as the rate limit needs.
    starts: tuple[datetime, ...] = ()
    #: The line in which it waits, or last waited.
    line: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetState:
    """What happens on a target."""

    #: The run that holds it.
    lock: str | None = None
    last_finished_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Activity:
    """What runs, and what ran of late: for one rule, or for all of them."""

    active: tuple[str, ...] = ()
    starts: tuple[datetime, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """What to read. Targets, rules and breakers follow from the pairs; the whole and the pauses are always read."""

    alerts: frozenset[str] = frozenset()
    pairs: frozenset[Pair] = frozenset()
    runs: frozenset[str] = frozenset()
    locks: frozenset[str] = frozenset()
    crowds: frozenset[Crowd] = frozenset()
    escalations: frozenset[str] = frozenset()

    def __or__(self, other: Keys) -> Keys:
        return Keys(**{field.name: getattr(self, field.name) | getattr(other, field.name) for field in fields(Keys)})


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """What was remembered at one revision; what is absent was never heard of."""

    revision: int
    alerts: Mapping[str, AlertState] = field(default_factory=dict)
    pairs: Mapping[Pair, PairState] = field(default_factory=dict)
    targets: Mapping[str, TargetState] = field(default_factory=dict)
    rules: Mapping[str, Activity] = field(default_factory=dict)
    runs: Mapping[str, Run] = field(default_factory=dict)
    breakers: Mapping[str, BreakerState] = field(default_factory=dict)
    #: The run that holds a lock.
    locks: Mapping[str, str] = field(default_factory=dict)
    crowds: Mapping[Crowd, StormState] = field(default_factory=dict)
    escalations: Mapping[str, Escalation] = field(default_factory=dict)
    pauses: tuple[Pause, ...] = ()
    everything: Activity = Activity()


@dataclass(slots=True, kw_only=True)
class Draft:
    """The next version of a snapshot, while it is being written; committed as one, or not at all."""

    revision: int
    alerts: dict[str, AlertState]
    pairs: dict[Pair, PairState]
    targets: dict[str, TargetState]
    rules: dict[str, Activity]
    runs: dict[str, Run]
    breakers: dict[str, BreakerState]
    locks: dict[str, str]
    crowds: dict[Crowd, StormState]
    escalations: dict[str, Escalation]
    pauses: tuple[Pause, ...]
    everything: Activity
    #: Hosts that are about to be reported sick, by the crowd they belong to: the whole notification counts at once.
    coming: dict[Crowd, set[str]] = field(default_factory=dict)
    #: What differs from the snapshot.
    touched: set[tuple[str, object]] = field(default_factory=set)
    #: When to look again; None takes it off the list.
    due: dict[DueKey, datetime | None] = field(default_factory=dict)
    #: Pairs that wait in a line, by the time their incident opened; None takes one out of the line.
    lines: dict[tuple[str, Pair], datetime | None] = field(default_factory=dict)
    #: Runs that a worker shall be called for, and plans that one shall try without doing them.
    doorbells: list[str] = field(default_factory=list)
    plans: list[str] = field(default_factory=list)
    #: What playbooks said, by run.
    transcripts: dict[str, tuple[Passage, ...]] = field(default_factory=dict)
    #: What goes into the ledger, in order.
    events: list[AuditEvent] = field(default_factory=list)
    #: Incidents whose record changed, open or just resolved, with a decision that changed what is done about them.
    incidents: dict[str, tuple[Incident, Decision | None]] = field(default_factory=dict)

    @classmethod
    def of(cls, snapshot: Snapshot) -> Draft:
        """A draft that says what the snapshot says."""
        return cls(
            revision=snapshot.revision,
            alerts=dict(snapshot.alerts),
            pairs=dict(snapshot.pairs),
            targets=dict(snapshot.targets),
            rules=dict(snapshot.rules),
            runs=dict(snapshot.runs),
            breakers=dict(snapshot.breakers),
            locks=dict(snapshot.locks),
            crowds=dict(snapshot.crowds),
            escalations=dict(snapshot.escalations),
            pauses=snapshot.pauses,
            everything=snapshot.everything,
        )

    def pair(self, pair: Pair) -> PairState:
        """What the rule has done on the target."""
        return self.pairs.get(pair, PairState())

    def target(self, name: str) -> TargetState:
        """What happens on the target."""
        return self.targets.get(name, TargetState())

    def rule(self, name: str) -> Activity:
        """What the rule does everywhere."""
        return self.rules.get(name, Activity())

    def put_alert(self, fingerprint: str, state: AlertState) -> None:
        """Remember the latest word on an alert."""
        self.alerts[fingerprint] = state
        self.touched.add(("alert", fingerprint))

    def put_pair(self, pair: Pair, state: PairState) -> None:
        """Remember what a rule has done on a target."""
        self.pairs[pair] = state
        self.touched.add(("pair", pair))

    def put_incident(self, incident: Incident, decision: Decision | None = None) -> None:
        """Remember an incident; once resolved, its pair is free for the next."""
        known = self.incidents.get(incident.id, (incident, None))[1]
        self.incidents[incident.id] = (incident, decision or known)
        kept = incident if incident.is_open else None
        self.put_pair(incident.pair, replace(self.pair(incident.pair), incident=kept))

    def put_target(self, name: str, state: TargetState) -> None:
        """Remember what happens on a target."""
        self.targets[name] = state
        self.touched.add(("target", name))

    def put_rule(self, name: str, activity: Activity) -> None:
        """Remember what a rule does."""
        self.rules[name] = activity
        self.touched.add(("rule", name))

    def put_everything(self, activity: Activity) -> None:
        """Remember what all rules do together."""
        self.everything = activity
        self.touched.add(("everything", ""))

    def put_run(self, run: Run) -> None:
        """Remember a run."""
        self.runs[run.id] = run
        self.touched.add(("run", run.id))

    def breaker(self, rule: str) -> BreakerState:
        """What the rule's breaker remembers."""
        return self.breakers.get(rule, BreakerState())

    def put_breaker(self, rule: str, state: BreakerState) -> None:
        """Remember what a rule's breaker remembers."""
        if state != self.breaker(rule):
            self.breakers[rule] = state
            self.touched.add(("breaker", rule))

    def crowd(self, crowd: Crowd) -> StormState:
        """How many of its hosts are sick."""
        return self.crowds.get(crowd, StormState())

    def put_crowd(self, crowd: Crowd, state: StormState) -> None:
        """Remember how many of its hosts are sick."""
        self.crowds[crowd] = state
        self.touched.add(("crowd", crowd))

    def put_lock(self, key: str, run: str | None) -> None:
        """Let a run hold a lock; None: nobody."""
        if run is None:
            self.locks.pop(key, None)
        else:
            self.locks[key] = run
        self.touched.add(("lock", key))

    def put_escalation(self, escalation: Escalation) -> None:
        """Remember what people are told."""
        self.escalations[escalation.id] = escalation
        self.touched.add(("escalation", escalation.id))

    def put_pauses(self, pauses: tuple[Pause, ...]) -> None:
        """Remember what is paused."""
        self.pauses = pauses
        self.touched.add(("pauses", ""))

    def stand(self, pair: Pair, line: str | None, *, since: datetime) -> None:
        """Let a pair wait in a line, and in no other; None: in none."""
        state = self.pair(pair)
        if state.line is not None and state.line != line:
            self.lines[state.line, pair] = None
        if line is not None:
            self.lines[line, pair] = since
        if state.line != line:
            self.put_pair(pair, replace(state, line=line))
