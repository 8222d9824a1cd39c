"""Guards that count: locks, cooldowns, rates, concurrency, sick hosts, failures."""

from __future__ import annotations

from datetime import datetime, timedelta

from webhook.core.alert import Alert
from webhook.core.breaker import Position
from webhook.core.duration import format_duration
from webhook.core.evidence import Evidence, Policy
from webhook.core.guard.answer import ago, ahead, holds, passes
from webhook.core.guard.incident import next_rung
from webhook.core.rule import Breaker, RateLimit, Rule
from webhook.core.verdict import Check


def max_targets(rule: Rule, policy: Policy, alert: Alert, evidence: Evidence) -> Check:
    """It is one sick host and not an outage."""
    allowed, sick = rule.guards.max_targets, evidence.sick
    if allowed is None or sick is None:
        return passes("max_targets", "no limit is set")
    limit = allowed.of(sick.hosts)
    counted = f"{sick.sick} of {sick.hosts} hosts of group {sick.group} are sick"
    asked = f"{limit} are allowed" + (f" ({allowed})" if allowed.share else "")
    if sick.sick > limit:
        return holds("max_targets", f"{counted}, {asked}: an outage and not a host; it waits for the storm to end")
    if sick.storm_since is None:
        return passes("max_targets", f"{counted}, {asked}")
    if sick.storm_ends_at is None or sick.storm_ends_at > evidence.now:
        since = ago(evidence.now - sick.storm_since)
        words = f"{counted}, {asked}; the storm began {since} ago and is not over yet"
        return holds("max_targets", words, retry_at=sick.storm_ends_at)
    return passes("max_targets", f"{counted}, {asked}; the storm is over")


def breaker(rule: Rule, policy: Policy, alert: Alert, evidence: Evidence) -> Check:
    """The rule has not failed too often of late."""
    limit, state = rule.guards.breaker, evidence.breaker
    if limit is None:
        return passes("breaker", "none is set")
    position = state.position(limit, evidence.now)
    if position is Position.CLOSED:
        failures = f"{state.count(limit, evidence.now)} of {limit.failures} failures in {format_duration(limit.window)}"
        return passes("breaker", f"closed: {failures}")
    if next_rung(rule, evidence.incident) > len(rule.steps):
        return passes("breaker", f"{position}, which does not hold back the playbook of give_up")
    if position is Position.OPEN:
        return _open(limit, state.opened_at, evidence.now)
    if state.trial not in (None, evidence.run):
        return holds("breaker", f"half open: run {state.trial} is the trial; it waits for its end")
    return passes("breaker", "half open: this is the trial")


def lock(rule: Rule, policy: Policy, alert: Alert, evidence: Evidence) -> Check:
    """No other run holds the target, nor what else the rule locks."""
    if evidence.held:
        key, run = evidence.held[0]
        return holds("lock", f"run {run} holds {key}; it waits for its end")
    return passes("lock", f"no run holds {evidence.target.host or 'the target'}")


def cooldown(rule: Rule, policy: Policy, alert: Alert, evidence: Evidence) -> Check:
    """The last run of this rule on this target is long enough ago."""
    return _rested("cooldown", rule.guards.cooldown, evidence.pair_finished_at, evidence.now)


def target_cooldown(rule: Rule, policy: Policy, alert: Alert, evidence: Evidence) -> Check:
    """The last run of any rule on this target is long enough ago."""
    return _rested("limits.target_cooldown", policy.limits.target_cooldown, evidence.target_finished_at, evidence.now)


def rate_limit(rule: Rule, policy: Policy, alert: Alert, evidence: Evidence) -> Check:
    """This rule may still run on this target."""
    return _spent("rate_limit", rule.guards.rate_limit, evidence.pair_starts, evidence.now)


def rule_rate_limit(rule: Rule, policy: Policy, alert: Alert, evidence: Evidence) -> Check:
    """This rule may still run at all."""
    return _spent("rule_rate_limit", rule.guards.rule_rate_limit, evidence.rule_starts, evidence.now)


def limits_rate_limit(rule: Rule, policy: Policy, alert: Alert, evidence: Evidence) -> Check:
    """Anything may still run."""
    return _spent("limits.rate_limit", policy.limits.rate_limit, evidence.all_starts, evidence.now)


def concurrency(rule: Rule, policy: Policy, alert: Alert, evidence: Evidence) -> Check:
    """Fewer runs of this rule are under way than are allowed."""
    return _room("concurrency", rule.guards.concurrency, evidence.rule_running)


def limits_concurrency(rule: Rule, policy: Policy, alert: Alert, evidence: Evidence) -> Check:
    """Fewer runs are under way than are allowed."""
    return _room("limits.concurrency", policy.limits.concurrency, evidence.running)


def _open(limit: Breaker, opened_at: datetime | None, now: datetime) -> Check:
    since = opened_at or now
    free = since + limit.open_for
    words = f"opened {ago(now - since)} ago by {limit.failures} failures; a trial is let through in {ahead(free - now)}"
    return holds("breaker", words, retry_at=free)


def _rested(guard: str, rest: timedelta, finished_at: datetime | None, now: datetime) -> Check:
    if not rest:
        return passes(guard, "no cooldown is set")
    if finished_at is None:
        return passes(guard, "no earlier run")
    free = finished_at + rest
    ended = f"last run ended {ago(now - finished_at)} ago"
    if free > now:
        return holds(guard, f"{ended}; free in {ahead(free - now)}", retry_at=free)
    return passes(guard, f"{ended}, longer than {format_duration(rest)}")


def _spent(guard: str, limit: RateLimit | None, starts: tuple[datetime, ...], now: datetime) -> Check:
    if limit is None:
        return passes(guard, "no limit is set")
    spent = f"{len(starts)} of {limit.count} runs in {format_duration(limit.per)} are used"
    if len(starts) < limit.count:
        return passes(guard, spent)
    free = starts[-limit.count] + limit.per
    return holds(guard, f"{spent}; free in {ahead(free - now)}", retry_at=free)


def _room(guard: str, limit: int | None, running: int) -> Check:
    if limit is None:
        return passes(guard, "no limit is set")
    if running >= limit:
        return holds(guard, f"{running} of {limit} runs are under way; it waits for one to end")
    return passes(guard, f"{running} of {limit} runs are under way")
