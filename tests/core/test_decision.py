"""Every guard by itself: what it lets pass, what it holds and until when, what it refuses, and in which words."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook.core.alert import Alert, AlertStatus
from webhook.core.decision import decide
from webhook.core.evidence import Evidence, OpenIncident, Policy, SeenAlert
from webhook.core.guard import GUARDS
from webhook.core.incident import Check, Choice, LastRun, Outcome, RunState, Verdict
from webhook.core.matcher import parse_matcher
from webhook.core.rule import Guards, Limits, Mode, RateLimit, Rule, Step
from webhook.core.target import Target

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
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
    lock=None,
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
    Case(guard="lock", says=PASS, words="no run is on web1"),
    Case(guard="lock", says=HOLD, words="run r9 is on web1", knows={"lock": "r9"}),
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
