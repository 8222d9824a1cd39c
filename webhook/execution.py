"""One run: start, check, act, prove, finish."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from threading import Event
from typing import Protocol

import structlog

from webhook.asking import Asking
from webhook.attempt import Attempt, Workshop, prepare
from webhook.change import Change
from webhook.core.alert import Alert
from webhook.core.evidence import Occasion, lock_keys, missing_locks
from webhook.core.incident import Outcome, Phase, Plan, ProbeAnswer, Rollback, Run, RunState
from webhook.core.probe import Probe
from webhook.core.redaction import Redaction
from webhook.core.state import Draft, Keys
from webhook.core.storm import Crowd
from webhook.core.transcript import Passage, Transcript, task_results, text_of
from webhook.core.transition import Moment, NewId, finish, planned, prove, start
from webhook.errors import Unavailable
from webhook.live import Live
from webhook.ports import PlaybookEnd, PlaybookJob, PlaybookResult, PlaybookRunner, Prober
from webhook.probing import ask_all

log = structlog.get_logger()

#: Without a sign of life for this long, a run's worker is taken for gone.
LEASE = timedelta(seconds=8)
#: How often, and how long apart, a run's end is tried to be written before it is left to upkeep.
WRITE_ATTEMPTS, WRITE_PAUSE_SECONDS = 120, 5.0
#: A wait is looked up from this often, to see whether the run is still wanted.
LOOK_UP_SECONDS = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class _End:
    """How a run's work ended; no outcome means that the alerts have yet to resolve."""

    outcome: Outcome | None
    reason: str


class _Stopped(Exception):
    """The run is no longer ours to go on with; why is asked where it is caught."""


