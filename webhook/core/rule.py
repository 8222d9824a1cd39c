"""Rules: which alerts they take, what they do, and the limits they keep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum

from webhook.core.matcher import Matcher, all_match
from webhook.core.placeholder import Untrusted as Untrusted
from webhook.core.placeholder import filled as filled
from webhook.core.placeholder import missing_names as missing_names
from webhook.core.placeholder import placeholders as placeholders
from webhook.core.probe import CommandProbe as CommandProbe
from webhook.core.probe import HttpProbe as HttpProbe
from webhook.core.probe import Probe as Probe
from webhook.core.probe import ProbeKind as ProbeKind
from webhook.core.probe import TcpProbe as TcpProbe
from webhook.core.probe import filled_probe as filled_probe


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
