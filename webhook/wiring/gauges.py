"""What /metrics shows: what was counted on the record, and how things stand now."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from webhook import __version__
from webhook.checking import Checked, Checks
from webhook.core.breaker import BreakerState, Position
from webhook.core.count import CALLS, COUNTED, NOTIFICATIONS, OPENED, RESOLVED, RUNS
from webhook.core.metric import Counts, Kind, Metric, Series
from webhook.core.pause import Pause
from webhook.core.rule import Mode
from webhook.core.run import Outcome, Pair, RunState
from webhook.core.state import Keys, Snapshot
from webhook.edge.configfile import Config
from webhook.errors import Unavailable
from webhook.signs import HEARTBEAT_FAULT, LEDGER_FAULT, ROLES, Pulse, Standing
from webhook.wiring.kept import Reload


def _gauge(name: str, words: str, *labels: str) -> Metric:
    return Metric(name=name, words=words, labels=labels, kind=Kind.GAUGE)


BUILD = _gauge("alertmend_build_info", "1; the version of alertmend and of its Python.", "version", "python")
REVISION = _gauge("alertmend_config_info", "1; the revision in use: what stands in the files.", "revision")
RULES = _gauge("alertmend_config_rules", "Rules, by the mode that the ceiling leaves them.", "mode")
RELOADED = _gauge(
    "alertmend_config_last_reload_successful", "1 while the files were sound when they were last looked at, else 0."
)
RELOADED_AT = _gauge(
    "alertmend_config_last_reload_success_timestamp_seconds", "When the files were last found sound and taken over."
)
UP = _gauge(
    "alertmend_dependency_up",
    "1 when it can be written to, else 0; what it would have told is missing while it is away.",
    "dependency",
)
CHECK = _gauge("alertmend_check_ok", "1 when the check of /health was well when last asked, else 0.", "check")
OPEN = _gauge("alertmend_incidents_open", "Incidents that are open.", "rule")
IN_PROGRESS = _gauge("alertmend_runs_in_progress", "Runs that are queued, running or proving.", "rule", "state")
APPROVALS = _gauge("alertmend_approvals_waiting", "Runs that wait for people to approve them.", "rule")
UNHEARD = _gauge(
    "alertmend_escalations_unheard",
    "Escalations that reach nobody: the step that is up did not get through, and is tried again.",
    "rule",
)
BREAKERS = _gauge("alertmend_breaker_state", "1 for the state that the rule's breaker is in, else 0.", "rule", "state")
PAUSES = _gauge("alertmend_pauses", "Pauses that hold now, by whether they cover everything.", "covers")
WAITING = _gauge("alertmend_inbox_notifications", "Notifications that are stored and not yet dealt with.")
AGE = _gauge("alertmend_inbox_oldest_seconds", "Age of the oldest of them; 0 when there is none.")
UNSEALED = _gauge("alertmend_outbox_batches", "Changes that the record has yet to take.")
WORKERS = _gauge("alertmend_workers", "Workers that said in the last 15 seconds that they live.", "role")
BUSY = _gauge("alertmend_worker_busy_seconds", "For how long a worker of the role has been at the same work.", "role")
HEAD_SEQ = _gauge("alertmend_ledger_head_seq", "The last entry of the audit log.")
HEAD_HASH = _gauge("alertmend_ledger_head_hash", "The first 13 hex digits of its hash, as a number.")
ERRORS = Metric(name="alertmend_ledger_errors_total", words="Times that the record did not take what a worker had.")
MISSED = Metric(name="alertmend_heartbeat_failures_total", words="Signs of life that did not arrive.")

METRICS = (
    *COUNTED,
    *(
        BUILD,
        REVISION,
        RULES,
        RELOADED,
        RELOADED_AT,
        UP,
        CHECK,
        OPEN,
        IN_PROGRESS,
        APPROVALS,
        UNHEARD,
        BREAKERS,
        PAUSES,
    ),
    *(WAITING, AGE, UNSEALED, WORKERS, BUSY, HEAD_SEQ, HEAD_HASH, ERRORS, MISSED),
)
#: What a notification may be answered with.
STATUSES = ("202", "400", "401", "403", "413", "503")

#: A scrape waits for so long for those checks that are quick; the answers of others are there with the next one.
_PATIENCE_SECONDS = 0.5

Told = Iterator[tuple[Series, float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Gauges:
    """What is shown of one site."""

    config: Callable[[], Config]
    revision: Callable[[], str]
    #: What came of the last look at the files.
    reload: Callable[[], Reload | None]
    store: Any
    watch: Any
    #: What was counted on the record.
    tally: Callable[[], Any]
    checks: Checks

    def read(self, now: datetime) -> Counts:
        """Every series; those of a dependency that is away are left out, and it is said to be away."""
        config = self.config()
        found = dict(_of_config(config, self.revision()))
        found |= dict(_of_reload(self.reload()))
        known = [rule.name for rule in config.rules]
        found |= dict(_of_checks(self.checks.latest(patience_seconds=_PATIENCE_SECONDS)))
        try:
            # One that is full or a replica answers: what it tells is old, and workers cannot say that they live.
            self.watch.write()
            found |= dict(_of_redis(config, self.store.read(_keys(config)), now))
            found |= dict(_of_work(self.watch.standing(), self.watch.pulses(), known, now))
            found[Series(UP.name, ("redis",))] = 1
        except Unavailable:
            found[Series(UP.name, ("redis",))] = 0
        try:
            tallied = self.tally()
            found |= dict(_never_yet(known)) | tallied.counts | dict(_of_record(tallied))
            # Whether it takes entries is told by the check alone in time: who tries may wait for a lock.
            found[Series(UP.name, ("database",))] = found.get(Series(CHECK.name, ("database",)), 1)
        except Unavailable:
            found[Series(UP.name, ("database",))] = 0
        return found


def _of_config(config: Config, revision: str) -> Told:
    yield Series(BUILD.name, (__version__, platform.python_version())), 1
    yield Series(REVISION.name, (revision,)), 1
    modes = [rule.mode.lower_of(config.policy.ceiling) for rule in config.rules]
    for mode in Mode:
        yield Series(RULES.name, (mode.value,)), modes.count(mode)


def _of_reload(reload: Reload | None) -> Told:
    if reload is not None:
        yield Series(RELOADED.name), float(reload.ok)
        yield Series(RELOADED_AT.name), reload.sound_at


def _of_checks(checked: Iterable[Checked]) -> Told:
    for found in checked:
        yield Series(CHECK.name, (found.name,)), float(found.ok)


def _keys(config: Config) -> Keys:
    return Keys(pairs=frozenset(Pair(rule.name, "") for rule in config.rules if rule.guards.breaker))


def _of_redis(config: Config, snapshot: Snapshot, now: datetime) -> Told:
    for rule in config.rules:
        if rule.guards.breaker is not None:
            found = snapshot.breakers.get(rule.name, BreakerState()).position(rule.guards.breaker, now)
            for position in Position:
                yield Series(BREAKERS.name, (rule.name, position.value)), float(found is position)
    yield from _of_pauses([pause for pause in snapshot.pauses if now < pause.until])


def _of_pauses(pauses: Iterable[Pause]) -> Told:
    everything = [not pause.matchers for pause in pauses]
    yield Series(PAUSES.name, ("everything",)), everything.count(True)
    yield Series(PAUSES.name, ("some",)), everything.count(False)


def _of_work(standing: Standing, pulses: Iterable[Pulse], rules: Iterable[str], now: datetime) -> Told:
    pulses = list(pulses)
    for rule, number in (dict.fromkeys(rules, 0) | dict(standing.unheard)).items():
        yield Series(UNHEARD.name, (rule,)), number
    yield Series(WAITING.name), standing.waiting
    yield Series(AGE.name), max(0.0, (now - standing.oldest_at).total_seconds()) if standing.oldest_at else 0.0
    yield Series(UNSEALED.name), standing.unsealed
    yield Series(ERRORS.name), standing.faults.get(LEDGER_FAULT, 0)
    yield Series(MISSED.name), standing.faults.get(HEARTBEAT_FAULT, 0)
    for role in ROLES:
        of_role = [pulse for pulse in pulses if pulse.role == role]
        busy = [(now - pulse.busy_since).total_seconds() for pulse in of_role if pulse.busy_since]
        yield Series(WORKERS.name, (role,)), len(of_role)
        yield Series(BUSY.name, (role,)), max(0.0, *busy, 0.0)


def _never_yet(rules: Iterable[str]) -> Told:
    """What would be missed if it were not there before it is first counted: an increase from nothing is none."""
    for status in STATUSES:
        yield Series(NOTIFICATIONS.name, (status,)), 0
    for rule in rules:
        for outcome in Outcome:
            yield Series(RUNS.name, (rule, outcome.value)), 0
        for delivered in ("yes", "no"):
            yield Series(CALLS.name, (rule, delivered)), 0
        for state in (RunState.QUEUED, RunState.RUNNING, RunState.PROVING):
            yield Series(IN_PROGRESS.name, (rule, state.value)), 0
        for metric in (OPEN, APPROVALS):
            yield Series(metric.name, (rule,)), 0


def _of_record(tallied: Any) -> Told:
    counts: Counts = tallied.counts
    opened = {series.labels: value for series, value in counts.items() if series.name == OPENED.name}
    for series, value in counts.items():
        if series.name == RESOLVED.name:
            opened[series.labels[:1]] = opened.get(series.labels[:1], 0) - value
    for labels, value in opened.items():
        yield Series(OPEN.name, labels), value
    for (rule, state), number in tallied.under_way.items():
        if state == RunState.AWAITING_APPROVAL:
            yield Series(APPROVALS.name, (rule,)), number
        else:
            yield Series(IN_PROGRESS.name, (rule, state)), number
    yield Series(HEAD_SEQ.name), tallied.seq
    # As many digits as a number of Prometheus holds exactly: a hash as a label would be a new series for each entry.
    yield Series(HEAD_HASH.name), int(tallied.hash[:13], 16)
