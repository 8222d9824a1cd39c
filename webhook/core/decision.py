"""decide(): the only place where it is said whether to act."""

from __future__ import annotations

from webhook.core.alert import Alert
from webhook.core.evidence import Evidence, Policy
from webhook.core.guard import GUARDS
from webhook.core.rule import Rule
from webhook.core.verdict import Check, Choice, Decision, Verdict


def decide(rule: Rule, policy: Policy, alert: Alert, evidence: Evidence) -> Decision:
    """Run, hold or refuse: the first refusal, else the first hold, else run. Every guard answers every time."""
    checks = tuple(guard(rule, policy, alert, evidence) for guard in GUARDS)
    decisive = _first(checks, Verdict.REFUSE) or _first(checks, Verdict.HOLD)
    if decisive is None:
        return Decision(
            decision=Choice.RUN,
            guard=None,
            reason="every guard passes",
            retry_at=None,
            checks=checks,
        )
    return Decision(
        decision=Choice(decisive.verdict),
        guard=decisive.guard,
        reason=decisive.reason,
        retry_at=decisive.retry_at,
        checks=checks,
    )


def _first(checks: tuple[Check, ...], verdict: Verdict) -> Check | None:
    return next((check for check in checks if check.verdict is verdict), None)
