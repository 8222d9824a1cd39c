"""One run: start, check, act, prove, finish."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from threading import Event as Flag

import structlog

from webhook.change import Change
from webhook.core.alert import Alert
from webhook.core.audit import timestamp
from webhook.core.incident import Outcome, Phase, ProbeAnswer, Run, RunState
from webhook.core.placeholder import filled, missing_names
from webhook.core.probe import Probe, filled_probe, unfit_words
from webhook.core.redaction import Redaction
from webhook.core.rule import Rule, Step
from webhook.core.rulebook import Rulebook
from webhook.core.state import Draft, Keys
from webhook.core.transcript import task_results
from webhook.core.transition import finish, prove, start
from webhook.errors import Unavailable
from webhook.live import Live
from webhook.ports import PlaybookEnd, PlaybookJob, PlaybookResult, PlaybookRunner, Prober

log = structlog.get_logger()

#: Without a sign of life for this long, a run's worker is taken for gone.
LEASE = timedelta(seconds=15)
#: How often, and how long apart, a run's end is tried to be written before it is left to upkeep.
WRITE_ATTEMPTS, WRITE_PAUSE_SECONDS = 120, 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Workshop:
    """Where playbooks and inventory lie in the configuration of the moment."""

    rulebook: Rulebook
    playbooks: Path
    inventory: Path
    #: What may not be stored, nor shown.
    redaction: Redaction = Redaction()


@dataclass(slots=True, kw_only=True)
class _Attempt:
    """A run under way, with what it has seen so far."""

    run: Run
    rule: Rule
    step: Step
    probe: Probe | None
    alerts: tuple[Alert, ...]
    probes: list[ProbeAnswer] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class _End:
    outcome: Outcome | None
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """Runs what was claimed. Several threads may share one."""

    change: Change
    workshop: Callable[[], Workshop]
    prober: Prober
    playbooks: PlaybookRunner
    live: Live
    now: Callable[[], datetime]
    #: Names this worker in the record.
    owner: str
    #: Set when the worker has to be gone: what runs is cancelled and recorded.
    closing: Flag = field(default_factory=Flag)
    #: The runs whose lease this worker keeps.
    active: set[str] = field(default_factory=set)

    def execute(self, id: str) -> Outcome | None:
        """The outcome of the run; None when it was started before, is still to be proved, or is not wanted any more.

        Raises:
            Unavailable: a dependency is away, and nothing was done.
        """
        self.active.add(id)
        try:
            # The lease comes first: a run that is seen running without one is taken for lost.
            self.change.store.renew([id], owner=self.owner, lease=LEASE)
            run = self._start(id)
            return None if run is None else self._perform(run)
        finally:
            self.active.discard(id)
            self.live.forget(id)

    def keep_leases(self) -> None:
        """Say that this worker lives. To be called several times within the length of a lease."""
        if self.active:
            self.change.store.renew(sorted(self.active), owner=self.owner, lease=LEASE)

    def _start(self, id: str) -> Run | None:
        now = self.now()

        def write(draft: Draft) -> Run | None:
            run = draft.runs.get(id)
            return start(draft, run, owner=self.owner, now=now) if run else None

        return self.change.make(Keys(runs=frozenset([id])), write, id=f"run:{id}:started", at=now)

    def _perform(self, run: Run) -> Outcome | None:
        try:
            attempt = self._prepare(run)
            end = attempt if isinstance(attempt, _End) else self._act_and_prove(attempt)
            run = run if isinstance(attempt, _End) else replace(attempt.run, probes=tuple(attempt.probes))
        except Exception as error:
            # Whatever happens, a run's end is written by us.
            log.exception("a run broke", action="execute", run=run.id)
            end = _End(outcome=Outcome.FAILED, reason=f"alertmend itself failed: {type(error).__name__}: {error}")
        self._write_end(run, end)
        return end.outcome

    def _prepare(self, run: Run) -> _Attempt | _End:
        """All that is needed to act; or why there is nothing to do, which then has touched nothing."""
        rulebook = self.workshop().rulebook
        rule, target = rulebook.rule(run.rule), rulebook.host(run.target)
        if rule is None or len(rule.steps) < run.step:
            return _End(outcome=Outcome.CANCELLED, reason="the rule or its step is no longer configured")
        if target.host is None:
            return _End(outcome=Outcome.CANCELLED, reason=f"the target is no longer usable: {target.problem}")
        snapshot = self.change.store.read(Keys(alerts=frozenset(run.alerts)))
        alerts = tuple(snapshot.alerts[f].alert for f in run.alerts if f in snapshot.alerts)
        if not any(snapshot.alerts[alert.fingerprint].is_firing for alert in alerts):
            return _End(outcome=Outcome.CANCELLED, reason="none of its alerts fires any more")
        step, first = rule.steps[run.step - 1], alerts[0]
        words = {"labels": first.labels, "annotations": first.annotations}
        if missing := missing_names([step.vars, rule.probe], **words):
            return _End(outcome=Outcome.CANCELLED, reason=f"the alert no longer has {', '.join(missing)}")
        if rule.probe and (unfit := unfit_words(rule.probe, target=run.target, **words)):
            return _End(outcome=Outcome.CANCELLED, reason=f"the probe cannot be asked: {unfit}")
        probe = filled_probe(rule.probe, target=run.target, **words) if rule.probe else None
        filled_step = replace(step, vars=filled(dict(step.vars), target=run.target, **words))
        return _Attempt(run=run, rule=rule, step=filled_step, probe=probe, alerts=alerts)

    def _act_and_prove(self, attempt: _Attempt) -> _End:
        if attempt.probe is not None and (found := self._ask_before(attempt, attempt.probe)) is not None:
            return found
        if not self._is_wanted(attempt.run):
            return _End(outcome=Outcome.CANCELLED, reason="its alerts resolved, or it was cancelled, before it acted")
        attempt.run = replace(attempt.run, acted_at=self.now())
        result = self._play(attempt)
        attempt.run = replace(
            attempt.run,
            tasks=result.tasks,
            task_results=task_results(self.live.passages(attempt.run.id)),
            result=result.result,
            first_task_at=result.first_task_at,
        )
        if result.end is not PlaybookEnd.OK:
            cancelled = result.end is PlaybookEnd.CANCELLED
            outcome = Outcome.CANCELLED if cancelled else Outcome.FAILED
            return _End(outcome=outcome, reason=result.reason)
        return self._prove(attempt)

    def _ask_before(self, attempt: _Attempt, probe: Probe) -> _End | None:
        """Why nothing is to be done; None when the target is sick `failure_threshold` times in a row."""
        unknown: ProbeAnswer | None = None
        for number in range(probe.failure_threshold):
            if number and self.closing.wait(probe.period.total_seconds()):
                return _End(outcome=Outcome.CANCELLED, reason="the worker was stopped before it acted")
            answer = self._ask(attempt, probe, Phase.BEFORE)
            if answer.healthy:
                return _End(outcome=Outcome.NOT_NEEDED, reason=f"the probe found it healthy: {answer.words}")
            unknown = unknown if answer.known else answer
        if unknown:
            return _End(
                outcome=Outcome.CANCELLED, reason=f"the probe could not say whether it is sick: {unknown.words}"
            )
        return None

    def _play(self, attempt: _Attempt) -> PlaybookResult:
        workshop, run = self.workshop(), attempt.run
        job = PlaybookJob(
            run=run.id,
            playbook=workshop.playbooks / attempt.step.playbook,
            inventory=workshop.inventory,
            target=run.target,
            variables=attempt.step.vars,
            alertmend=_variable(run, attempt.alerts),
            timeout=attempt.step.timeout,
            redact=tuple(workshop.redaction.patterns),
        )
        return self.playbooks.run(
            job,
            is_cancelled=lambda: self.closing.is_set() or not self._is_ours(run),
            hear=self.live.hear(run.id),
        )

    def _prove(self, attempt: _Attempt) -> _End:
        asked_to_resolve = attempt.rule.resolve_within is not None
        if attempt.probe is None:
            if asked_to_resolve:
                return _End(outcome=None, reason="it ran well; the alerts have to resolve")
            return _End(outcome=Outcome.UNPROVED, reason="it ran well, and the rule asks for no proof")
        healthy, words = self._ask_after(attempt, attempt.probe)
        if not healthy:
            return _End(outcome=Outcome.INEFFECTIVE, reason=words)
        return _End(outcome=None if asked_to_resolve else Outcome.FIXED, reason=words)

    def _ask_after(self, attempt: _Attempt, probe: Probe) -> tuple[bool, str]:
        deadline, in_a_row = self.now() + probe.within, 0
        while True:
            answer = self._ask(attempt, probe, Phase.AFTER)
            in_a_row = in_a_row + 1 if answer.healthy else 0
            if in_a_row >= probe.success_threshold:
                return True, f"the probe passed {in_a_row} times in a row: {answer.words}"
            if self.now() + probe.period > deadline or self.closing.wait(probe.period.total_seconds()):
                return False, f"the probe did not pass in time after the playbook; last answer: {answer.words}"

    def _ask(self, attempt: _Attempt, probe: Probe, phase: Phase) -> ProbeAnswer:
        answer, redact = self.prober.ask(probe), self.workshop().redaction.apply
        answer = replace(answer, phase=phase, words=redact(answer.words), asked=redact(answer.asked))
        attempt.probes.append(answer)
        return answer

    def _is_wanted(self, run: Run) -> bool:
        snapshot = self.change.store.read(Keys(pairs=frozenset([run.pair]), runs=frozenset([run.id])))
        incident, current = snapshot.pairs[run.pair].incident, snapshot.runs.get(run.id)
        is_open = incident is not None and incident.run == run.id and bool(incident.firing)
        return is_open and current is not None and current.owner == self.owner and not self.closing.is_set()

    def _is_ours(self, run: Run) -> bool:
        """Whether the run was not taken from us; a worker that lost its lease has to stop."""
        try:
            current = self.change.store.read(Keys(runs=frozenset([run.id]))).runs.get(run.id)
        except Unavailable:
            return True
        return current is not None and current.state is RunState.RUNNING and current.owner == self.owner

    def _write_end(self, run: Run, end: _End) -> None:
        end = replace(end, reason=self.workshop().redaction.apply(end.reason))
        for attempt in range(WRITE_ATTEMPTS):
            try:
                return self._finish(run, end)
            except Unavailable as error:
                log.warning("a run's end cannot be written yet", action="finish", run=run.id, error=str(error))
                if attempt + 1 == WRITE_ATTEMPTS or self.closing.wait(WRITE_PAUSE_SECONDS):
                    raise

    def _finish(self, run: Run, end: _End) -> None:
        now, passages = self.now(), self.live.passages(run.id)
        # Whoever follows it has heard everything when they hear that it has ended.
        self.live.flush(run.id)

        def write(draft: Draft) -> bool | None:
            current = draft.runs.get(run.id)
            if current is None or current.state is not RunState.RUNNING or current.owner != self.owner:
                return None
            _conclude(draft, run, end, rule=self.workshop().rulebook.rule(run.rule), now=now)
            if passages:
                draft.transcripts[run.id] = passages
            return True

        suffix = "proving" if end.outcome is None else "finished"
        self.change.make(Keys(runs=frozenset([run.id])), write, id=f"run:{run.id}:{suffix}", at=now)


def _conclude(draft: Draft, run: Run, end: _End, *, rule: Rule | None, now: datetime) -> None:
    incident = draft.pair(run.pair).incident
    still_fires = incident is not None and bool(incident.firing)
    if end.outcome is not None:
        finish(draft, run, end.outcome, reason=end.reason, now=now)
    elif not still_fires:
        finish(draft, run, Outcome.FIXED, reason="the alerts resolved", now=now)
    else:
        within = rule.resolve_within if rule and rule.resolve_within else timedelta(0)
        prove(draft, replace(run, reason=end.reason), until=now + within, now=now)


def _variable(run: Run, alerts: tuple[Alert, ...]) -> Mapping[str, object]:
    return {
        "incident": run.incident,
        "run": run.id,
        "rule": run.rule,
        "target": run.target,
        "attempt": run.attempt,
        "alerts": [
            {
                "labels": alert.labels,
                "annotations": alert.annotations,
                "startsAt": timestamp(alert.starts_at),
                "fingerprint": alert.fingerprint,
            }
            for alert in alerts
        ],
    }
