"""The real flows over stand-ins, and the loop that lets them do what is due."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from functools import partial
from itertools import count
from typing import Any, Final

from webhook.asking import Asking
from webhook.attempt import Attempt, Workshop, prepare
from webhook.change import Change
from webhook.core.alert import Notification
from webhook.core.probe import Probe
from webhook.core.rulebook import Rulebook
from webhook.core.run import Pair, RunState, Word
from webhook.core.state import Keys
from webhook.errors import StateConflict
from webhook.escalating import Escalating
from webhook.execution import Execution
from webhook.intake import Intake
from webhook.live import Live
from webhook.people import People
from webhook.performing import Performing
from webhook.ports import Doorbell, Envelope, Errand
from webhook.recovering import Recovering
from webhook.rehearsal.memory import MemoryLedger, MemoryStore
from webhook.rehearsal.scenario import Answered, Delivery, Paused, Scenario
from webhook.rehearsal.timeline import Timeline
from webhook.rehearsal.world import PLAYBOOKS, Question, TakingAlerts, TakingPages, World
from webhook.upkeep import Upkeep

#: More rounds than this at one moment come from a mistake of ours.
_MOST_ROUNDS: Final = 10_000


class Stage:
    """One rehearsal. What was decided and done stands in `ledger`."""

    def __init__(self, rulebook: Rulebook, scenario: Scenario) -> None:
        self.timeline = Timeline(scenario.start)
        self.store, self.ledger = MemoryStore(fresh=False), MemoryLedger()
        self._rulebook = rulebook
        self._ids = count(1)
        self._notifications: dict[str, Notification] = {}
        self._change = Change(store=self.store, ledger=self.ledger)
        self._world = World(scenario=scenario, timeline=self.timeline, question=self._question)
        self._make_flows()
        for delivery in scenario.deliveries:
            self.timeline.at(delivery.at, partial(self._deliver, delivery))
        for answer in scenario.answers:
            self.timeline.at(answer.at, partial(self._answer_plans, answer))
        for pause in scenario.pauses:
            self.timeline.at(pause.at, partial(self._pause, pause))

    def play(self, until: datetime) -> None:
        """Let all happen that is due until then, that moment included."""
        while (at := self._next_at()) is not None and at <= until:
            self.timeline.go_to(at)
            self._settle()
        self.timeline.go_to(until)

    def close(self) -> None:
        """End the runs that are still under way."""
        self.timeline.close()

    def _make_flows(self) -> None:
        live = Live(store=self.store)
        asking = Asking(alertmanagers=lambda: None, now=self.timeline)
        shared: dict[str, Any] = {"change": self._change, "now": self.timeline, "new_id": self._new_id}
        ruled: dict[str, Any] = {**shared, "rulebook": lambda: self._rulebook}
        recovering = Recovering(history=self.ledger, end_leftovers=lambda _: 0, **ruled)
        self._intake = Intake(
            recover=recovering.recover, parse=lambda id, _: self._notifications[id], asking=asking, **ruled
        )
        self._execution = Execution(
            workshop=self._workshop,
            performing=Performing(
                store=self.store,
                prober=self._world,
                playbooks=self._world,
                live=live,
                now=self.timeline,
                owner="rehearsal",
                closing=_Flag(self.timeline),
            ),
            live=live,
            asking=asking,
            **shared,
        )
        self._people = People(**ruled)
        alertmanagers, pager = TakingAlerts(), TakingPages()
        escalating = Escalating(
            alertmanagers=lambda: alertmanagers, pager=pager, external_url=lambda: "http://alertmend", **ruled
        )
        self._upkeep = Upkeep(
            recovering=recovering,
            history=self.ledger,
            escalate=escalating.escalate,
            reconcile=lambda: None,
            end_leftovers=lambda _: 0,
            machine="rehearsal",
            **ruled,
        )

    def _next_at(self) -> datetime | None:
        times = [at for at in (self.timeline.next_at, *self.store.due.values()) if at is not None]
        return max(min(times), self.timeline.now) if times else None

    def _settle(self) -> None:
        for _ in range(_MOST_ROUNDS):
            self._upkeep.tick()
            rung, self.store.rung = self.store.rung, []
            for doorbell in rung:
                self._answer(doorbell)
            self.timeline.go_to(self.timeline.now)
            if not rung and all(at > self.timeline.now for at in self.store.due.values()):
                return
        raise RuntimeError("a rehearsal does not come to rest")

    def _answer(self, doorbell: Doorbell) -> None:
        about = doorbell.about
        if doorbell.errand is Errand.INTAKE:
            self._intake.take(about)
        elif doorbell.errand is Errand.RECONSIDER:
            rule, _, target = about.partition("|")
            self._intake.reconsider(Pair(rule, target))
        elif doorbell.errand is Errand.PLAN:
            self.timeline.start(lambda: self._execution.plan(about), name=about)
        else:
            self.timeline.start(lambda: self._execution.execute(about), name=about)

    def _deliver(self, delivery: Delivery) -> None:
        id = self._new_id()
        self._notifications[id] = Notification(
            id=id,
            received_at=delivery.at,
            receiver="alertmend",
            group_key="",
            external_url=delivery.source,
            truncated_alerts=0,
            alerts=delivery.alerts,
        )
        self.store.put(id, Envelope(received_at=delivery.at, sender="alertmanager", body=""))

    def _answer_plans(self, answer: Answered) -> None:
        word = Word(by=answer.by, at=answer.at, comment="rehearsed")
        say = self._people.approve if answer.approves else self._people.reject
        waiting = [run for run in self.ledger.runs.values() if run.state is RunState.AWAITING_APPROVAL]
        for run in waiting:
            # Its time may be over at this very moment.
            with suppress(StateConflict):
                if answer.target in (None, run.target):
                    say(run.id, word)

    def _pause(self, pause: Paused) -> None:
        word = Word(by="rehearsal", at=pause.at, comment="rehearsed")
        self._people.pause(pause.matchers, until=pause.at + pause.lasts, word=word, cancel_running=False)

    def _workshop(self) -> Workshop:
        return Workshop(rulebook=self._rulebook, playbooks=PLAYBOOKS, inventory=PLAYBOOKS)

    def _question(self, probe: Probe) -> Question:
        run = self.store.read(Keys(runs=frozenset([self.timeline.name]))).runs[self.timeline.name]
        states = self.store.read(Keys(alerts=frozenset(run.alerts))).alerts
        attempt = prepare(run, tuple(states[f].alert for f in run.alerts if f in states), self._workshop())
        required = isinstance(attempt, Attempt) and probe != attempt.probe and probe in attempt.require
        return Question(run=run, is_required=required)

    def _new_id(self) -> str:
        return f"r{next(self._ids)}"


@contextmanager
def staged(rulebook: Rulebook, scenario: Scenario, *, until: datetime) -> Iterator[Stage]:
    """A rehearsal that was played until then."""
    stage = Stage(rulebook, scenario)
    try:
        stage.play(until)
        yield stage
    finally:
        stage.close()


class _Flag:
    """Satisfies `performing.Flag`; whoever waits for it lets time pass."""

    def __init__(self, timeline: Timeline) -> None:
        self._timeline = timeline
        self._is_set = False

    def set(self) -> None:
        self._is_set = True

    def is_set(self) -> bool:
        return self._is_set

    def wait(self, timeout: float | None = None) -> bool:
        self._timeline.wait(timedelta(seconds=timeout or 0))
        return self._is_set
