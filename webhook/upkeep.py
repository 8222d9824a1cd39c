"""What nobody asked for and must happen all the same: unsealed batches, doorbells again, due holds, lost runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import structlog

from webhook.change import Change, plain
from webhook.core.audit import AuditEvent, Event
from webhook.core.incident import Outcome, Run, RunState
from webhook.core.state import Draft, Keys, line_due, parse_due
from webhook.core.transcript import task_results
from webhook.core.transition import RING_AGAIN, NewId, finish
from webhook.ports import Batch, Doorbell, Errand, History

log = structlog.get_logger()

#: At most this many things of a kind in one round, so that no round is long.
PORTION = 200
#: At most this many of those who wait for the same thing are called when it frees.
CALLED_AT_ONCE = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Upkeep:
    """One round of it is `tick`. Any number of processes may do it; one at a time is enough."""

    change: Change
    history: History
    #: Ends what a run left running on this machine; how many processes that were.
    end_leftovers: Callable[[str], int]
    now: Callable[[], datetime]
    new_id: NewId

    def tick(self) -> None:
        """One round, about every second.

        Raises:
            Unavailable: a dependency is away; nothing is rung for that is not on the record.
        """
        now = self.now()
        self.seal_what_was_left()
        self._lose_runs(now)
        self._look_at_due(now)

    def seal_what_was_left(self) -> None:
        """Seal every batch whose writer vanished between its commit and its seal."""
        while batches := self.change.store.unconfirmed(limit=PORTION):
            for batch in batches:
                self.change.seal(batch)

    def ring_again(self, *, after: timedelta = RING_AGAIN) -> None:
        """Ring for notifications that have lain in the inbox for that long.

        About every half minute; and at once by a worker that starts, since the one before it may have died over some.
        """
        waiting = self.change.store.waiting_since(self.now() - after, limit=PORTION)
        self.change.store.ring([Doorbell(errand=Errand.INTAKE, about=id) for id in waiting])

    def mourn(self) -> list[str]:
        """The runs that the ledger says were under way and that the store knows nothing of: recorded as lost."""
        lost = []
        for run in self.history.unfinished_runs():
            if run.id in self.change.store.read(Keys(runs=frozenset([run.id]))).runs:
                continue
            self.end_leftovers(run.id)
            lost.append(run.id)
            self._record_loss(run)
        return lost

    def _record_loss(self, run: Run) -> None:
        now = self.now()
        reason = "the state in Redis was lost while it was under way"
        ended = replace(run, state=RunState.FINISHED, outcome=Outcome.LOST, reason=reason, finished_at=now)
        event = AuditEvent(
            at=now,
            event=Event.RUN_FINISHED,
            incident=run.incident,
            run=run.id,
            rule=run.rule,
            target=run.target,
            outcome=Outcome.LOST,
            body=plain({"run": ended}),
        )
        self.change.seal(Batch(id=f"run:{run.id}:finished", at=now, events=(event,), runs=(ended,)))

    def _lose_runs(self, now: datetime) -> None:
        active = self.change.store.read(Keys()).everything.active
        for id in self.change.store.without_lease(active):
            self._lose(id, now)

    def _lose(self, id: str, now: datetime) -> None:
        def write(draft: Draft) -> bool | None:
            run = draft.runs.get(id)
            if run is None or run.state is not RunState.RUNNING or not self.change.store.without_lease([id]):
                return None
            if passages := self.change.store.told(id):
                run = replace(run, task_results=task_results(passages))
                draft.transcripts[id] = passages
            finish(draft, run, Outcome.LOST, reason="its worker vanished", now=now)
            return True

        run = self.change.store.read(Keys(runs=frozenset([id]))).runs.get(id)
        if run is None or run.state is not RunState.RUNNING:
            return
        # First its processes, then the claim: the next attempt must not meet them.
        ended = self.end_leftovers(id)
        if self.change.make(Keys(runs=frozenset([id])), write, id=f"run:{id}:finished", at=now):
            log.warning("a run was lost", action="lose", run=id, processes_ended=ended)

    def _look_at_due(self, now: datetime) -> None:
        doorbells = []
        for due in self.change.store.take_due(now, again_at=now + RING_AGAIN, limit=PORTION):
            kind, _, rest = due.partition(":")
            if kind == "pair":
                doorbells.append(Doorbell(errand=Errand.RECONSIDER, about=rest))
            elif kind == "line":
                self.change.store.call_line(rest, due=line_due(rest), now=now, limit=CALLED_AT_ONCE)
            else:
                doorbells += self._look_at_run(str(parse_due(due)), due=due, now=now)
        self.change.store.ring(doorbells)

    def _look_at_run(self, id: str, *, due: str, now: datetime) -> list[Doorbell]:
        run = self.change.store.read(Keys(runs=frozenset([id]))).runs.get(id)
        if run is not None and run.state is RunState.QUEUED:
            return [Doorbell(errand=Errand.EXECUTE, about=id)]
        if run is not None and run.state is RunState.PROVING:
            self._give_up_proving(id, now)
        else:
            self.change.store.forget_due(due)
        return []

    def _give_up_proving(self, id: str, now: datetime) -> None:
        def write(draft: Draft) -> bool | None:
            run = draft.runs.get(id)
            if run is None or run.state is not RunState.PROVING:
                return None
            finish(draft, run, Outcome.INEFFECTIVE, reason="the alerts did not resolve in time", now=now)
            return True

        self.change.make(Keys(runs=frozenset([id])), write, id=f"run:{id}:finished", at=now)
