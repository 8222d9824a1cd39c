"""What stands open: a rule on a target, what was attempted for it, and what it waits for."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from webhook.core.run import Outcome, Pair, RunState, Word


class ResolvedBy(StrEnum):
    """To whom the end of an incident is credited."""

    REMEDIATION = "remediation"
    ITSELF = "itself"
    #: Runs were made, none of them helped, and then it cleared.
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class LastRun:
    """The end of an incident's latest run."""

    id: str
    outcome: Outcome
    finished_at: datetime
    #: Who ended it: a person who said no or stop, or empty.
    ended_by: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalRequest:
    """What people are asked for an incident."""

    run: str
    step: int
    expires_at: datetime
    approvals: tuple[Word, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """What an incident waits for."""

    guard: str
    #: None: for another run to end.
    retry_at: datetime | None
    #: Fingerprint of the alert that is decided on when it comes due.
    alert: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """A rule on a target, open while any of the alerts behind it fires."""

    id: str
    rule: str
    target: str
    opened_at: datetime
    #: Fingerprints of the alerts that fire now.
    firing: tuple[str, ...]
    #: Fingerprints of every alert that was ever part of it, in order of arrival.
    alerts: tuple[str, ...]
    #: Runs that used up an attempt, the active one included.
    attempts: int = 0
    #: The active run, with its state.
    run: str | None = None
    run_state: RunState | None = None
    last_run: LastRun | None = None
    #: Every run, oldest first.
    runs: tuple[str, ...] = ()
    resolved_at: datetime | None = None
    resolved_by: ResolvedBy | None = None
    hold: Hold | None = None
    #: Set while its run awaits approval.
    request: ApprovalRequest | None = None
    #: The inventory group whose sick hosts it counts among; empty when they are not counted.
    group: str = ""
    #: The run that had fixed the same target less than a cooldown before.
    came_back_after: str | None = None
    #: Its run opened the rule's breaker: no further step is tried, but for the playbook of `give_up`.
    broke: bool = False
    #: Why people were called; empty while they were not.
    handed_over: str = ""
    #: The span in which it was opened, as W3C Trace Context writes it; empty without traces.
    traceparent: str = ""

    @property
    def pair(self) -> Pair:
        """The rule on the target that this incident is."""
        return Pair(self.rule, self.target)

    @property
    def is_open(self) -> bool:
        """Not yet resolved."""
        return self.resolved_at is None

    @property
    def progress(self) -> tuple[bool, int, bool, int]:
        """Never becomes less: of two states of an incident the one with less was before the other."""
        return (not self.is_open, len(self.runs), self.run is None, len(self.alerts))
