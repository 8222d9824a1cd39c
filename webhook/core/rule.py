"""Rules: which alerts they take, what they do, and the limits they keep."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import timedelta
from enum import StrEnum
from typing import Any

from webhook.core.matcher import Matcher, all_match


class Untrusted(str):
    """Text that holds a stranger's words (a label or an annotation): never templated, never a pattern or a path."""

    __slots__ = ()


class Mode(StrEnum):
    """How far a rule may go by itself, lowest first."""

    OBSERVE = "observe"
    AUTO = "auto"

    def lower_of(self, ceiling: Mode) -> Mode:
        """The more careful of two modes."""
        return Mode.OBSERVE if Mode.OBSERVE in (self, ceiling) else Mode.AUTO


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLimit:
    """At most `count` runs in any window of length `per`."""

    count: int
    per: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpProbe:
    """Healthy when the answer's status is one of `status` and its body matches."""

    url: str
    method: str = "GET"
    status: tuple[int, ...] = (200,)
    body_regex: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TcpProbe:
    """Healthy when a connection opens."""

    address: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandProbe:
    """Healthy when a local program ends with status 0; no shell."""

    argv: tuple[str, ...]


ProbeKind = HttpProbe | TcpProbe | CommandProbe


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """A yes/no question to the world, asked before and after a playbook."""

    kind: ProbeKind
    period: timedelta = timedelta(seconds=2)
    timeout: timedelta = timedelta(seconds=1)
    #: This many sick answers in a row before: it really is sick.
    failure_threshold: int = 3
    #: This many healthy answers in a row after: it really is healthy.
    success_threshold: int = 2
    #: How long after the playbook it may take to become healthy.
    within: timedelta = timedelta(minutes=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One rung of a rule's ladder: a playbook with its vars."""

    #: Relative to the playbooks folder.
    playbook: str
    vars: Mapping[str, object] = field(default_factory=dict)
    timeout: timedelta = timedelta(minutes=5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Guards:
    """The limits of one rule; None and zero mean not limited."""

    #: Per rule and target, from the end of the last run.
    cooldown: timedelta = timedelta(0)
    #: Per rule and target.
    rate_limit: RateLimit | None = None
    #: Per rule.
    rule_rate_limit: RateLimit | None = None
    #: Runs of this rule at once.
    concurrency: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The limits across all rules."""

    concurrency: int = 4
    rate_limit: RateLimit | None = RateLimit(count=30, per=timedelta(hours=1))
    #: Per target, from the end of the last run of any rule.
    target_cooldown: timedelta = timedelta(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Matchers, target, steps, probe and guards under one name."""

    name: str
    match: tuple[Matcher, ...]
    #: The label that names the host.
    target: str = "instance"
    mode: Mode = Mode.AUTO
    steps: tuple[Step, ...]
    probe: Probe | None = None
    #: The alerts must resolve this soon after the run, or it was ineffective; None: not asked.
    resolve_within: timedelta | None = None
    guards: Guards = Guards()


def first_match(rules: Sequence[Rule], labels: Mapping[str, str]) -> Rule | None:
    """The first rule, in file order, of which every matcher holds."""
    return next((rule for rule in rules if all_match(rule.match, labels)), None)


_PLACEHOLDER = re.compile(r"\$(target\b|(labels|annotations)\.([A-Za-z_][A-Za-z0-9_]*))")


def missing_names(value: object, *, labels: Mapping[str, str], annotations: Mapping[str, str]) -> tuple[str, ...]:
    """The placeholders in `value` for which the alert has nothing, as they are written, in order, once each."""
    sources = {"labels": labels, "annotations": annotations}
    names = (m for text in _texts(value) for m in _PLACEHOLDER.finditer(text) if m[2])
    return tuple(dict.fromkeys(m[0] for m in names if m[3] not in sources[m[2]]))


def filled(
    value: Any,
    *,
    target: str,
    labels: Mapping[str, str],
    annotations: Mapping[str, str],
) -> Any:
    """`value` with every placeholder replaced, once and never evaluated.

    A string into which a label or an annotation went comes back as `Untrusted`.

    Raises:
        KeyError: a label or an annotation is missing; ask `missing_names` first.
    """
    sources = {"labels": labels, "annotations": annotations}

    def replace(match: re.Match[str]) -> str:
        return sources[match[2]][match[3]] if match[2] else target

    if isinstance(value, str):
        text = _PLACEHOLDER.sub(replace, value)
        tainted = any(match[2] for match in _PLACEHOLDER.finditer(value))
        return Untrusted(text) if tainted else text
    if isinstance(value, Mapping):
        return {key: filled(item, target=target, labels=labels, annotations=annotations) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [filled(item, target=target, labels=labels, annotations=annotations) for item in value]
    return value


def filled_probe(probe: Probe, *, target: str, labels: Mapping[str, str], annotations: Mapping[str, str]) -> Probe:
    """The probe with every placeholder in its texts replaced."""

    def fill(value: object) -> Any:
        new = filled(value, target=target, labels=labels, annotations=annotations)
        return tuple(new) if isinstance(new, list) else new

    kind = probe.kind
    # A pattern is the rule's author's alone: a stranger's words in it would be one.
    names = [field.name for field in fields(kind) if field.name != "body_regex"]
    changed: dict[str, Any] = {name: fill(getattr(kind, name)) for name in names}
    return replace(probe, kind=replace(kind, **changed))


def placeholders(value: object) -> tuple[str, ...]:
    """Every placeholder in `value` as it is written, in order, once each."""
    return tuple(dict.fromkeys(m[0] for text in _texts(value) for m in _PLACEHOLDER.finditer(text)))


def _texts(value: object) -> Sequence[str]:
    if isinstance(value, str):
        return (value,)
    if isinstance(value, Mapping):
        return [text for item in value.values() for text in _texts(item)]
    if isinstance(value, (list, tuple)):
        return [text for item in value for text in _texts(item)]
    return ()
