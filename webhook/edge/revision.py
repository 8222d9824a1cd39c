"""Rules and policy as they go on the record, so that any decision can be decided again from there.

Probes are left out: no guard asks them, and their kinds may come from packages that are gone by then.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, timedelta, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

from pydantic import TypeAdapter

from webhook.core.evidence import Policy
from webhook.core.matcher import Matcher
from webhook.core.rule import ApprovalPolicy, GiveUp, Guards, Limits, Mode, Rule, Step
from webhook.core.schedule import Minutes, NamedInterval, Span, TimeInterval
from webhook.zone import find_zone


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rule:
    name: str
    match: tuple[Matcher, ...]
    target: str
    mode: Mode
    for_: timedelta
    steps: tuple[Step, ...]
    resolve_within: timedelta | None
    rollback: str | None
    guards: Guards
    approval: ApprovalPolicy
    give_up: GiveUp | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    times: tuple[Minutes, ...]
    weekdays: tuple[Span, ...]
    days_of_month: tuple[Span, ...]
    months: tuple[Span, ...]
    years: tuple[Span, ...]
    location: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Interval:
    name: str
    parts: tuple[_Part, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Document:
    rules: tuple[_Rule, ...]
    ceiling: Mode
    limits: Limits
    max_queue_age: timedelta
    time_intervals: tuple[_Interval, ...] = ()


_DOCUMENT = TypeAdapter(_Document)
_FIELDS = tuple(_Rule.__dataclass_fields__)
_DAYS = ("times", "weekdays", "days_of_month", "months", "years")


def write_rules(rules: Iterable[Rule], policy: Policy) -> Mapping[str, Any]:
    """Rules and policy as JSON knows them."""
    document = _Document(
        rules=tuple(_Rule(**{name: getattr(rule, name) for name in _FIELDS}) for rule in rules),
        ceiling=policy.ceiling,
        limits=policy.limits,
        max_queue_age=policy.max_queue_age,
        time_intervals=tuple(_interval(interval) for interval in policy.time_intervals.values()),
    )
    found: dict[str, Any] = _DOCUMENT.dump_python(document, mode="json")
    return found


def read_rules(document: Mapping[str, Any]) -> tuple[Sequence[Rule], Policy]:
    """Rules and policy as they were, but for their probes.

    Raises:
        ValueError: this was not written by `write_rules`.
    """
    found = _DOCUMENT.validate_python(document)
    rules = [Rule(**{name: getattr(rule, name) for name in _FIELDS}) for rule in found.rules]
    intervals = {interval.name: _named(interval) for interval in found.time_intervals}
    policy = Policy(
        ceiling=found.ceiling, limits=found.limits, max_queue_age=found.max_queue_age, time_intervals=intervals
    )
    return rules, policy


def _interval(interval: NamedInterval) -> _Interval:
    return _Interval(name=interval.name, parts=tuple(_part(part) for part in interval.intervals))


def _part(part: TimeInterval) -> _Part:
    return _Part(**{name: getattr(part, name) for name in _DAYS}, location=_name(part.location))


def _named(interval: _Interval) -> NamedInterval:
    parts = (
        TimeInterval(**{name: getattr(part, name) for name in _DAYS}, location=_zone(part.location))
        for part in interval.parts
    )
    return NamedInterval(name=interval.name, intervals=tuple(parts))


def _name(location: tzinfo) -> str:
    return location.key if isinstance(location, ZoneInfo) else "UTC"


def _zone(name: str) -> tzinfo:
    try:
        return UTC if name == "UTC" else find_zone(name)
    except (LookupError, OSError):
        raise ValueError(f"the time zone {name!r} is not known here") from None
