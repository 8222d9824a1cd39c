"""What would be decided on an alert now, and why. Nothing is done, and nothing is remembered of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pydantic_core import to_jsonable_python

from webhook.core.alert import Alert
from webhook.core.decision import decide
from webhook.core.evidence import Evidence, Occasion
from webhook.core.gathering import gather
from webhook.core.guard.incident import next_rung
from webhook.core.matcher import all_match
from webhook.core.reach import announce, reach
from webhook.core.rule import Step
from webhook.core.rulebook import Match, Rulebook, is_our_own
from webhook.core.state import Draft, Keys
from webhook.core.verdict import Decision

#: Names this occasion where others name the Alertmanager that sent the alert.
SOURCE = "explain"


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """One alert's."""

    alert: Alert
    #: Each rule that does not take it, in order, with the matchers that it does not pass.
    passed_by: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    #: None: no rule takes it.
    match: Match | None = None
    decision: Decision | None = None
    #: What would be run, if anything is.
    step: Step | None = None

    @property
    def reason(self) -> str:
        """One sentence."""
        if self.decision is not None:
            return self.decision.reason
        return "it is an alert of alertmend's own" if is_our_own(self.alert) else "no rule takes this alert"


@dataclass(frozen=True, slots=True, kw_only=True)
class Explaining:
    """Asks the state, and leaves it as it is."""

    read: Callable[[Keys], Draft]
    rulebook: Callable[[], Rulebook]
    now: Callable[[], datetime]

    def explain(self, alert: Alert) -> Explanation:
        """What would be decided if the alert came in now.

        Raises:
            Unavailable: the state cannot be read.
        """
        rulebook = self.rulebook()
        alert = rulebook.identified(alert)
        match = rulebook.match(alert)
        passed_by = _passed_by(alert, match, rulebook)
        if match is None:
            return Explanation(alert=alert, passed_by=passed_by)
        evidence = self._gather(alert, match, rulebook)
        return Explanation(
            alert=alert,
            passed_by=passed_by,
            match=match,
            decision=decide(match.rule, rulebook.policy, alert, evidence),
            step=match.rule.rung(next_rung(match.rule, evidence.incident)),
        )

    def _gather(self, alert: Alert, match: Match, rulebook: Rulebook) -> Evidence:
        matched = [(alert, match)]
        draft, now = self.read(reach(matched)), self.now()
        announce(draft, matched)
        occasion = Occasion(now=now, received_at=now, source=SOURCE, revision=rulebook.revision)
        return gather(match.rule, rulebook.policy, alert, match.target, draft=draft, occasion=occasion)


def shown(explanation: Explanation) -> dict[str, Any]:
    """An explanation as JSON knows it."""
    match, decision = explanation.match, explanation.decision
    found = to_jsonable_python(decision) if decision else {"decision": None, "guard": None, "retry_at": None}
    return {
        "labels": dict(explanation.alert.labels),
        "passed_by": {name: list(failed) for name, failed in explanation.passed_by.items()},
        "rule": match.rule.name if match else None,
        "target": match.target.host if match else None,
        "playbook": explanation.step.playbook if explanation.step else None,
        "checks": [],
        **found,
        "reason": explanation.reason,
    }


def _passed_by(alert: Alert, match: Match | None, rulebook: Rulebook) -> Mapping[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for rule in rulebook.rules:
        if match is not None and rule is match.rule:
            break
        if not all_match(rule.match, alert.labels):
            failed = (matcher for matcher in rule.match if not matcher.matches(alert.labels))
            found[rule.name] = tuple(str(matcher) for matcher in failed)
    return found
