"""What is decided by: the rules, the policy, the inventory and the escalations of one configuration."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from webhook.core.alert import Alert
from webhook.core.escalation import ALERTNAME, OWN_LABEL, AlertmanagerStep, Chain
from webhook.core.evidence import Policy
from webhook.core.rule import Rule, first_match
from webhook.core.target import Inventory, Target, find_target

#: The escalation of rules that name none: an alert, where there is an Alertmanager to take it.
DEFAULT_CHAIN = Chain(name="alertmanager", steps=(AlertmanagerStep(),))


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """The rule that takes an alert, and the host that it names there."""

    rule: Rule
    target: Target


@dataclass(frozen=True, slots=True, kw_only=True)
class Rulebook:
    """One configuration's rules, policy, inventory and escalations."""

    rules: tuple[Rule, ...]
    policy: Policy
    inventory: Inventory
    chains: Mapping[str, Chain] = field(default_factory=dict)
    #: Labels that do not make two alerts different.
    ignore_labels: frozenset[str] = frozenset()
    #: The SHA-256 of each file that its playbooks consist of, by its path below their folder.
    playbooks: Mapping[str, str] = field(default_factory=dict)
    #: Names what stands in the files, playbooks and inventory among them; equal ones have the same.
    revision: str = ""

    def match(self, alert: Alert) -> Match | None:
        """The first rule that takes the alert, with its target; None when no rule does, or it is about ourselves."""
        rule = None if is_our_own(alert) else first_match(self.rules, alert.labels)
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

    def chain(self, name: str) -> Chain:
        """The escalation of that name; the one that there always is when it is no longer configured."""
        return self.chains.get(name, DEFAULT_CHAIN)

    def chain_of(self, rule: str) -> Chain:
        """Who is called when a rule gives up."""
        found = self.rule(rule)
        return self.chain(found.give_up.escalate or "" if found and found.give_up else "")

    def identified(self, alert: Alert) -> Alert:
        """The alert under a fingerprint that all alerts share which differ only in labels that are ignored."""
        if self.ignore_labels.isdisjoint(alert.labels):
            return alert
        rest = sorted((name, text) for name, text in alert.labels.items() if name not in self.ignore_labels)
        return replace(alert, fingerprint=_fingerprint(rest), origin=alert.fingerprint)


def is_our_own(alert: Alert) -> bool:
    """It is about alertmend itself: what it does about its own failures is for people to decide."""
    return alert.name == ALERTNAME or OWN_LABEL in alert.labels


def _fingerprint(labels: list[tuple[str, str]]) -> str:
    return hashlib.sha256(repr(labels).encode("utf-8", "surrogatepass")).hexdigest()[:16]
