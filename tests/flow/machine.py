"""Incidents driven through everything that can happen to them, by chance, against laws that always hold."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from pydantic import TypeAdapter

from tests.flow import scene as scenes
from tests.flow.scene import Scene, alert
from webhook.core.alert import Alert, AlertStatus
from webhook.core.audit import Event
from webhook.core.decision import decide
from webhook.core.due import line_due, pair_due
from webhook.core.evidence import Evidence
from webhook.core.gathering import within
from webhook.core.incident import Incident
from webhook.core.rule import (
    ApprovalPolicy,
    Breaker,
    GiveUp,
    Guards,
    Limits,
    MaxTargets,
    Mode,
    RateLimit,
    Rule,
    Step,
)
from webhook.core.run import Outcome, Run, RunState
from webhook.core.state import AlertState, Keys
from webhook.errors import NotFound, StateConflict
from webhook.ports import Errand
from webhook.world import PlaybookEnd, PlaybookJob, PlaybookResult

EVIDENCE, ALERT = TypeAdapter(Evidence), TypeAdapter(Alert)
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
HOSTS = st.sampled_from(["web1", "web2", "web3", "db1"])
NAMES = st.sampled_from(["Down", "Full", "Slow"])
OVERALL = RateLimit(count=6, per=HOUR)

RULES: tuple[Rule, ...] = (
    scenes.rule(
        "restart",
        steps=(Step(playbook="a.yml"), Step(playbook="b.yml", mode=Mode.APPROVE)),
        rollback="undo.yml",
        give_up=GiveUp(playbook="page.yml"),
        guards=Guards(
            cooldown=5 * MINUTE,
            rate_limit=RateLimit(count=3, per=HOUR),
            max_targets=MaxTargets(number=2),
            breaker=Breaker(failures=3, window=HOUR, open_for=2 * HOUR),
        ),
    ),
    scenes.rule(
        "free",
        match='alertname="Full"',
        probe=True,
        guards=Guards(concurrency=1, rule_rate_limit=RateLimit(count=4, per=HOUR), lock=("$labels.cluster",)),
    ),
    scenes.rule(
        "ask",
        match='alertname="Slow"',
        mode=Mode.APPROVE,
        for_=MINUTE,
        resolve_within=10 * MINUTE,
        approval=ApprovalPolicy(count=2),
    ),
)


class Vanished(BaseException):
    """The worker is gone, in the middle of something."""


class Machine(RuleBasedStateMachine):
    """One alertmend, one clock, four hosts, three rules."""

    def make_store(self) -> Any:
        """The store under test; None: the one in memory."""
        return None

    def __init__(self) -> None:
        super().__init__()
        store = self.make_store()
        self.scene = Scene(
            rules=RULES, limits=Limits(concurrency=2, rate_limit=OVERALL), **({"store": store} if store else {})
        )
        self.scene.playbooks.does = self.play
        self.on_hosts: list[str] = []
        self.played: list[tuple[str, str]] = []
        self.ends = "ok"
        self.seen = 0

    # What happens

    @rule(host=HOSTS, name=NAMES, cluster=st.sampled_from(["eu", "us"]), source=st.sampled_from(["am1", "am2"]))
    def fires(self, host: str, name: str, cluster: str, source: str) -> None:
        found = alert(host, name=name, cluster=cluster, starts_at=self.scene.clock.now)
        self.scene.delivers(found, source=f"http://{source}")

    @rule(name=NAMES)
    def all_fire(self, name: str) -> None:
        hosts = ("web1", "web2", "web3", "db1")
        self.scene.delivers(*(alert(host, name=name, cluster="eu") for host in hosts))

    @rule(data=st.data())
    def resolves(self, data: st.DataObject) -> None:
        """One that fires, if any does."""
        states = [state.alert for state in self.firing()]
        if states:
            found = data.draw(st.sampled_from(states))
            self.scene.delivers(replace(found, status=AlertStatus.RESOLVED, ends_at=self.scene.clock.now))

    @rule(ends=st.lists(st.sampled_from(["ok", "ok", "failed", "cancelled", "vanished"]), min_size=1, max_size=3))
    def works(self, ends: list[str]) -> None:
        """Workers answer doorbells, and what they have to mend is mended when the playbook ends well."""
        self.keeps_up()
        for end in ends:
            rung = self.rung(Errand.EXECUTE)
            self.ring_again(rung[1:])
            for doorbell in rung[:1]:
                self.work(doorbell, end)
        self.keeps_up()

    @rule(ends=st.lists(st.sampled_from(["ok", "failed"]), min_size=1, max_size=3))
    def goes_on_after_a_while(self, ends: list[str]) -> None:
        self.scene.clock.advance(seconds=301)
        self.works(ends)

    def work(self, run: str, end: str) -> None:
        self.ends, before = end, len(self.scene.playbooks.jobs)
        self.scene.world.answers = lambda: end == "ok" and len(self.scene.playbooks.jobs) > before
        try:
            self.scene.execution.execute(run)
        except Vanished:
            self.on_hosts.clear()
            self.forget_leases()

    @rule()
    def doorbells_are_lost(self) -> None:
        self.rung(Errand.EXECUTE)
        self.rung(Errand.PLAN)

    @rule()
    def doorbells_are_heard_twice(self) -> None:
        # Each of them: what doubles again and again fills the memory.
        rung = list(dict.fromkeys(self.rung(Errand.EXECUTE)))
        self.ring_again([*rung, *rung])

    @rule()
    def keeps_up(self) -> None:
        self.scene.upkeep.tick()
        for about in self.rung(Errand.RECONSIDER):
            rule, _, target = about.partition("|")
            self.scene.intake.reconsider(scenes.Pair(rule, target))

    @rule(seconds=st.sampled_from([1, 30, 61, 301, 901, 3601, 7201]))
    def time_passes(self, seconds: int) -> None:
        self.scene.clock.advance(seconds=seconds)

    @rule(seconds=st.sampled_from([1, 60, 600]))
    def the_clock_jumps_back(self, seconds: int) -> None:
        self.scene.clock.advance(seconds=-seconds)

    @rule(who=st.sampled_from(["alice", "bob"]), verb=st.sampled_from(["approve", "reject", "cancel"]))
    def a_person_says(self, who: str, verb: str) -> None:
        runs = [run.id for run in self.scene.runs if run.outcome is None]
        for run in runs[-1:]:
            with suppress(StateConflict, NotFound):
                getattr(self.scene.people, verb)(run, self.scene.word(who, verb))

    @precondition(lambda self: not self.scene.people.pauses())
    @rule(minutes=st.sampled_from([1, 10]), matcher=st.sampled_from([(), ("target=web1",), ("cluster=eu",)]))
    def pauses(self, minutes: int, matcher: tuple[str, ...]) -> None:
        self.scene.pauses("stop", *matcher, minutes=minutes)

    @precondition(lambda self: self.scene.people.pauses())
    @rule()
    def resumes(self) -> None:
        self.scene.resumes(self.scene.people.pauses()[0].id)

    # What a playbook does

    def play(self, job: PlaybookJob) -> PlaybookResult:
        if job.check:
            return PlaybookResult(end=PlaybookEnd.OK, reason="nothing would change", return_code=0)
        assert job.target not in self.on_hosts, "one target has two runs at once"
        assert (job.run, job.playbook.name) not in self.played, "a playbook was started twice for one run"
        self.played.append((job.run, job.playbook.name))
        self.on_hosts.append(job.target)
        if self.ends == "vanished":
            raise Vanished
        self.on_hosts.remove(job.target)
        return PlaybookResult(end=PlaybookEnd(self.ends), reason=self.ends, return_code=0)

    # What always holds

    @invariant()
    def every_decision_decides_the_same_again(self) -> None:
        new, self.seen = self.scene.ledger.events[self.seen :], len(self.scene.ledger.events)
        policy = self.scene.rulebook().policy
        for event in new:
            assert event.body["revision"] == self.scene.rulebook().revision
            if event.event is Event.DECISION:
                rule = next(rule for rule in RULES if rule.name == event.rule)
                evidence, found = EVIDENCE.validate_python(event.body["evidence"]), event.body["alert"]
                decided = scenes.DECISION.validate_python(event.body["decision"])
                assert decide(rule, policy, ALERT.validate_python(found), evidence) == decided

    @invariant()
    def no_limit_is_exceeded(self) -> None:
        active = [run for run in self.scene.runs if run.is_active]
        assert len(active) <= 2
        assert sum(run.rule == "free" for run in active) <= 1
        assert len({run.target for run in active}) == len(active)
        clusters = [key for run in active for key in run.locks]
        assert len(set(clusters)) == len(clusters)
        spent = [run for run in self.scene.runs if run.queued_at is not None and _spends(run)]
        _hold(OVERALL, spent)
        for name, limit in (("free", RateLimit(count=4, per=HOUR)),):
            _hold(limit, [run for run in spent if run.rule == name])
        for target in {run.target for run in spent}:
            _hold(RateLimit(count=3, per=HOUR), [r for r in spent if (r.rule, r.target) == ("restart", target)])

    @invariant()
    def no_open_incident_is_forgotten(self) -> None:
        for incident in self.scene.incidents:
            if incident.is_open:
                assert self.why(incident), incident

    @invariant()
    def the_chain_holds(self) -> None:
        assert self.scene.ledger.holds

    @invariant()
    def the_record_has_come_as_far_as_the_state(self) -> None:
        # It refuses whatever went back: that would be seen here.
        recorded = self.scene.ledger
        snapshot = self.scene.store.read(
            Keys(runs=frozenset(recorded.runs), pairs=frozenset(incident.pair for incident in self.scene.incidents))
        )
        for run in snapshot.runs.values():
            assert run == recorded.runs[run.id]
        for incident in filter(None, (state.incident for state in snapshot.pairs.values())):
            assert incident == recorded.incidents[incident.id]

    def why(self, incident: Incident) -> str:
        """Why an open incident stands as it does: something runs, it is due, or people have it."""
        if incident.run is not None:
            run = next(run for run in self.scene.runs if run.id == incident.run)
            return "" if run.outcome is not None else f"run {run.state}"
        last = incident.last_run
        if incident.handed_over or (last is not None and last.ended_by):
            return "people have it"
        if last is not None and last.outcome in (Outcome.FIXED, Outcome.UNPROVED):
            return "it helped, and the alerts have yet to resolve"
        if self.due(pair_due(incident.pair)):
            return "it is due at a time"
        line = self.scene.store.read(Keys(pairs=frozenset([incident.pair]))).pairs[incident.pair].line
        return "it waits in a line" if line and self.waits(line, incident) else ""

    # What a store in memory lets be seen; another one is asked in its own way.

    def rung(self, errand: Errand) -> list[str]:
        return [doorbell.about for doorbell in self.scene.take_rung(errand)]

    def ring_again(self, runs: list[str]) -> None:
        self.scene.store.ring([scenes.Doorbell(errand=Errand.EXECUTE, about=run) for run in runs])

    def firing(self) -> list[AlertState]:
        store = self.scene.store
        incidents = [found for found in self.scene.incidents if found.is_open]
        keys = Keys(alerts=frozenset(f for incident in incidents for f in incident.firing))
        return sorted(store.read(keys).alerts.values(), key=lambda state: state.alert.fingerprint)

    def forget_leases(self) -> None:
        self.scene.store.leases.clear()

    def due(self, key: str) -> bool:
        return key in self.scene.store.due

    def waits(self, line: str, incident: Incident) -> bool:
        # Who was called is due; a line that has someone in it is called when what they wait for is free.
        return incident.pair in self.scene.store.lines.get(line, {}) or self.due(line_due(line))


def _spends(run: Run) -> bool:
    used_up = run.outcome is not None and run.outcome.uses_up_attempt
    return run.state is not RunState.FINISHED or run.acted_at is not None or used_up


def _hold(limit: RateLimit, runs: list[Run]) -> None:
    """In no window of its length were more runs claimed than the limit allows."""
    times: list[datetime] = sorted(run.queued_at for run in runs if run.queued_at is not None)
    more = RateLimit(count=limit.count + 1, per=limit.per)
    for at in times:
        before: Callable[[datetime], bool] = lambda time, at=at: time <= at  # noqa: E731
        assert len(within(tuple(filter(before, times)), more, at)) <= limit.count, (limit, times)
