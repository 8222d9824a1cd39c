"""What is decided by: the rules, the policy and the inventory of one configuration."""

from __future__ import annotations

from dataclasses import dataclass

from webhook.core.alert import Alert
from webhook.core.evidence import Policy
from webhook.core.rule import Rule, first_match
from webhook.core.target import Inventory, Target, find_target


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """The rule that takes an alert, and the host that it names there."""

    rule: Rule
    target: Target


@dataclass(frozen=True, slots=True, kw_only=True)
class Rulebook:
    """One configuration's rules, policy and inventory."""

    rules: tuple[Rule, ...]
    policy: Policy
    inventory: Inventory

    def match(self, alert: Alert) -> Match | None:
        """The first rule that takes the alert, with its target; None when no rule does."""
        rule = first_match(self.rules, alert.labels)
        if rule is None:
            return None
        value = alert.labels.get(rule.target)
        return Match(rule=rule, target=find_target(value, label=rule.target, inventory=self.inventory))

    def rule(self, name: str) -> Rule | None:
        """The rule of that name."""
        return next((rule for rule in self.rules if rule.name == name), None)

    def host(self, name: str) -> Target:
        """A host that was found before; the inventory may have changed since."""
        return find_target(name, label="target", inventory=self.inventory)
