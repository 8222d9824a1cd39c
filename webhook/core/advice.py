"""What is allowed in rules and hardly meant: said when they are checked, never a reason to refuse them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from webhook.core.escalation import ALERTNAME, OWN_LABEL
from webhook.core.implication import contradiction, takes_all
from webhook.core.matcher import Matcher, MatchType
from webhook.core.rule import Mode, Rule
from webhook.core.rulebook import Rulebook

#: An alert about ourselves has one of these.
_OUR_OWN = (
    (Matcher("alertname", MatchType.EQUAL, ALERTNAME),),
    (Matcher(OWN_LABEL, MatchType.NOT_EQUAL, ""),),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """One thing that the author of a rule should look at."""

    rule: str
    words: str


def advise(rulebook: Rulebook, *, has_alertmanagers: bool) -> tuple[Advice, ...]:
    """What there is to say of the rules, in their order."""
    found: list[Advice] = []
    for number, rule in enumerate(rulebook.rules):
        earlier = rulebook.rules[:number]
        words = [*_never_matches(rule, earlier), *_acts_blindly(rule, rulebook, has_alertmanagers=has_alertmanagers)]
        found += (Advice(rule=rule.name, words=word) for word in words)
    return tuple(found)


def _never_matches(rule: Rule, earlier: Sequence[Rule]) -> Iterator[str]:
    if (label := contradiction(rule.match)) is not None:
        yield f"it can never match: no value of the label {label} passes all of its matchers"
    elif any(takes_all(own, rule.match) for own in _OUR_OWN):
        yield f"it can never match: alertmend does not act on its own alerts ({ALERTNAME}), which would be a loop"
    elif first := next((other for other in earlier if takes_all(other.match, rule.match)), None):
        yield f"it can never match: rule {first.name!r} before it takes every alert that it would"


def _acts_blindly(rule: Rule, rulebook: Rulebook, *, has_alertmanagers: bool) -> Iterator[str]:
    ceiling = rulebook.policy.ceiling
    if not any(rule.mode.lower_of(ceiling, step.mode) is Mode.AUTO for step in rule.steps):
        return
    if rule.probe is None:
        yield "it acts by itself without a probe: nothing says that the host is sick before, or healthy after"
    if not rule.guards.cooldown and not rulebook.policy.limits.target_cooldown:
        yield "it acts by itself without a cooldown: an alert that comes and goes is acted on each time"
    if not has_alertmanagers and (rule.give_up is None or rule.give_up.escalate is None):
        yield "it acts by itself and nobody is called when it gives up: set give_up.escalate, or name alertmanagers"
