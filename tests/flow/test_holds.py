"""Holds come due by themselves, spend nothing, and are decided again through the same guards."""

from datetime import timedelta

import pytest

from tests.flow.scene import Scene, alert, rule
from webhook.core.guard import GUARDS
from webhook.core.rule import Guards, Limits, Mode, RateLimit
from webhook.core.run import Outcome
from webhook.core.verdict import Choice

HOUR = timedelta(hours=1)


def fails_once_then_resolves(scene: Scene, target: str = "web1") -> None:
    scene.delivers(alert(target))
    scene.work()
    scene.resolves(target)


def test_a_cooldown_holds_until_it_has_passed_and_then_runs_by_itself() -> None:
    scene = Scene(rules=(rule(guards=Guards(cooldown=timedelta(minutes=10))),))
    fails_once_then_resolves(scene)
    scene.clock.advance(minutes=2)
    [held] = scene.delivers(alert(starts_at=scene.clock.now))
    assert (held.decision, held.guard) == (Choice.HOLD, "cooldown")
    assert held.reason == "last run ended 2m ago; free in 8m"
    scene.clock.advance(minutes=7, seconds=59)
    scene.keep_up()
    assert len(scene.runs) == 1
    scene.clock.advance(seconds=1)
    scene.keep_up()
    assert len(scene.runs) == 2


def test_a_hold_is_forgotten_when_its_alert_resolves() -> None:
    scene = Scene(rules=(rule(guards=Guards(cooldown=timedelta(minutes=10))),))
    fails_once_then_resolves(scene)
    scene.delivers(alert(starts_at=scene.clock.now))
    scene.resolves()
    scene.clock.advance(hours=1)
    scene.keep_up()
    assert len(scene.runs) == 1


def test_the_locked_target_frees_and_the_other_rule_runs() -> None:
    scene = Scene(rules=(rule("one", match='alertname="One"'), rule("two", match='alertname="Two"')))
    scene.delivers(alert(name="One"))
    [held] = scene.delivers(alert(name="Two"))
    assert (held.guard, held.retry_at) == ("lock", None)
    scene.work()
    scene.keep_up()
    scene.work()
    assert [run.rule for run in scene.runs] == ["one", "two"]


@pytest.mark.parametrize(
    ("guards", "limits", "guard"),
    [
        (Guards(rate_limit=RateLimit(count=2, per=HOUR)), Limits(rate_limit=None), "rate_limit"),
        (Guards(rule_rate_limit=RateLimit(count=2, per=HOUR)), Limits(rate_limit=None), "rule_rate_limit"),
        (Guards(), Limits(rate_limit=RateLimit(count=2, per=HOUR)), "limits.rate_limit"),
    ],
)
def test_a_rate_limit_holds_the_run_that_would_exceed_it_until_the_oldest_is_old_enough(
    guards: Guards, limits: Limits, guard: str
) -> None:
    scene = Scene(rules=(rule(guards=guards),), limits=limits)
    for _ in range(2):
        fails_once_then_resolves(scene)
        scene.clock.advance(minutes=20)
    [held] = scene.delivers(alert(starts_at=scene.clock.now))
    assert (held.decision, held.guard) == (Choice.HOLD, guard)
    assert "2 of 2 runs in 1h are used; free in 20m" in held.reason
    scene.clock.advance(minutes=20)
    scene.keep_up()
    assert len(scene.runs) == 3


def test_what_is_held_or_refused_spends_no_token() -> None:
    limits = Limits(rate_limit=RateLimit(count=2, per=HOUR), concurrency=1)
    scene = Scene(limits=limits)
    scene.delivers(alert("web1"))
    for _ in range(5):
        scene.delivers(alert("web1"), alert("web2"), alert("nobody"))
    assert len(scene.store.records["everything", ""].starts) == 1


def test_a_run_that_never_acted_gives_its_token_back() -> None:
    scene = Scene(limits=Limits(rate_limit=RateLimit(count=1, per=HOUR)))
    scene.delivers(alert("web1"))
    assert scene.delivers(alert("web2"))[0].guard == "limits.rate_limit"
    scene.resolves("web1")
    scene.keep_up()
    assert [run.target for run in scene.runs if run.outcome is None] == ["web2"]


def test_concurrency_holds_and_first_come_is_first_served() -> None:
    scene = Scene(limits=Limits(concurrency=1, rate_limit=None))
    scene.delivers(alert("web1"))
    for target in ("web3", "web2"):
        scene.clock.advance(seconds=1)
        assert scene.delivers(alert(target))[0].guard == "limits.concurrency"
    order = []
    for _ in range(3):
        scene.work()
        order.append(scene.playbooks.jobs[-1].target)
        scene.keep_up()
    assert order == ["web1", "web3", "web2"]


def test_the_concurrency_of_a_rule_counts_its_own_runs() -> None:
    scene = Scene(rules=(rule(guards=Guards(concurrency=2)),))
    decisions = scene.delivers(alert("web1"), alert("web2"), alert("web3"))
    assert [decision.guard for decision in decisions] == [None, None, "concurrency"]


@pytest.mark.parametrize(
    ("of_rule", "ceiling"), [(Mode.OBSERVE, Mode.AUTO), (Mode.AUTO, Mode.OBSERVE), (Mode.OBSERVE, Mode.OBSERVE)]
)
def test_the_lower_of_rule_and_ceiling_counts_and_observe_does_nothing(of_rule: Mode, ceiling: Mode) -> None:
    scene = Scene(rules=(rule(mode=of_rule),), ceiling=ceiling)
    [decision] = scene.delivers(alert())
    assert (decision.decision, decision.guard) == (Choice.REFUSE, "mode")
    assert scene.runs == []


def test_a_notification_that_waited_too_long_is_not_acted_on_and_the_next_one_is() -> None:
    scene = Scene()
    old = scene.clock.now
    scene.clock.advance(hours=2)
    assert scene.delivers(alert(), received_at=old)[0].guard == "max_queue_age"
    assert scene.delivers(alert())[0].decision is Choice.RUN


def test_every_guard_answers_every_time() -> None:
    scene = Scene()
    [refused] = scene.delivers(alert("all"))
    assert refused.guard == "target"
    assert len({check.guard for check in refused.checks}) == len(refused.checks) == len(GUARDS)


def test_an_unknown_target_is_refused_recorded_and_opens_no_incident() -> None:
    scene = Scene()
    [decision] = scene.delivers(alert("web9"))
    assert decision.decision is Choice.REFUSE
    assert "web9" in decision.reason
    assert scene.incidents == []


def test_a_target_found_healthy_is_looked_at_again_and_no_token_is_spent() -> None:
    scene = Scene(rules=(rule(probe=True, guards=Guards(rate_limit=RateLimit(count=1, per=HOUR))),))
    scene.delivers(alert())
    scene.work()
    assert [run.outcome for run in scene.runs] == [Outcome.NOT_NEEDED]
    scene.keep_up()
    assert scene.decisions[-1].guard == "open_incident"
    scene.world.answers = lambda: False
    scene.clock.advance(minutes=1)
    scene.keep_up()
    scene.work()
    assert [run.outcome for run in scene.runs] == [Outcome.NOT_NEEDED, Outcome.INEFFECTIVE]
