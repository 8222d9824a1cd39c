"""The guards: one question each, answered from the evidence alone, with the numbers in the answer."""

from __future__ import annotations

from webhook.core.guard import alert, incident, limit, people
from webhook.core.guard.answer import Guard
from webhook.core.run import Pair

__all__ = ["GUARDS", "NAMES", "Guard", "waiting_line"]

#: In the order in which their refusals, and then their holds, are preferred as the reason.
GUARDS: tuple[Guard, ...] = (
    alert.target,
    alert.labels,
    people.mode,
    alert.max_queue_age,
    alert.order,
    alert.fires,
    incident.open_incident,
    incident.attempts,
    people.pause,
    alert.firing_for,
    limit.max_targets,
    limit.breaker,
    people.mute_time_intervals,
    people.active_time_intervals,
    limit.lock,
    limit.cooldown,
    limit.target_cooldown,
    limit.rate_limit,
    limit.rule_rate_limit,
    limit.limits_rate_limit,
    limit.concurrency,
    limit.limits_concurrency,
    people.approval,
)

#: What each of them calls itself, in the same order.
NAMES = (
    *("target", "labels", "mode", "max_queue_age", "order", "fires", "open_incident", "attempts", "pause", "for"),
    *("max_targets", "breaker", "mute_time_intervals", "active_time_intervals", "lock", "cooldown"),
    *("limits.target_cooldown", "rate_limit", "rule_rate_limit", "limits.rate_limit", "concurrency"),
    *("limits.concurrency", "approval"),
)


def waiting_line(guard: str, pair: Pair, *, held: str, group: str) -> str | None:
    """The line in which a pair that a guard holds waits with others; None when it waits alone, for a time.

    `held` is the lock that another run has, `group` the inventory group that is counted.
    """
    return {
        "pause": "pause",
        "lock": f"lock|{held}",
        "max_targets": f"storm|{pair.rule}|{group}",
        "breaker": f"breaker|{pair.rule}",
        "rule_rate_limit": f"rate|{pair.rule}",
        "limits.rate_limit": "rate",
        "concurrency": f"concurrency|{pair.rule}",
        "limits.concurrency": "concurrency",
    }.get(guard)
