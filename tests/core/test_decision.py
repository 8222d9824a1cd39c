"""Every guard by itself: what it lets pass, what it holds and until when, what it refuses, and in which words."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook.core.alert import Alert, AlertStatus
from webhook.core.breaker import BreakerState
from webhook.core.decision import decide
from webhook.core.evidence import Evidence, Firing, HeldLock, OpenIncident, Policy, Report, SeenAlert, SickHosts
from webhook.core.guard import GUARDS
from webhook.core.incident import ApprovalRequest, LastRun
from webhook.core.matcher import parse_matcher
from webhook.core.pause import Pause
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
from webhook.core.run import Outcome, RunState, Word
from webhook.core.schedule import Minutes, NamedInterval, TimeInterval
from webhook.core.target import Target
from webhook.core.verdict import Check, Choice, Verdict

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)
PAUSE = Pause(
    id="p1",
    matchers=(parse_matcher("job=web"),),
    until=NOON + HOUR,
    said=Word(by="alice", at=NOON - HOUR, comment="a release"),
)
INTERVALS = {
    name: NamedInterval(name=name, intervals=(TimeInterval(times=(Minutes(first * 60, last * 60),)),))
    for name, first, last in (("lunch", 11, 13), ("night", 22, 24))
}
PASS, HOLD, REFUSE = Verdict.PASS, Verdict.HOLD, Verdict.REFUSE

ALERT = Alert(
    status=AlertStatus.FIRING,
    labels={"alertname": "Down", "instance": "web1"},
    annotations={},
    starts_at=NOON - HOUR,
    ends_at=None,
    fingerprint="f1",
)
RULE = Rule(name="restart-web", match=(parse_matcher('alertname="Down"'),), steps=(Step(playbook="a.yml"),))
#: Nothing is known that speaks against a run.
CLEAR = Evidence(
    now=NOON,
    received_at=NOON,
    source="http://am1",
    revision=1,
    target=Target(host="web1"),
    missing=(),
    seen=None,
    incident=None,
    firing_since=NOON - HOUR,
    pair_finished_at=None,
    target_finished_at=None,
    pair_starts=(),
    rule_starts=(),
    all_starts=(),
    rule_running=0,
    running=0,
)
OPEN = OpenIncident(id="i1", rule="restart-web", target="web1", attempts=0, run=None, run_state=None, last_run=None)


def ended(outcome: Outcome, *, ago: timedelta = MINUTE) -> OpenIncident:
    """The incident, after a run that ended so."""
    return replace(OPEN, attempts=1, last_run=LastRun(id="r1", outcome=outcome, finished_at=NOON - ago))


def seen(*, firing: bool = False, ago: timedelta = MINUTE, source: str = "http://am1") -> SeenAlert:
    return SeenAlert(is_firing=firing, received_at=NOON - ago, ends_at=None if firing else NOON - ago, source=source)


LAST = LastRun(id="r1", outcome=Outcome.FAILED, finished_at=NOON - SECOND)


def reported(firing: Firing, words: str = "") -> dict[str, Any]:
    return {"report": Report(firing=firing, at=NOON - SECOND, words=words)}


def sick(count: int, **storm: datetime) -> dict[str, Any]:
    """So many of twenty hosts, of which 30% may be."""
    hosts = SickHosts(group="web", hosts=20, sick=count, **storm)
    return {"knows": {"sick": hosts}, "rule": rule_with(max_targets=MaxTargets(share=0.3))}


def broken(**state: Any) -> dict[str, Any]:
    limit = Breaker(failures=3, window=HOUR, open_for=2 * HOUR)
    return {"knows": {"breaker": BreakerState(**state)}, "rule": rule_with(breaker=limit)}


def timed(**guards: tuple[str, ...]) -> dict[str, Any]:
    return {"rule": rule_with(**guards), "policy": {"time_intervals": INTERVALS}}


def asked(*approvers: str) -> OpenIncident:
    """The incident, with a plan that these have approved."""
    words = tuple(Word(by=name, at=NOON, comment="yes") for name in approvers)
    request = ApprovalRequest(run="r1", step=1, expires_at=NOON + 5 * MINUTE, approvals=words)
    return replace(OPEN, run="r1", run_state=RunState.AWAITING_APPROVAL, request=request)


def rule_with(**guards: Any) -> dict[str, Any]:
    return {"guards": Guards(**guards)}


@dataclass(frozen=True, kw_only=True)
class Case:
    """One question to one guard."""

    guard: str
    says: Verdict
    #: A part of the reason.
    words: str
    knows: dict[str, Any] = field(default_factory=dict)
    rule: dict[str, Any] = field(default_factory=dict)
    policy: dict[str, Any] = field(default_factory=dict)
    retry_at: datetime | None = None

    def __str__(self) -> str:
        return f"{self.guard} {self.says}: {self.words}"


THREE_AN_HOUR = RateLimit(count=3, per=HOUR)
THREE_STARTS = (NOON - 50 * MINUTE, NOON - 20 * MINUTE, NOON - MINUTE)
STEPS = (Step(playbook="a.yml"), Step(playbook="b.yml"))

CASES = [
    Case(guard="target", says=PASS, words="instance names the inventory host web1"),
    Case(guard="target", says=REFUSE, words="is a group", knows={"target": Target(problem='"web" is a group')}),
    Case(guard="labels", says=PASS, words="every placeholder of the rule has a value"),
    Case(
        guard="labels",
        says=REFUSE,
        words="the alert has no $labels.a, $annotations.b, which the rule asks for",
        knows={"missing": ("$labels.a", "$annotations.b")},
    ),
    Case(guard="mode", says=PASS, words="auto"),
    Case(guard="mode", says=REFUSE, words="the rule says observe", rule={"mode": Mode.OBSERVE}),
    Case(guard="mode", says=REFUSE, words="the configuration says observe", policy={"ceiling": Mode.OBSERVE}),
    Case(guard="max_queue_age", says=PASS, words="received 0s ago"),
    Case(guard="max_queue_age", says=PASS, words="received 1h ago", knows={"received_at": NOON - HOUR}),
    Case(
        guard="max_queue_age",
        says=REFUSE,
        words="waited 1h1s in the inbox, longer than 1h",
        knows={"received_at": NOON - HOUR - timedelta(seconds=1)},
    ),
    Case(guard="max_queue_age", says=PASS, words="it came due by itself", knows={"received_at": None}),
    Case(guard="order", says=PASS, words="no later word"),
    Case(guard="order", says=PASS, words="no later word", knows={"seen": seen(firing=True)}),
    Case(guard="order", says=PASS, words="it fires again", knows={"seen": seen()}),
    Case(
        guard="order",
        says=REFUSE,
        words="reported resolved after this notification came in",
        knows={"seen": seen(ago=MINUTE), "received_at": NOON - 2 * MINUTE},
    ),
    Case(
        guard="order",
        says=REFUSE,
        words="a late copy from another Alertmanager: http://am2 reported this firing resolved 1m before",
        knows={"seen": seen(source="http://am2")},
    ),
    Case(
        guard="order",
        says=PASS,
        words="it fires again",
        knows={"seen": seen(source="http://am2", ago=6 * MINUTE)},
    ),
    Case(guard="open_incident", says=PASS, words="no incident is open"),
    Case(guard="open_incident", says=PASS, words="nothing was done yet", knows={"incident": OPEN}),
    *(
        Case(
            guard="open_incident",
            says=REFUSE,
            words="incident i1 is open and its run r1",
            knows={"incident": replace(OPEN, attempts=1, run="r1", run_state=state)},
        )
        for state in (RunState.QUEUED, RunState.RUNNING, RunState.PROVING)
    ),
    Case(
        guard="open_incident",
        says=REFUSE,
        words="belongs to the open incident i1 of rule other",
        knows={"incident": replace(OPEN, rule="other")},
    ),
    *(
        Case(
            guard="open_incident",
            says=REFUSE,
            words=f"run r1 ended {outcome} 1m ago; its alerts have yet to resolve",
            knows={"incident": ended(outcome)},
        )
        for outcome in (Outcome.FIXED, Outcome.UNPROVED)
    ),
    *(
        Case(
            guard="open_incident",
            says=PASS,
            words=f"run r1 ended {outcome} 1m ago",
            knows={"incident": ended(outcome)},
            rule={"steps": STEPS},
        )
        for outcome in (Outcome.INEFFECTIVE, Outcome.FAILED, Outcome.LOST)
    ),
    Case(
        guard="open_incident",
        says=HOLD,
        words="looked at again in 30s",
        knows={"incident": ended(Outcome.NOT_NEEDED, ago=MINUTE / 2)},
        retry_at=NOON + MINUTE / 2,
    ),
    Case(guard="attempts", says=PASS, words="0 of 1 steps were tried"),
    Case(guard="attempts", says=PASS, words="1 of 2", knows={"incident": ended(Outcome.FAILED)}, rule={"steps": STEPS}),
    Case(guard="attempts", says=REFUSE, words="all 1 steps", knows={"incident": ended(Outcome.FAILED)}),
    Case(
        guard="attempts",
        says=PASS,
        words="what is left is the playbook of give_up",
        knows={"incident": ended(Outcome.FAILED)},
        rule={"give_up": GiveUp(playbook="page.yml")},
    ),
    Case(
        guard="attempts",
        says=PASS,
        words="what is left is the playbook of give_up",
        knows={"incident": replace(ended(Outcome.FAILED), broke=True)},
        rule={"steps": (*STEPS, *STEPS), "give_up": GiveUp(playbook="page.yml")},
    ),
    Case(
        guard="attempts",
        says=REFUSE,
        words="its run opened the breaker",
        knows={"incident": replace(ended(Outcome.FAILED), broke=True)},
        rule={"steps": STEPS},
    ),
    *(
        Case(
            guard="open_incident",
            says=REFUSE,
            words="by alice; a person has it",
            knows={"incident": replace(OPEN, last_run=replace(LAST, outcome=outcome, ended_by="alice"))},
        )
        for outcome in (Outcome.REJECTED, Outcome.CANCELLED)
    ),
    Case(
        guard="open_incident",
        says=HOLD,
        words="run r1 ended cancelled 1s ago; looked at again in 59s",
        knows={"incident": replace(OPEN, last_run=replace(LAST, outcome=Outcome.CANCELLED))},
        retry_at=NOON + MINUTE - SECOND,
    ),
    Case(
        guard="open_incident",
        says=PASS,
        words="nothing was done yet",
        knows={"incident": replace(OPEN, run="r1", run_state=RunState.AWAITING_APPROVAL)},
    ),
    Case(guard="lock", says=PASS, words="no run holds web1"),
    Case(guard="lock", says=HOLD, words="run r9 holds eu1", knows={"held": (HeldLock("eu1", "r9"),)}),
    Case(guard="fires", says=PASS, words="Alertmanager was not asked"),
    Case(guard="fires", says=PASS, words="asked 1s ago: it fires", knows=reported(Firing.FIRING)),
    Case(guard="fires", says=PASS, words="did not answer: refused", knows=reported(Firing.UNKNOWN, "refused")),
    Case(guard="fires", says=REFUSE, words="no longer has this alert", knows=reported(Firing.GONE)),
    Case(
        guard="fires",
        says=HOLD,
        words="keeps it back: silence 3f2; asked again in 1m",
        knows=reported(Firing.SUPPRESSED, "silence 3f2"),
        retry_at=NOON + MINUTE,
    ),
    Case(
        guard="max_queue_age",
        says=PASS,
        words="Alertmanager says that it still fires",
        knows={"received_at": NOON - 2 * HOUR, **reported(Firing.FIRING)},
    ),
    Case(guard="for", says=PASS, words="the rule acts at once"),
    Case(guard="for", says=PASS, words="it has fired for 1h, 5m are asked for", rule={"for_": 5 * MINUTE}),
    Case(
        guard="for",
        says=HOLD,
        words="it has fired for 1m of 5m; due in 4m",
        rule={"for_": 5 * MINUTE},
        knows={"firing_since": NOON - MINUTE},
        retry_at=NOON + 4 * MINUTE,
    ),
    Case(guard="pause", says=PASS, words="nothing is paused"),
    Case(
        guard="pause",
        says=HOLD,
        words='alice paused job="web" for 1h more: a release',
        knows={"pause": PAUSE},
        retry_at=NOON + HOUR,
    ),
    Case(guard="max_targets", says=PASS, words="no limit is set"),
    Case(guard="max_targets", says=PASS, words="6 of 20 hosts of group web are sick, 6 are allowed (30%)", **sick(6)),
    Case(guard="max_targets", says=HOLD, words="7 of 20 hosts of group web are sick", **sick(7)),
    Case(guard="max_targets", says=HOLD, words="is not over yet", **sick(6, storm_since=NOON - HOUR)),
    Case(
        guard="max_targets",
        says=HOLD,
        words="the storm began 1h ago",
        **sick(6, storm_since=NOON - HOUR, storm_ends_at=NOON + MINUTE),
        retry_at=NOON + MINUTE,
    ),
    Case(
        guard="max_targets",
        says=PASS,
        words="the storm is over",
        **sick(6, storm_since=NOON - HOUR, storm_ends_at=NOON),
    ),
    Case(guard="breaker", says=PASS, words="none is set"),
    Case(guard="breaker", says=PASS, words="closed: 2 of 3 failures in 1h", **broken(failures=(NOON, NOON))),
    Case(
        guard="breaker",
        says=HOLD,
        words="opened 1h ago by 3 failures; a trial is let through in 1h",
        **broken(opened_at=NOON - HOUR),
        retry_at=NOON + HOUR,
    ),
    Case(guard="breaker", says=PASS, words="this is the trial", **broken(opened_at=NOON - 2 * HOUR)),
    Case(guard="breaker", says=HOLD, words="run r7 is the trial", **broken(opened_at=NOON - 2 * HOUR, trial="r7")),
    Case(guard="mute_time_intervals", says=PASS, words="none are set"),
    Case(guard="mute_time_intervals", says=PASS, words="it is not night now", **timed(mute_time_intervals=("night",))),
    Case(
        guard="mute_time_intervals",
        says=HOLD,
        words="it is lunch now; over in 1h",
        **timed(mute_time_intervals=("night", "lunch")),
        retry_at=NOON + HOUR,
    ),
    Case(guard="active_time_intervals", says=PASS, words="none are set"),
    Case(guard="active_time_intervals", says=PASS, words="it is lunch now", **timed(active_time_intervals=("lunch",))),
    Case(
        guard="active_time_intervals",
        says=HOLD,
        words="it is not night now; begins in 10h",
        **timed(active_time_intervals=("night",)),
        retry_at=NOON + 10 * HOUR,
    ),
    Case(guard="approval", says=PASS, words="none is needed"),
    Case(
        guard="approval",
        says=HOLD,
        words="1 approval needed; asked for now",
        rule={"mode": Mode.APPROVE},
        retry_at=NOON + 15 * MINUTE,
    ),
    Case(
        guard="approval",
        says=HOLD,
        words="1 of 2 approvals given; run r1 expires in 5m",
        rule={"mode": Mode.APPROVE, "approval": ApprovalPolicy(count=2)},
        knows={"incident": asked("alice")},
        retry_at=NOON + 5 * MINUTE,
    ),
    Case(
        guard="approval",
        says=PASS,
        words="approved by alice, bob",
        rule={"mode": Mode.APPROVE, "approval": ApprovalPolicy(count=2)},
        knows={"incident": asked("alice", "bob")},
    ),
    Case(
        guard="approval",
        says=HOLD,
        words="1 approval needed",
        rule={"steps": (Step(playbook="a.yml", mode=Mode.APPROVE),)},
        retry_at=NOON + 15 * MINUTE,
    ),
    Case(guard="cooldown", says=PASS, words="no cooldown is set", knows={"pair_finished_at": NOON}),
    Case(guard="cooldown", says=PASS, words="no earlier run", rule=rule_with(cooldown=HOUR)),
    Case(
        guard="cooldown",
        says=HOLD,
        words="last run ended 8m ago; free in 2m",
        rule=rule_with(cooldown=10 * MINUTE),
        knows={"pair_finished_at": NOON - 8 * MINUTE},
        retry_at=NOON + 2 * MINUTE,
    ),
    Case(
        guard="cooldown",
        says=PASS,
        words="last run ended 10m ago",
        rule=rule_with(cooldown=10 * MINUTE),
        knows={"pair_finished_at": NOON - 10 * MINUTE},
    ),
    Case(
        guard="limits.target_cooldown",
        says=HOLD,
        words="free in 1m",
        policy={"limits": Limits(target_cooldown=2 * MINUTE)},
        knows={"target_finished_at": NOON - MINUTE},
        retry_at=NOON + MINUTE,
    ),
    Case(guard="limits.target_cooldown", says=PASS, words="no cooldown is set", knows={"target_finished_at": NOON}),
    *(
        case
        for guard, starts, limited in (
            ("rate_limit", "pair_starts", {"rule": rule_with(rate_limit=THREE_AN_HOUR)}),
            ("rule_rate_limit", "rule_starts", {"rule": rule_with(rule_rate_limit=THREE_AN_HOUR)}),
            ("limits.rate_limit", "all_starts", {"policy": {"limits": Limits(rate_limit=THREE_AN_HOUR)}}),
        )
        for case in (
            Case(guard=guard, says=PASS, words="0 of 3 runs in 1h are used", **limited),
            Case(guard=guard, says=PASS, words="2 of 3", knows={starts: THREE_STARTS[1:]}, **limited),
            Case(
                guard=guard,
                says=HOLD,
                words="3 of 3 runs in 1h are used; free in 10m",
                knows={starts: THREE_STARTS},
                retry_at=NOON + 10 * MINUTE,
                **limited,
            ),
        )
    ),
    Case(guard="limits.rate_limit", says=PASS, words="no limit is set", policy={"limits": Limits(rate_limit=None)}),
    Case(guard="concurrency", says=PASS, words="no limit is set", knows={"rule_running": 99}),
    Case(guard="concurrency", says=PASS, words="1 of 2", rule=rule_with(concurrency=2), knows={"rule_running": 1}),
    Case(
        guard="concurrency",
        says=HOLD,
        words="2 of 2 runs are under way; it waits for one to end",
        rule=rule_with(concurrency=2),
        knows={"rule_running": 2},
    ),
    Case(guard="limits.concurrency", says=PASS, words="3 of 4", knows={"running": 3}),
    Case(guard="limits.concurrency", says=HOLD, words="4 of 4", knows={"running": 4}),
]


def checks(*, knows: dict[str, Any], rule: dict[str, Any], policy: dict[str, Any]) -> dict[str, Check]:
    decision = decide(replace(RULE, **rule), replace(Policy(), **policy), ALERT, replace(CLEAR, **knows))
    return {check.guard: check for check in decision.checks}


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_guard_answers(case: Case) -> None:
    found = checks(knows=case.knows, rule=case.rule, policy=case.policy)[case.guard]
    assert (found.verdict, found.retry_at) == (case.says, case.retry_at)
    assert case.words in found.reason


def test_every_guard_is_in_the_table_and_says_more_than_one_thing() -> None:
    said: dict[str, set[Verdict]] = {}
    for case in CASES:
        said.setdefault(case.guard, set()).add(case.says)
    assert said.keys() == checks(knows={}, rule={}, policy={}).keys()
    assert all(len(verdicts) > 1 for verdicts in said.values())


def test_when_nothing_speaks_against_it_it_runs() -> None:
    decision = decide(RULE, Policy(), ALERT, CLEAR)
    assert (decision.decision, decision.guard, decision.retry_at) == (Choice.RUN, None, None)
    assert len(decision.checks) == len(GUARDS)


SOME = st.lists(st.sampled_from(CASES), max_size=6)


@given(SOME)
def test_the_first_refusal_decides_else_the_first_hold_else_it_runs(cases: list[Case]) -> None:
    known: dict[str, Any] = {}
    rule: dict[str, Any] = {}
    policy: dict[str, Any] = {}
    for case in cases:
        known |= case.knows
        rule |= case.rule
        policy |= case.policy
    decision = decide(replace(RULE, **rule), replace(Policy(), **policy), ALERT, replace(CLEAR, **known))
    refusals = [check for check in decision.checks if check.verdict is REFUSE]
    holds = [check for check in decision.checks if check.verdict is HOLD]
    decisive = (refusals or holds or [None])[0]
    assert decision.guard == (decisive.guard if decisive else None)
    assert decision.decision == (Choice(decisive.verdict) if decisive else Choice.RUN)
    assert decision.retry_at == (decisive.retry_at if decisive else None)
    assert len(decision.checks) == len(GUARDS)


@given(st.sampled_from(CASES))
def test_a_hold_says_when_to_ask_again_or_waits_for_another_run(case: Case) -> None:
    for check in checks(knows=case.knows, rule=case.rule, policy=case.policy).values():
        if check.verdict is HOLD and check.retry_at is not None:
            assert check.retry_at > NOON
        if check.verdict is not HOLD:
            assert check.retry_at is None
