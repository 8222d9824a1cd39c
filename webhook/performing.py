"""What a run does in the world: it asks, acts, and proves; or compensates."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from threading import Event
from typing import Protocol

from webhook import tracing
from webhook.attempt import Attempt
from webhook.core.probe import Probe
from webhook.core.run import Outcome, Phase, ProbeAnswer, Rollback, Run, RunState
from webhook.core.state import Keys
from webhook.core.transcript import task_results
from webhook.errors import Unavailable
from webhook.live import Live
from webhook.ports import Store
from webhook.probing import ask_all
from webhook.world import PlaybookEnd, PlaybookJob, PlaybookResult, PlaybookRunner, Prober

#: A wait is looked up from this often, to see whether the run is still wanted.
LOOK_UP_SECONDS = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """How a run's work ended; no outcome means that the alerts have yet to resolve."""

    outcome: Outcome | None
    reason: str


class Stopped(Exception):
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
class Performing:
    """Acts in the world for runs that were started; what becomes of them is written elsewhere."""

    store: Store
    prober: Prober
    playbooks: PlaybookRunner
    live: Live
    now: Callable[[], datetime]
    #: Names this worker in the record.
    owner: str
    #: Set when the worker has to be gone.
    closing: Flag = field(default_factory=Event)

    def perform(self, attempt: Attempt | str) -> End:
        """How the attempt ended; words instead of one say why there is none.

        Raises:
            Stopped: it is no longer ours to go on with.
        """
        if isinstance(attempt, str):
            return End(outcome=Outcome.CANCELLED, reason=attempt)
        if attempt.run.ending is not None:
            return self._roll_back(attempt)
        return self._act_and_prove(attempt)

    def _act_and_prove(self, attempt: Attempt) -> End:
        if (unmet := self._ask_required(attempt)) is not None:
            return unmet
        if attempt.probe is not None and (found := self._ask_before(attempt, attempt.probe)) is not None:
            return found
        if not self._is_wanted(attempt.run):
            raise Stopped
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
            return self.stopped(attempt.run, otherwise=result.reason)
        if result.end is not PlaybookEnd.OK:
            return End(outcome=Outcome.FAILED, reason=result.reason)
        return self._prove(attempt)

    def _ask_required(self, attempt: Attempt) -> End | None:
        """Why nothing is to be done; None when everything that the rule requires holds."""
        answers = [_hear(attempt, answer, Phase.REQUIRE) for answer in ask_all(self.prober, attempt.require)]
        unmet = [f"{answer.asked}: {answer.words}" for answer in answers if not answer.healthy]
        if not unmet:
            return None
        return End(outcome=Outcome.CANCELLED, reason=f"what the rule requires does not hold: {'; '.join(unmet)}")

    def _ask_before(self, attempt: Attempt, probe: Probe) -> End | None:
        """Why nothing is to be done; None when the target is sick `failure_threshold` times in a row."""
        unknown: ProbeAnswer | None = None
        for number in range(probe.failure_threshold):
            if number:
                self._wait(attempt.run, probe.period)
            answer = self._ask(attempt, probe, Phase.BEFORE)
            if answer.healthy:
                return End(outcome=Outcome.NOT_NEEDED, reason=f"the probe found it healthy: {answer.words}")
            unknown = unknown if answer.known else answer
        if unknown:
            words = f"the probe could not say whether it is sick: {unknown.words}"
            return End(outcome=Outcome.CANCELLED, reason=words)
        return None

    def _play(self, attempt: Attempt, job: PlaybookJob) -> PlaybookResult:
        run, redact = attempt.run, attempt.workshop.redaction.apply
        name = str(job.playbook.relative_to(job.playbooks))
        with tracing.span("playbook", {"alertmend.playbook": name}):
            result = self.playbooks.run(job, is_cancelled=lambda: not self._goes_on(run), hear=self.live.hear(run.id))
            is_ok = result.end is PlaybookEnd.OK
            tracing.describe({"alertmend.end": result.end}, error=None if is_ok else redact(result.reason))
        return result

    def _prove(self, attempt: Attempt) -> End:
        asked_to_resolve = attempt.rule.resolve_within is not None and not attempt.is_last_resort
        if attempt.probe is None:
            if asked_to_resolve:
                return End(outcome=None, reason="it ran well; the alerts have to resolve")
            return End(outcome=Outcome.UNPROVED, reason="it ran well, and no proof is asked for")
        healthy, words = self._ask_after(attempt, attempt.probe)
        if not healthy:
            return End(outcome=Outcome.INEFFECTIVE, reason=words)
        return End(outcome=None if asked_to_resolve else Outcome.FIXED, reason=words)

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
        return _hear(attempt, self.prober.ask(probe), phase)

    def _roll_back(self, attempt: Attempt) -> End:
        """The compensation's own end; what the step's was stands in the run."""
        ending, playbook = attempt.run.ending, attempt.rule.rollback
        assert ending is not None
        if playbook is None:
            return End(outcome=ending.outcome, reason="the rule has no rollback any more")
        self.live.roll_back(attempt.run.id)
        result = self._play(attempt, attempt.job(playbook=playbook))
        succeeded = result.end is PlaybookEnd.OK
        attempt.run = replace(
            attempt.run, rollback=Rollback(playbook=playbook, succeeded=succeeded, reason=result.reason)
        )
        return End(outcome=ending.outcome, reason=result.reason)

    def _wait(self, run: Run, span: timedelta) -> None:
        left = span.total_seconds()
        while left > 0:
            if self.closing.wait(min(left, LOOK_UP_SECONDS)):
                raise Stopped
            left -= LOOK_UP_SECONDS
        if not self._goes_on(run):
            raise Stopped

    def _goes_on(self, run: Run) -> bool:
        """Whether the run was neither taken from us nor told to end; a worker that lost its lease has to stop."""
        if self.closing.is_set():
            return False
        try:
            current = self.store.read(Keys(runs=frozenset([run.id]))).runs.get(run.id)
        except Unavailable:
            return True
        is_ours = current is not None and current.state is RunState.RUNNING and current.owner == self.owner
        return is_ours and current is not None and current.cancelled is None

    def _is_wanted(self, run: Run) -> bool:
        snapshot = self.store.read(Keys(pairs=frozenset([run.pair])))
        incident = snapshot.pairs[run.pair].incident
        return incident is not None and incident.run == run.id and bool(incident.firing) and self._goes_on(run)

    def stopped(self, run: Run, *, otherwise: str = "its alerts resolved before it acted") -> End:
        """Why it does not go on."""
        try:
            current = self.store.read(Keys(runs=frozenset([run.id]))).runs.get(run.id)
        except Unavailable:
            current = None
        if current is not None and (word := current.cancelled) is not None:
            what = "paused" if word.pause else "cancelled"
            return End(outcome=Outcome.CANCELLED, reason=f"{what} by {word.by}: {word.comment}")
        if self.closing.is_set():
            return End(outcome=Outcome.CANCELLED, reason="the worker was stopped")
        return End(outcome=Outcome.CANCELLED, reason=otherwise)


def _hear(attempt: Attempt, answer: ProbeAnswer, phase: Phase) -> ProbeAnswer:
    """The answer as it may be kept."""
    redact = attempt.workshop.redaction.apply
    answer = replace(answer, phase=phase, words=redact(answer.words), asked=redact(answer.asked))
    attempt.probes.append(answer)
    said: tracing.Attributes = {
        "alertmend.kind": answer.kind,
        "alertmend.asked": answer.asked,
        "alertmend.phase": phase,
        "alertmend.healthy": answer.healthy if answer.known else None,
        "alertmend.words": answer.words,
    }
    tracing.past_span("probe", said, until=answer.at, seconds=answer.latency_seconds)
    return answer
