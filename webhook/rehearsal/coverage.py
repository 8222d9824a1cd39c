"""What rule tests have tried: of every rule its decisions, and of every guard that it has set its verdicts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from webhook.core.evidence import Policy
from webhook.core.rule import Mode, Rule
from webhook.core.rulebook import Rulebook
from webhook.core.verdict import Choice, Verdict
from webhook.rehearsal.ruletest import Coverage

_ROW: Final = "  {:<24} {:<20} {:<34} {}"


def report(played: Sequence[tuple[Rulebook, Coverage]]) -> Iterator[str]:
    """Lines for people: a row for each rule, then how much of what could be said was said."""
    rows = [(rule, policy, seen) for rulebook, seen in played for rule, policy in _ruled(rulebook)]
    if not rows:
        return
    yield ""
    yield _ROW.format("RULE", "DECIDED", "HELD OR REFUSED BY", "NEVER BY")
    for rule, policy, seen in rows:
        yield _row(rule, policy, seen).rstrip()
    said = sum(len(_said(rule, seen)) + bool(_decided(rule, seen).get(Choice.RUN)) for rule, _, seen in rows)
    could = sum(len({*_armed(rule, policy), *_said(rule, seen)}) + 1 for rule, policy, seen in rows)
    yield f"coverage: {said} of {could}: a run, and a hold or a refusal by each guard that is set, of {len(rows)} rules"


def _ruled(rulebook: Rulebook) -> Iterator[tuple[Rule, Policy]]:
    return ((rule, rulebook.policy) for rule in rulebook.rules)


def _row(rule: Rule, policy: Policy, seen: Coverage) -> str:
    decided = _listed(_decided(rule, seen)) or "nothing"
    said = _said(rule, seen)
    never = [guard for guard in _armed(rule, policy) if guard not in said]
    return _ROW.format(rule.name, decided, _listed(said) or "-", ", ".join(never) or "-")


def _decided(rule: Rule, seen: Coverage) -> dict[str, int]:
    return {choice.value: n for choice in Choice if (n := seen[rule.name, "decision", choice.value])}


def _said(rule: Rule, seen: Coverage) -> dict[str, int]:
    """How often each guard did not let it pass."""
    said: dict[str, int] = {}
    for (name, guard, verdict), number in seen.items():
        if name == rule.name and guard != "decision" and verdict != Verdict.PASS:
            said[guard] = said.get(guard, 0) + number
    return said


def _listed(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {number}" for name, number in counts.items())


def _armed(rule: Rule, policy: Policy) -> list[str]:
    """The guards that someone has set for the rule; the others need no test of their own."""
    guards, modes = rule.guards, {rule.mode.lower_of(policy.ceiling, step.mode) for step in rule.steps}
    is_set = {
        "mode": Mode.OBSERVE in modes,
        "for": rule.for_,
        "max_targets": guards.max_targets,
        "breaker": guards.breaker,
        "mute_time_intervals": guards.mute_time_intervals,
        "active_time_intervals": guards.active_time_intervals,
        "lock": guards.lock,
        "cooldown": guards.cooldown,
        "limits.target_cooldown": policy.limits.target_cooldown,
        "rate_limit": guards.rate_limit,
        "rule_rate_limit": guards.rule_rate_limit,
        "concurrency": guards.concurrency,
        "approval": Mode.APPROVE in modes,
    }
    return [name for name, value in is_set.items() if value]
