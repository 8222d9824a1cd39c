"""One run: it is started, performed, and its end written on the record."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import structlog

from webhook import tracing
from webhook.asking import Asking
from webhook.attempt import Attempt, Workshop, prepare
from webhook.change import Change
from webhook.core.alert import Alert
from webhook.core.evidence import Occasion
from webhook.core.gathering import lock_keys, missing_locks
from webhook.core.run import Outcome, Plan, Run, RunState
from webhook.core.state import Draft, Keys
from webhook.core.storm import Crowd
from webhook.core.transcript import Passage, Transcript, text_of
from webhook.core.transition import Moment, NewId, finish, planned, prove, start
from webhook.errors import Unavailable
from webhook.live import Live
from webhook.performing import End, Performing, Stopped
from webhook.telemetry import speak_also_of
from webhook.world import PlaybookEnd

log = structlog.get_logger()

#: Without a sign of life for this long, a run's worker is taken for gone.
LEASE = timedelta(seconds=8)
#: How often, and how long apart, a run's end is tried to be written before it is left to upkeep.
WRITE_ATTEMPTS, WRITE_PAUSE_SECONDS = 120, 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """Runs what was claimed. Several threads may share one."""

    change: Change
    workshop: Callable[[], Workshop]
    performing: Performing
    live: Live
    asking: Asking
    now: Callable[[], datetime]
    new_id: NewId
    #: The runs whose lease this worker keeps.
    active: set[str] = field(default_factory=set)

    def execute(self, id: str) -> Outcome | None:
        """The outcome of the run; None when it was started before, is still to be proved, or is not wanted any more.

        Raises:
            Unavailable: a dependency is away, and nothing was done.
        """
        run = self._queued(id)
        if run is None:
            # It may well be under way here, in another thread, which keeps its lease.
            return None
        # A run that could not be put on the record stays queued, and costs no attempt.
        self.change.ledger.ready()
        # The lease comes first: a run that is seen running without one is taken for lost.
        self.change.store.renew([id], owner=self.performing.owner, lease=LEASE)
        began = self.now()
        run = self._start(run)
        if run is None:
            return None
        self.active.add(id)
        try:
            with tracing.span("run", _about(run), parent=run.traceparent, kind="consumer", since=began):
                return self._perform(run)
        finally:
            self.active.discard(id)
            self.live.forget(id)

    def plan(self, id: str) -> None:
        """Try what people are asked to approve, in check mode, and let them see what it would do.

        Raises:
            Unavailable: a dependency is away; people are asked all the same.
        """
        run = self.change.store.read(Keys(runs=frozenset([id]))).runs.get(id)
        if run is None or run.state is not RunState.AWAITING_APPROVAL:
            return
        speak_also_of(run=id, incident=run.incident)
        attempt = prepare(run, self._alerts(run), self.workshop())
        plan = Plan(summary=attempt) if isinstance(attempt, str) else self._tried(attempt)
        moment = self._moment()

        def write(draft: Draft) -> Run | None:
            current = draft.runs.get(id)
            return planned(draft, current, plan, at=moment.now) if current else None

        self.change.make(Keys(runs=frozenset([id])), write, id=f"run:{id}:plan", moment=moment)

    def keep_leases(self) -> None:
        """Say that this worker lives. To be called several times within the length of a lease."""
        if self.active:
            self.change.store.renew(sorted(self.active), owner=self.performing.owner, lease=LEASE)

    def _moment(self) -> Moment:
        return Moment(rulebook=self.workshop().rulebook, now=self.now(), new_id=self.new_id)

    def _queued(self, id: str) -> Run | None:
        run = self.change.store.read(Keys(runs=frozenset([id]))).runs.get(id)
        if run is None:
            return None
        speak_also_of(run=id, incident=run.incident)
        return run if run.state is RunState.QUEUED else None

    def _start(self, run: Run) -> Run | None:
        alerts = self._alerts(run)
        # Asked before anything is read that is decided on: an answer may take seconds.
        reports = self.asking.reports(alerts[:1])
        moment = self._moment()

        def write(draft: Draft) -> Run | None:
            current = draft.runs.get(run.id)
            if current is None or current.state is not RunState.QUEUED:
                return None
            state = draft.alerts.get(alerts[0].fingerprint) if alerts else None
            occasion = Occasion(
                now=moment.now,
                received_at=None,
                source=state.source if state else "",
                reports=reports,
                revision=moment.rulebook.revision,
            )
            alert = alerts[0] if state is not None and state.is_firing else None
            started.append(start(draft, moment, current, alert, owner=self.performing.owner, occasion=occasion))
            return current

        started: list[Run | None] = []
        keys = Keys(runs=frozenset([run.id])) | _counted_keys(run, alerts, moment)
        phase = "rollback" if run.ending else "started"
        made = self.change.make(keys, write, id=f"run:{run.id}:{phase}", moment=moment)
        # What was drafted and then not committed, because someone else was faster, was not started.
        return started[-1] if made else None

    def _alerts(self, run: Run) -> tuple[Alert, ...]:
        """The alerts behind the run that still fire."""
        states = self.change.store.read(Keys(alerts=frozenset(run.alerts))).alerts
        return tuple(states[f].alert for f in run.alerts if f in states and states[f].is_firing)

    def _perform(self, run: Run) -> Outcome | None:
        attempt: Attempt | str | None = None
        try:
            attempt = prepare(run, self._alerts_of(run), self.workshop())
            end = self.performing.perform(attempt)
        except Stopped:
            end = self.performing.stopped(run)
        except Exception as error:
            # Whatever happens, a run's end is written by us.
            log.exception("a run broke", action="execute", run=run.id)
            end = End(outcome=Outcome.FAILED, reason=f"alertmend itself failed: {type(error).__name__}: {error}")
        if isinstance(attempt, Attempt):
            run = replace(attempt.run, probes=(*run.probes, *attempt.probes))
        end = replace(end, reason=self.workshop().redaction.apply(end.reason))
        self._write_end(run, end)
        failed = end.outcome is not None and end.outcome.did_not_help
        tracing.describe({"alertmend.outcome": end.outcome or "proving"}, error=end.reason if failed else None)
        return end.outcome

    def _alerts_of(self, run: Run) -> tuple[Alert, ...]:
        """Those that fire; for a rollback, whatever was known of those that the step was for."""
        if run.ending is None:
            return self._alerts(run)
        states = self.change.store.read(Keys(alerts=frozenset(run.alerts))).alerts
        return tuple(states[f].alert for f in run.alerts if f in states)

    def _tried(self, attempt: Attempt) -> Plan:
        said = Transcript()

        def hear(passage: Passage) -> None:
            said.add(passage)

        result = self.performing.playbooks.run(
            attempt.job(check=True), is_cancelled=self.performing.closing.is_set, hear=hear
        )
        verb = "in check mode:" if result.end is PlaybookEnd.OK else "check mode does not tell:"
        summary = f"{verb} {result.reason}"
        return Plan(vars=dict(attempt.step.vars), output=text_of(said.passages), summary=summary)

    def _write_end(self, run: Run, end: End) -> None:
        for attempt in range(WRITE_ATTEMPTS):
            try:
                return self._finish(run, end)
            except Unavailable as error:
                log.warning("a run's end cannot be written yet", action="finish", run=run.id, error=str(error))
                if attempt + 1 == WRITE_ATTEMPTS or self.performing.closing.wait(WRITE_PAUSE_SECONDS):
                    raise

    def _finish(self, run: Run, end: End) -> None:
        moment, passages = self._moment(), self.live.passages(run.id)
        # Whoever follows it has heard everything when they hear that it has ended.
        self.live.flush(run.id)

        def write(draft: Draft) -> bool | None:
            current = draft.runs.get(run.id)
            if current is None or current.state is not RunState.RUNNING or current.owner != self.performing.owner:
                return None
            _conclude(draft, moment, replace(run, cancelled=current.cancelled), end)
            if passages:
                draft.transcripts[run.id] = passages
            return True

        phase = "compensated" if run.ending else "proving" if end.outcome is None else "finished"
        self.change.make(Keys(runs=frozenset([run.id])), write, id=f"run:{run.id}:{phase}", moment=moment)


def _about(run: Run) -> dict[str, str | int]:
    return {
        "alertmend.run": run.id,
        "alertmend.incident": run.incident,
        "alertmend.rule": run.rule,
        "alertmend.target": run.target,
        "alertmend.step": run.step,
        "alertmend.attempt": run.attempt,
        "alertmend.playbook": run.playbook,
    }


def _counted_keys(run: Run, alerts: tuple[Alert, ...], moment: Moment) -> Keys:
    """What the run's claims are counted under."""
    rule, target = moment.rulebook.rule(run.rule), moment.rulebook.host(run.target)
    if rule is None or not alerts or missing_locks(rule, alerts[0]):
        return Keys()
    return Keys(
        locks=frozenset(lock_keys(rule, alerts[0], target=run.target)),
        crowds=frozenset([Crowd(rule.name, target.group)] if rule.guards.max_targets and target.host else []),
    )


def _conclude(draft: Draft, moment: Moment, run: Run, end: End) -> None:
    incident = draft.pair(run.pair).incident
    still_fires = incident is not None and bool(incident.firing)
    if end.outcome is not None:
        by = run.cancelled.by if end.outcome is Outcome.CANCELLED and run.cancelled and not run.cancelled.pause else ""
        finish(draft, moment, run, end.outcome, reason=end.reason, by=by)
    elif not still_fires:
        finish(draft, moment, run, Outcome.FIXED, reason="the alerts resolved")
    else:
        rule = moment.rulebook.rule(run.rule)
        within = rule.resolve_within if rule and rule.resolve_within else timedelta(0)
        prove(draft, moment, replace(run, reason=end.reason), until=moment.now + within)
