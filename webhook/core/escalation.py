"""Escalations: handing an incident to people, step by step, until one of them or a resolve ends it.

How a step is told is the edges' affair.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from webhook.core.run import Word

#: The alert that people get. No rule of ours ever takes it.
ALERTNAME = "RemediationFailed"
#: Marks every alert that is about alertmend itself.
OWN_LABEL = "alertmend"
#: An alert that is kept firing is sent again this often, and would end by itself after `EXPIRES`.
REFRESH = timedelta(minutes=1)
EXPIRES = timedelta(minutes=5)
FIRST_RETRY, LONGEST_RETRY = timedelta(seconds=5), timedelta(minutes=5)


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertmanagerStep:
    """An alert in every Alertmanager, kept firing."""

    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookStep:
    """One JSON document, posted. One of the two says where."""

    url: str = ""
    url_file: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitStep:
    """Nothing, unless someone or a resolve ends it before."""

    wait: timedelta


ChainStep = AlertmanagerStep | WebhookStep | WaitStep


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """The steps of an escalation, as they are configured."""

    name: str
    steps: tuple[ChainStep, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Escalation:
    """One incident, or one storm, in the hands of people."""

    id: str
    #: The name of its chain.
    chain: str
    rule: str
    target: str
    incident: str | None
    outcome: str
    reason: str
    #: Those of the alert behind it.
    labels: Mapping[str, str]
    started_at: datetime
    #: The next step, from 0, and since when it is the next.
    step: int = 0
    step_since: datetime
    #: Failures of this step in a row, and what was said at the last.
    failures: int = 0
    error: str = ""
    #: Steps that put an alert into Alertmanager, which is kept firing.
    alerting: tuple[int, ...] = ()
    refreshed_at: datetime | None = None
    #: A person who took it over, or the resolve.
    ended: Word | None = None

    @property
    def is_unheard(self) -> bool:
        """Whether its step was tried, and reached nobody yet."""
        return self.failures > 0 and self.ended is None


@dataclass(frozen=True, slots=True, kw_only=True)
class Todo:
    """What is to be done for an escalation now, and when to look again."""

    tell: AlertmanagerStep | WebhookStep | None = None
    #: Alerts to send again; when the escalation has ended, to resolve.
    refresh: tuple[AlertmanagerStep, ...] = ()
    #: None: never.
    again_at: datetime | None = None


def todo(escalation: Escalation, chain: Chain, now: datetime) -> Todo:
    """What is to be done at `now`."""
    alerts = tuple(
        step
        for number in escalation.alerting
        if number < len(chain.steps) and isinstance(step := chain.steps[number], AlertmanagerStep)
    )
    if escalation.ended is not None:
        return Todo(refresh=alerts)
    refresh_at = escalation.refreshed_at + REFRESH if alerts and escalation.refreshed_at else None
    refresh = alerts if refresh_at is not None and refresh_at <= now else ()
    tell_at = _tell_at(escalation, chain)
    if tell_at is not None and tell_at <= now:
        step = chain.steps[escalation.step]
        if not isinstance(step, WaitStep):
            return Todo(tell=step, refresh=refresh, again_at=now)
    times = [at for at in (tell_at, now + REFRESH if refresh else refresh_at) if at is not None]
    return Todo(refresh=refresh, again_at=min(times, default=None))


def passed_waits(escalation: Escalation, chain: Chain, now: datetime) -> Escalation:
    """The escalation with every wait behind it that is over."""
    while escalation.step < len(chain.steps):
        step = chain.steps[escalation.step]
        if not isinstance(step, WaitStep) or escalation.step_since + step.wait > now:
            break
        escalation = replace(escalation, step=escalation.step + 1, step_since=escalation.step_since + step.wait)
    return escalation


def told(escalation: Escalation, step: ChainStep, *, now: datetime) -> Escalation:
    """The step was taken; the next one is up."""
    alerts = isinstance(step, AlertmanagerStep)
    return replace(
        escalation,
        step=escalation.step + 1,
        step_since=now,
        failures=0,
        error="",
        alerting=(*escalation.alerting, escalation.step) if alerts else escalation.alerting,
        refreshed_at=now if alerts else escalation.refreshed_at,
    )


def failed(escalation: Escalation, words: str, *, now: datetime) -> Escalation:
    """The step could not be taken; it is tried again, after longer and longer pauses."""
    return replace(escalation, failures=escalation.failures + 1, error=words, step_since=now)


def is_worth_telling(failures: int) -> bool:
    """Every failure is a log line; the first, second, fourth, eighth … also stand in the audit log."""
    return failures & (failures - 1) == 0


def _tell_at(escalation: Escalation, chain: Chain) -> datetime | None:
    if escalation.step >= len(chain.steps):
        return None
    step = chain.steps[escalation.step]
    if isinstance(step, WaitStep):
        return escalation.step_since + step.wait
    if not escalation.failures:
        return escalation.step_since
    pause: timedelta = FIRST_RETRY * 2 ** min(escalation.failures - 1, 10)
    return escalation.step_since + min(LONGEST_RETRY, pause)
