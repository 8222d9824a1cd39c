"""What nobody asked for and must happen all the same: unsealed batches, doorbells again, due holds, lost runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import structlog

from webhook.change import Change
from webhook.core.due import RECONCILE_DUE, crowd_due, line_due, parse_crowd
from webhook.core.rule import Step
from webhook.core.rulebook import Rulebook
from webhook.core.run import Outcome, Run, RunState
from webhook.core.state import Draft, Keys
from webhook.core.storm import Crowd
from webhook.core.transcript import task_results
from webhook.core.transition import (
    RING_AGAIN,
    Moment,
    NewId,
    end_storm,
    expire,
    finish,
    storm_escalation,
)
from webhook.ports import Doorbell, Errand, History
from webhook.recovering import Recovering

log = structlog.get_logger()

#: At most this many things of a kind in one round, so that no round is long.
PORTION = 200
#: At most this many of those who wait for the same thing are called when it frees.
CALLED_AT_ONCE = 20
#: A worker from which Redis was away for longer than a lease gets this long to renew it.
RENEWING = timedelta(seconds=5)
#: What a step may take beyond its timeout until its last process is gone.
ENDING = timedelta(seconds=10)


@dataclass(frozen=True, slots=True, kw_only=True)
class Upkeep:
    """One round of it is `tick`. Any number of processes may do it; one at a time is enough."""

    change: Change
    recovering: Recovering
    history: History
    rulebook: Callable[[], Rulebook]
    #: Takes the next step of an escalation.
    escalate: Callable[[str], None]
    #: Compares with Alertmanager at once.
    reconcile: Callable[[], object]
    #: Ends what a run left running on this machine; how many processes that were.
    end_leftovers: Callable[[str], int]
    now: Callable[[], datetime]
    new_id: NewId
    #: The name of this machine, as in the owners of runs.
    machine: str
    #: Runs whose workers are not heard of, and since when.
    silent: dict[str, datetime] = field(default_factory=dict)

    def tick(self) -> None:
        """One round, about every second.

        Raises:
            Unavailable: a dependency is away; nothing is rung for that is not on the record.
        """
        self.seal_what_was_left()
        self.recovering.recover()
        self._lose_those(self._not_heard_of())
        self.look_at_due()

    def seal_what_was_left(self) -> None:
        """Seal every batch whose writer vanished between its commit and its seal."""
        while batches := self.change.store.unconfirmed(limit=PORTION):
            for batch in batches:
                self.change.seal(batch)

    def lose_own_runs(self) -> None:
        """Lose the runs of workers that vanished from this machine, wherever the rest of upkeep is done."""
        self._lose_those([run for run in self._not_heard_of() if run.machine == self.machine])

    def ring_again(self, *, after: timedelta = RING_AGAIN) -> None:
        """Ring for notifications that have lain in the inbox for that long.

        About every half minute; and at once by a worker that starts, since the one before it may have died over some.
        """
        waiting = self.change.store.waiting_since(self.now() - after, limit=PORTION)
        self.change.store.ring([Doorbell(errand=Errand.INTAKE, about=id) for id in waiting])

    def _moment(self) -> Moment:
        return Moment(rulebook=self.rulebook(), now=self.now(), new_id=self.new_id)

    def _not_heard_of(self) -> list[Run]:
        active = self.change.store.read(Keys()).everything.active
        without = self.change.store.without_lease(active)
        found = self.change.store.read(Keys(runs=frozenset(without))).runs.values() if without else ()
        runs = [run for run in found if run.state is RunState.RUNNING]
        for run in runs:
            if run.id not in self.silent:
                log.warning(
                    "a worker is not heard of", action="lose", run=run.id, incident=run.incident, worker=run.owner
                )
        since = {run.id: self.silent.get(run.id, self.now()) for run in runs}
        self.silent.clear()
        self.silent.update(since)
        return runs

    def _lose_those(self, runs: Iterable[Run]) -> None:
        for run in runs:
            if self.now() >= self.silent[run.id] + self._patience(run):
                self._lose(run.id)

    def _patience(self, run: Run) -> timedelta:
        """After how long nothing of the run acts any more, once its processes here are ended.

        Those on a machine that is cut off, or gone, are beyond our reach: they end with their step's timeout.
        """
        if run.machine == self.machine:
            return RENEWING
        rule = self.rulebook().rule(run.rule)
        step = (rule.rung(run.step) if rule else None) or Step(playbook=run.playbook)
        return step.timeout + ENDING

    def _lose(self, id: str) -> None:
        moment = self._moment()

        def write(draft: Draft) -> bool | None:
            run = draft.runs.get(id)
            if run is None or run.state is not RunState.RUNNING or not self.change.store.without_lease([id]):
                return None
            if recorded is not None and recorded.outcome is not None:
                # Redis went back to before its end, and someone began it again, who then did nothing.
                finish(draft, moment, recorded, recorded.outcome, reason=recorded.reason)
                return True
            if passages := self.change.store.told(id):
                run = replace(run, task_results=task_results(passages))
                draft.transcripts[id] = passages
            finish(draft, moment, run, Outcome.LOST, reason="its worker vanished")
            return True

        run = self.change.store.read(Keys(runs=frozenset([id]))).runs.get(id)
        if run is None or run.state is not RunState.RUNNING:
            return
        # First its processes, then the claim: the next attempt must not meet them.
        ended = self.end_leftovers(id)
        # Its worker may have left a batch of it: the record tells its beginning before its end.
        self.seal_what_was_left()
        recorded = self.history.run(id)
        phase = "rollback-lost" if run.ending else "lost"
        if self.change.make(Keys(runs=frozenset([id])), write, id=f"run:{id}:{phase}", moment=moment):
            log.warning("a run was lost", action="lose", run=id, incident=run.incident, processes_ended=ended)

    def look_at_due(self) -> None:
        """Call those who wait for what has come: a time, or a place that is free."""
        # Who is called out of a waiting line is due at once: a place that is free is not left so until the next time.
        if self._look_at_due_once():
            self._look_at_due_once()

    def _look_at_due_once(self) -> bool:
        """Whether anyone was called out of a waiting line."""
        now, doorbells, called = self.now(), list[Doorbell](), 0
        for due in self.change.store.take_due(now, again_at=now + RING_AGAIN, limit=PORTION):
            kind, _, rest = due.partition(":")
            if kind == "pair":
                doorbells.append(Doorbell(errand=Errand.RECONSIDER, about=rest))
            elif kind == "line":
                called += self.change.store.call_line(rest, due=line_due(rest), now=now, limit=CALLED_AT_ONCE)
            elif kind == "storm":
                self._look_at_storm(parse_crowd(rest))
            elif kind == "escalation":
                self.escalate(rest)
            elif due == RECONCILE_DUE:
                self.change.store.forget_due(due)
                self.reconcile()
            else:
                doorbells += self._look_at_run(rest, due=due)
        self.change.store.ring(doorbells)
        return called > 0

    def _look_at_run(self, id: str, *, due: str) -> list[Doorbell]:
        run = self.change.store.read(Keys(runs=frozenset([id]))).runs.get(id)
        if run is not None and run.state is RunState.QUEUED:
            return [Doorbell(errand=Errand.EXECUTE, about=id)]
        if run is not None and run.state in (RunState.PROVING, RunState.AWAITING_APPROVAL):
            self._time_is_over(id)
        else:
            self.change.store.forget_due(due)
        return []

    def _time_is_over(self, id: str) -> None:
        """For the alerts to resolve, or for people to approve."""
        moment = self._moment()

        def write(draft: Draft) -> Run | None:
            run = draft.runs.get(id)
            if run is not None and run.state is RunState.PROVING:
                reason = "the alerts did not resolve in time"
                return finish(draft, moment, run, Outcome.INEFFECTIVE, reason=reason)
            return expire(draft, moment, run) if run is not None else None

        self.change.make(Keys(runs=frozenset([id])), write, id=f"run:{id}:time-over", moment=moment)

    def _look_at_storm(self, crowd: Crowd) -> None:
        moment = self._moment()

        def write(draft: Draft) -> bool | None:
            state = draft.crowd(crowd)
            if state.is_over(moment.now):
                end_storm(draft, moment, crowd)
            else:
                draft.due[crowd_due(crowd)] = state.ends_at
            return True

        keys = Keys(crowds=frozenset([crowd]), escalations=frozenset([storm_escalation(crowd)]))
        self.change.make(keys, write, id=f"storm:{self.new_id()}", moment=moment)
