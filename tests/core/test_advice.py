"""What is said of rules that can be used and are hardly meant."""

from __future__ import annotations

from datetime import timedelta

from tests.flow.scene import Scene, rule
from webhook.core.advice import advise
from webhook.core.rule import GiveUp, Guards, Limits, Mode, Rule, Step

CALM = {"probe": True, "guards": Guards(cooldown=timedelta(minutes=10)), "give_up": GiveUp(escalate="oncall")}


def told(
    *rules: Rule, ceiling: Mode = Mode.AUTO, limits: Limits | None = None, alertmanagers: bool = False
) -> list[str]:
    rulebook = Scene(rules=rules, ceiling=ceiling, limits=limits or Limits()).rulebook()
    return [f"{one.rule}: {one.words}" for one in advise(rulebook, has_alertmanagers=alertmanagers)]


def calm(name: str, match: str = 'alertname="Down"', **settings: object) -> Rule:
    return rule(name, match=match, **{**CALM, **settings})  # type: ignore[arg-type]


def test_nothing_is_said_of_a_careful_rule() -> None:
    assert told(calm("a")) == []


def test_a_rule_behind_one_that_takes_everything_is_named_with_that_one() -> None:
    words = told(
        calm("wide", 'alertname=~"Down|Up"'), calm("narrow", 'alertname="Up"'), calm("free", 'alertname="Else"')
    )
    assert words == ["narrow: it can never match: rule 'wide' before it takes every alert that it would"]


def test_the_other_order_is_well() -> None:
    assert told(calm("narrow", 'alertname="Up"'), calm("wide", 'alertname=~".+"')) == []


def test_a_rule_that_contradicts_itself_is_told() -> None:
    both = calm("both", 'alertname="Up"')
    both = Rule(**{**_fields(both), "match": (*both.match, *calm("x", 'alertname="Down"').match)})
    assert told(both) == ["both: it can never match: no value of the label alertname passes all of its matchers"]


def test_a_rule_for_our_own_alerts_would_be_a_loop() -> None:
    for match in ('alertname="RemediationFailed"', 'alertmend="escalation"', 'alertmend=~".+"'):
        (words,) = told(calm("loop", match))
        assert words.startswith("loop: it can never match: alertmend does not act on its own alerts")


def test_a_rule_that_acts_by_itself_ought_to_have_a_probe_a_cooldown_and_people() -> None:
    careless = rule("careless")
    words = told(careless)
    assert [word.split(":")[1].split(" ")[5:8] for word in words] == [
        ["without", "a", "probe"],
        ["without", "a", "cooldown"],
        ["and", "nobody", "is"],
    ]
    assert told(careless, ceiling=Mode.OBSERVE) == []
    assert told(rule("asked", mode=Mode.APPROVE)) == []
    assert told(rule("asked", steps=(Step(playbook="a.yml", mode=Mode.APPROVE),))) == []


def test_what_holds_for_all_rules_is_enough() -> None:
    quiet = calm("quiet", guards=Guards(), give_up=None)
    assert len(told(quiet)) == 2
    assert told(quiet, limits=Limits(target_cooldown=timedelta(minutes=1)), alertmanagers=True) == []


def _fields(found: Rule) -> dict[str, object]:
    return {name: getattr(found, name) for name in Rule.__dataclass_fields__}
