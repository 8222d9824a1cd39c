"""A rule's guards, and what becomes of it when they have let nothing through."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta

from webhook.core.rule import ApprovalPolicy, Breaker, Guards, MaxTargets
from webhook.edge.configfile.fields import read_rate
from webhook.located import Node, did_you_mean, duration, integer, items, mapping, otherwise, text, word

_GUARDS = {
    "cooldown",
    "rate_limit",
    "rule_rate_limit",
    "concurrency",
    "lock",
    "max_targets",
    "mute_time_intervals",
    "active_time_intervals",
    "breaker",
}
_PERCENT = re.compile(r"([0-9]{1,3})(?:\.([0-9]{1,3}))?%")
_HOSTS = re.compile(r"[1-9][0-9]{0,5}")
_A_MOMENT = timedelta(seconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """What rules may refer to."""

    time_intervals: Collection[str] = ()
    escalations: Collection[str] = ()


def read_guards(node: Node | None, names: Names) -> Guards:
    """The limits of a rule."""
    fields = mapping(node, known=_GUARDS)
    return Guards(
        cooldown=otherwise(duration(fields.get("cooldown")), timedelta(0)),
        rate_limit=read_rate(fields.get("rate_limit")),
        rule_rate_limit=read_rate(fields.get("rule_rate_limit")),
        concurrency=integer(fields.get("concurrency"), minimum=1, maximum=256),
        lock=tuple(key for item in items(fields.get("lock")) if (key := text(item)) is not None),
        max_targets=_max_targets(fields.get("max_targets")),
        breaker=_breaker(fields.get("breaker")),
        mute_time_intervals=_intervals(fields.get("mute_time_intervals"), names),
        active_time_intervals=_intervals(fields.get("active_time_intervals"), names),
    )


def read_approval(node: Node | None) -> ApprovalPolicy:
    """How many people must approve, and in what time."""
    fields, default = mapping(node, known={"count", "expires"}), ApprovalPolicy()
    return ApprovalPolicy(
        count=otherwise(integer(fields.get("count"), minimum=1, maximum=20), default.count),
        expires=otherwise(duration(fields.get("expires"), minimum=_A_MOMENT), default.expires),
    )


def read_name(node: Node | None, names: Collection[str], *, what: str) -> str | None:
    """A name that is given elsewhere in the configuration."""
    name = text(node)
    if node is None or name is None or name in names:
        return name
    hint = did_you_mean(name, names) if names else "none is configured"
    node.report(f"there is no {what} {name!r}; {hint}")
    return None


def _intervals(node: Node | None, names: Names) -> tuple[str, ...]:
    found = (read_name(item, names.time_intervals, what="time interval") for item in items(node))
    return tuple(name for name in found if name is not None)


def _max_targets(node: Node | None) -> MaxTargets | None:
    written = word(node)
    if node is None or written is None:
        return None
    if percent := _PERCENT.fullmatch(written):
        share = float(f"{percent[1]}.{percent[2] or 0}") / 100
        if 0 < share <= 1:
            return MaxTargets(share=share)
    elif _HOSTS.fullmatch(written):
        return MaxTargets(number=int(written))
    node.report(f"{written[:20]!r} is neither a number of hosts from 1 nor a share such as 30%")
    return None


def _breaker(node: Node | None) -> Breaker | None:
    if node is None:
        return None
    fields = mapping(node, known={"failures", "window", "open_for"}, required={"failures", "window", "open_for"})
    failures = integer(fields.get("failures"), minimum=1, maximum=1000)
    window = duration(fields.get("window"), minimum=_A_MOMENT)
    open_for = duration(fields.get("open_for"), minimum=_A_MOMENT)
    if failures is None or window is None or open_for is None:
        return None
    return Breaker(failures=failures, window=window, open_for=open_for)