class Flag(Protocol):
    """What a worker waits on: an `Event`, in earnest."""

    def set(self) -> None:
        """The worker has to be gone."""
        ...

    def is_set(self) -> bool:
        """Whether it has to."""
        ...

    def wait(self, timeout: float | None = None) -> bool:
        """Whether it was set within that many seconds."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """Runs what was claimed. Several threads may share one."""

    change: Change
    workshop: Callable[[], Workshop]
    prober: Prober
    playbooks: PlaybookRunner
    live: Live
    asking: Asking
    now: Callable[[], datetime]
    new_id: NewId
    #: Names this worker in the record.
    owner: str
    #: Set when the worker has to be gone: what runs is cancelled and recorded.
    closing: Flag = field(default_factory=Event)
    #: The runs whose lease this worker keeps.
    active: set[str] = field(default_factory=set)

    def execute(self, id: str) -> Outcome | None:
        """The outcome of the run; None when it was started before, is still to be proved, or is not wanted any more.

        Raises:
            Unavailable: a dependency is away, and nothing was done.
        """
        # A run that could not be put on the record stays queued, and costs no attempt.
        self.change.ledger.ready()
        # The lease comes first: a run that is seen running without one is taken for lost.
        self.change.store.renew([id], owner=self.owner, lease=LEASE)
        run = self._start(id)
        if run is None:
            # It may well be under way here, in another thread, which keeps its lease.
            return None
        self.active.add(id)
        try:
            with structlog.contextvars.bound_contextvars(run=id, incident=run.incident):
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
        attempt = prepare(run, self._alerts(run), self.workshop())
        plan = Plan(summary=attempt) if isinstance(attempt, str) else self._tried(attempt)
        at = self.now()

        def write(draft: Draft) -> Run | None:
            current = draft.runs.get(id)
            return planned(draft, current, plan, at=at) if current else None

        self.change.make(Keys(runs=frozenset([id])), write, id=f"run:{id}:plan", at=at)

    def keep_leases(self) -> None:
        """Say that this worker lives. To be called several times within the length of a lease."""
        if self.active:
            self.change.store.renew(sorted(self.active), owner=self.owner, lease=LEASE)

    def _moment(self) -> Moment:
        return Moment(rulebook=self.workshop().rulebook, now=self.now(), new_id=self.new_id)

    def _start(self, id: str) -> Run | None:
        run = self.change.store.read(Keys(runs=frozenset([id]))).runs.get(id)
        if run is None or run.state is not RunState.QUEUED:
            return None
        alerts = self._alerts(run)
        # Asked before anything is read that is decided on: an answer may take seconds.
        reports = self.asking.reports(alerts[:1])
        moment = self._moment()

        def write(draft: Draft) -> Run | None:
            current = draft.runs.get(id)
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
            started.append(start(draft, moment, current, alert, owner=self.owner, occasion=occasion))
            return current

        started: list[Run | None] = []
        keys = Keys(runs=frozenset([id])) | _counted_keys(run, alerts, moment)
        phase = "rollback" if run.ending else "started"
        made = self.change.make(keys, write, id=f"run:{id}:{phase}", at=moment.now)
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
            end = self._prepared(attempt)
        except _Stopped:
            end = self._stopped(run)
        except Exception as error:
            # Whatever happens, a run's end is written by us.
            log.exception("a run broke", action="execute", run=run.id)
            end = _End(outcome=Outcome.FAILED, reason=f"alertmend itself failed: {type(error).__name__}: {error}")
        if isinstance(attempt, Attempt):
            run = replace(attempt.run, probes=(*run.probes, *attempt.probes))
        self._write_end(run, end)
        return end.outcome

    def _alerts_of(self, run: Run) -> tuple[Alert, ...]:
        """Those that fire; for a rollback, whatever was known of those that the step was for."""
        if run.ending is None:
            return self._alerts(run)
        states = self.change.store.read(Keys(alerts=frozenset(run.alerts))).alerts
        return tuple(states[f].alert for f in run.alerts if f in states)

    def _prepared(self, attempt: Attempt | str) -> _End:
        if isinstance(attempt, str):
            return _End(outcome=Outcome.CANCELLED, reason=attempt)
        if attempt.run.ending is not None:
            return self._roll_back(attempt)
        return self._act_and_prove(attempt)

    def _act_and_prove(self, attempt: Attempt) -> _End:
        if (unmet := self._ask_required(attempt)) is not None:
            return unmet
        if attempt.probe is not None and (found := self._ask_before(attempt, attempt.probe)) is not None:
            return found
        if not self._is_wanted(attempt.run):
            raise _Stopped
        attempt.run = replace(attempt.run, acted_at=self.now())
        result = self._play(attempt, attempt.job())
        attempt.run = replace(
            attempt.run,
            tasks=result.tasks,
            task_results=task_results(self.live.passages(attempt.run.id)),
            result=result.result,
            first_task_at=result.first_task_at,
        )
        if result.end is PlaybookEnd.CANCELLED:
            return self._stopped(attempt.run, otherwise=result.reason)
        if result.end is not PlaybookEnd.OK:
            return _End(outcome=Outcome.FAILED, reason=result.reason)
        return self._prove(attempt)

    def _ask_required(self, attempt: Attempt) -> _End | None:
        """Why nothing is to be done; None when everything that the rule requires holds."""
        redaction = attempt.workshop.redaction
        answers = [_redacted(answer, Phase.REQUIRE, redaction) for answer in ask_all(self.prober, attempt.require)]
        attempt.probes += answers
        unmet = [f"{answer.asked}: {answer.words}" for answer in answers if not answer.healthy]
        if not unmet:
            return None
        return _End(outcome=Outcome.CANCELLED, reason=f"what the rule requires does not hold: {'; '.join(unmet)}")

    def _ask_before(self, attempt: Attempt, probe: Probe) -> _End | None:
        """Why nothing is to be done; None when the target is sick `failure_threshold` times in a row."""
        unknown: ProbeAnswer | None = None
        for number in range(probe.failure_threshold):
            if number:
                self._wait(attempt.run, probe.period)
            answer = self._ask(attempt, probe, Phase.BEFORE)
            if answer.healthy:
                return _End(outcome=Outcome.NOT_NEEDED, reason=f"the probe found it healthy: {answer.words}")
            unknown = unknown if answer.known else answer
        if unknown:
            words = f"the probe could not say whether it is sick: {unknown.words}"
            return _End(outcome=Outcome.CANCELLED, reason=words)
        return None

    def _play(self, attempt: Attempt, job: PlaybookJob) -> PlaybookResult:
        run = attempt.run
        return self.playbooks.run(job, is_cancelled=lambda: not self._goes_on(run), hear=self.live.hear(run.id))

    def _prove(self, attempt: Attempt) -> _End:
        asked_to_resolve = attempt.rule.resolve_within is not None and not attempt.is_last_resort
        if attempt.probe is None:
            if asked_to_resolve:
                return _End(outcome=None, reason="it ran well; the alerts have to resolve")
            return _End(outcome=Outcome.UNPROVED, reason="it ran well, and no proof is asked for")
        healthy, words = self._ask_after(attempt, attempt.probe)
        if not healthy:
            return _End(outcome=Outcome.INEFFECTIVE, reason=words)
        return _End(outcome=None if asked_to_resolve else Outcome.FIXED, reason=words)

    def _ask_after(self, attempt: Attempt, probe: Probe) -> tuple[bool, str]:
        deadline, in_a_row = self.now() + probe.within, 0
        while True:
            answer = self._ask(attempt, probe, Phase.AFTER)
            in_a_row = in_a_row + 1 if answer.healthy else 0
            if in_a_row >= probe.success_threshold:
                return True, f"the probe passed {in_a_row} times in a row: {answer.words}"
            if self.now() + probe.period > deadline:
                return False, f"the probe did not pass in time after the playbook; last answer: {answer.words}"
            self._wait(attempt.run, probe.period)

    def _ask(self, attempt: Attempt, probe: Probe, phase: Phase) -> ProbeAnswer:
        answer = _redacted(self.prober.ask(probe), phase, attempt.workshop.redaction)
        attempt.probes.append(answer)
        return answer

    def _roll_back(self, attempt: Attempt) -> _End:
        """The compensation's own end; what the step's was stands in the run."""
        ending, playbook = attempt.run.ending, attempt.rule.rollback
        assert ending is not None
        if playbook is None:
            return _End(outcome=ending.outcome, reason="the rule has no rollback any more")
        self.live.roll_back(attempt.run.id)
        result = self._play(attempt, attempt.job(playbook=playbook))
        succeeded = result.end is PlaybookEnd.OK
        attempt.run = replace(
            attempt.run, rollback=Rollback(playbook=playbook, succeeded=succeeded, reason=result.reason)
        )
        return _End(outcome=ending.outcome, reason=result.reason)

    def _tried(self, attempt: Attempt) -> Plan:
        said = Transcript()

        def hear(passage: Passage) -> None:
            said.add(passage)

        result = self.playbooks.run(attempt.job(check=True), is_cancelled=self.closing.is_set, hear=hear)
        verb = "in check mode:" if result.end is PlaybookEnd.OK else "check mode does not tell:"
        summary = f"{verb} {result.reason}"
        return Plan(vars=dict(attempt.step.vars), output=text_of(said.passages), summary=summary)

    def _wait(self, run: Run, span: timedelta) -> None:
        left = span.total_seconds()
        while left > 0:
            if self.closing.wait(min(left, LOOK_UP_SECONDS)):
                raise _Stopped
            left -= LOOK_UP_SECONDS
        if not self._goes_on(run):
            raise _Stopped

    def _goes_on(self, run: Run) -> bool:
        """Whether the run was neither taken from us nor told to end; a worker that lost its lease has to stop."""
        if self.closing.is_set():
            return False
        try:
            current = self.change.store.read(Keys(runs=frozenset([run.id]))).runs.get(run.id)
        except Unavailable:
            return True
        is_ours = current is not None and current.state is RunState.RUNNING and current.owner == self.owner
        return is_ours and current is not None and current.cancelled is None

    def _is_wanted(self, run: Run) -> bool:
        snapshot = self.change.store.read(Keys(pairs=frozenset([run.pair])))
        incident = snapshot.pairs[run.pair].incident
        return incident is not None and incident.run == run.id and bool(incident.firing) and self._goes_on(run)

    def _stopped(self, run: Run, *, otherwise: str = "its alerts resolved before it acted") -> _End:
        """Why it does not go on."""
        try:
            current = self.change.store.read(Keys(runs=frozenset([run.id]))).runs.get(run.id)
        except Unavailable:
            current = None
        if current is not None and (word := current.cancelled) is not None:
            what = "paused" if word.pause else "cancelled"
            return _End(outcome=Outcome.CANCELLED, reason=f"{what} by {word.by}: {word.comment}")
        if self.closing.is_set():
            return _End(outcome=Outcome.CANCELLED, reason="the worker was stopped")
        return _End(outcome=Outcome.CANCELLED, reason=otherwise)

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
        moment, passages = self._moment(), self.live.passages(run.id)
        # Whoever follows it has heard everything when they hear that it has ended.
        self.live.flush(run.id)

        def write(draft: Draft) -> bool | None:
            current = draft.runs.get(run.id)
            if current is None or current.state is not RunState.RUNNING or current.owner != self.owner:
                return None
            _conclude(draft, moment, replace(run, cancelled=current.cancelled), end)
            if passages:
                draft.transcripts[run.id] = passages
            return True

        phase = "compensated" if run.ending else "proving" if end.outcome is None else "finished"
        self.change.make(Keys(runs=frozenset([run.id])), write, id=f"run:{run.id}:{phase}", at=moment.now)


def _counted_keys(run: Run, alerts: tuple[Alert, ...], moment: Moment) -> Keys:
    """What the run's claims are counted under."""
    rule, target = moment.rulebook.rule(run.rule), moment.rulebook.host(run.target)
    if rule is None or not alerts or missing_locks(rule, alerts[0]):
        return Keys()
    return Keys(
        locks=frozenset(lock_keys(rule, alerts[0], target=run.target)),
        crowds=frozenset([Crowd(rule.name, target.group)] if rule.guards.max_targets and target.host else []),
    )


def _redacted(answer: ProbeAnswer, phase: Phase, redaction: Redaction) -> ProbeAnswer:
    redact = redaction.apply
    return replace(answer, phase=phase, words=redact(answer.words), asked=redact(answer.asked))


def _conclude(draft: Draft, moment: Moment, run: Run, end: _End) -> None:
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
