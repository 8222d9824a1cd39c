"""Rules: which alerts they take, what they do, and the limits they keep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum

from webhook.core.matcher import Matcher, all_match
from webhook.core.probe import Probe


class Mode(StrEnum):
    """How far a rule may go by itself, lowest first."""

    OBSERVE = "observe"
    #: Asks people first.
    APPROVE = "approve"
    AUTO = "auto"

    def lower_of(self, *others: Mode) -> Mode:
        """The most careful of these modes."""
        return min((self, *others), key=_CARELESSNESS.__getitem__)


_CARELESSNESS = {mode: place for place, mode in enumerate(Mode)}


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
    #: A rung may be more careful than its rule.
    mode: Mode = Mode.AUTO


@dataclass(frozen=True, slots=True, kw_only=True)
class MaxTargets:
    """How many hosts may be sick at once before it is an outage: a number, or a share of the inventory group."""

    number: int | None = None
    #: Above 0, at most 1.
    share: float | None = None

    def of(self, hosts: int) -> int:
        """The largest number of sick hosts that is still no outage; never less than one."""
        if self.number is not None:
            return self.number
        return max(1, int((self.share or 0) * hosts + 1e-9))

    def __str__(self) -> str:
        return str(self.number) if self.number is not None else f"{100 * (self.share or 0):g}%"


@dataclass(frozen=True, slots=True, kw_only=True)
class Breaker:
    """Opens after `failures` within `window`, stays open for `open_for`, and then lets one trial through."""

    failures: int
    window: timedelta
    open_for: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalPolicy:
    """How many people must approve, and how long they have."""

    count: int = 1
    expires: timedelta = timedelta(minutes=15)


@dataclass(frozen=True, slots=True, kw_only=True)
class GiveUp:
    """What is done when the attempts are used up or the breaker opened: a last playbook, then people."""

    playbook: str | None = None
    #: The name of an escalation; None: the one that there always is.
    escalate: str | None = None


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
    #: What no other run may hold at the same time, besides the target; placeholders are replaced.
    lock: tuple[str, ...] = ()
    max_targets: MaxTargets | None = None
    breaker: Breaker | None = None
    #: Names of time intervals: not in any of these, and in one of those if there are any.
    mute_time_intervals: tuple[str, ...] = ()
    active_time_intervals: tuple[str, ...] = ()


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
    #: How long an alert must have fired.
    for_: timedelta = timedelta(0)
    steps: tuple[Step, ...]
    #: Must all be healthy just before a playbook, or nothing is done.
    require: tuple[Probe, ...] = ()
    probe: Probe | None = None
    #: The alerts must resolve this soon after the run, or it was ineffective; None: not asked.
    resolve_within: timedelta | None = None
    #: The playbook that compensates for a step that failed or did not help.
    rollback: str | None = None
    guards: Guards = Guards()
    approval: ApprovalPolicy = ApprovalPolicy()
    give_up: GiveUp | None = None

    def rung(self, number: int) -> Step | None:
        """The step of an attempt, from 1; after the last one comes the playbook of `give_up`, and then nothing."""
        if 1 <= number <= len(self.steps):
            return self.steps[number - 1]
        if number == self.last_rung and self.give_up and self.give_up.playbook:
            return Step(playbook=self.give_up.playbook)
        return None

    @property
    def last_rung(self) -> int:
        """The number of the playbook of `give_up`."""
        return len(self.steps) + 1

    @property
    def playbooks(self) -> tuple[str, ...]:
        """Every playbook that it may run."""
        last = self.give_up.playbook if self.give_up else None
        return tuple(name for name in (*(step.playbook for step in self.steps), self.rollback, last) if name)


def first_match(rules: Sequence[Rule], labels: Mapping[str, str]) -> Rule | None:
    """The first rule, in file order, of which every matcher holds."""
    return next((rule for rule in rules if all_match(rule.match, labels)), None)
