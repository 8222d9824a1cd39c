"""Every fact that the guards may use, as of one `now` and one revision."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

from webhook.core.breaker import BreakerState
from webhook.core.incident import ApprovalRequest, LastRun
from webhook.core.pause import Pause
from webhook.core.rule import Limits, Mode
from webhook.core.run import RunState
from webhook.core.schedule import NamedInterval
from webhook.core.target import Target


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What holds for every rule."""

    ceiling: Mode = Mode.AUTO
    limits: Limits = Limits()
    #: A notification that waited longer in the inbox is not acted on.
    max_queue_age: timedelta = timedelta(hours=1)
    time_intervals: Mapping[str, NamedInterval] = field(default_factory=dict)


class Firing(StrEnum):
    """What Alertmanager says of an alert when it is asked."""

    FIRING = "firing"
    #: It fires, and is silenced, inhibited or muted.
    SUPPRESSED = "suppressed"
    GONE = "gone"
    #: It did not answer.
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Alertmanager's word on one alert."""

    firing: Firing
    at: datetime
    #: What suppresses it, or why nothing is known.
    words: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Occasion:
    """Why an alert is decided on."""

    now: datetime
    #: When the notification came in; None when an incident came due by itself.
    received_at: datetime | None
    #: The Alertmanager that sent it.
    source: str
    #: The run that is about to start, for which it is asked again.
    run: str | None = None
    #: What Alertmanager said when it was asked, by fingerprint.
    reports: Mapping[str, Report] = field(default_factory=dict)
    #: Names all that it is decided by.
    revision: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenAlert:
    """The previous word on an alert."""

    is_firing: bool
    received_at: datetime
    ends_at: datetime | None
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenIncident:
    """What the guards may know of the open incident that an alert belongs to, or would join."""

    id: str
    rule: str
    target: str
    attempts: int
    run: str | None
    run_state: RunState | None
    last_run: LastRun | None
    request: ApprovalRequest | None = None
    #: Its run opened the rule's breaker.
    broke: bool = False
    #: Why people were called; empty while they were not.
    handed_over: str = ""


class HeldLock(NamedTuple):
    """What another run holds."""

    key: str
    run: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SickHosts:
    """How many hosts are sick for the same rule in the target's inventory group."""

    group: str
    hosts: int
    #: Hosts with an open incident, this one included.
    sick: int
    storm_since: datetime | None = None
    storm_ends_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What was known when an alert was decided on; stored with the decision, so that it can be decided again."""

    now: datetime
    received_at: datetime | None
    source: str
    #: The revision of the state that these facts were read from.
    revision: int
    #: Names all that it was decided by.
    rules: str = ""
    #: The run that is about to start; its own claims are not counted below.
    run: str | None = None
    target: Target
    #: Placeholders of the rule for which the alert has no label or annotation.
    missing: tuple[str, ...]
    #: Why one of the rule's probes cannot be asked about this alert; empty when it can.
    unfit: str = ""
    seen: SeenAlert | None
    #: Since when the alert fires, as far as anybody saw.
    firing_since: datetime
    #: What Alertmanager said when it was asked; None: it was not.
    report: Report | None = None
    incident: OpenIncident | None
    #: The longest pause that covers the alert.
    pause: Pause | None = None
    #: What the run needs and others hold, the target first.
    held: tuple[HeldLock, ...] = ()
    pair_finished_at: datetime | None
    target_finished_at: datetime | None
    #: The latest claims inside each rate limit's window, oldest first.
    pair_starts: tuple[datetime, ...]
    rule_starts: tuple[datetime, ...]
    all_starts: tuple[datetime, ...]
    rule_running: int
    running: int
    #: None: the rule does not ask.
    sick: SickHosts | None = None
    breaker: BreakerState = BreakerState()
