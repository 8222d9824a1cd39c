"""Rule tests as people write them: the `tests` of a file that is a configuration otherwise."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from itertools import groupby
from typing import Final

from webhook.core.alert import Alert, AlertStatus, fingerprint_of
from webhook.core.duration import format_duration
from webhook.core.guard import NAMES as GUARD_NAMES
from webhook.core.rulebook import Rulebook
from webhook.core.run import Outcome
from webhook.core.verdict import Choice
from webhook.edge.configfile.fields import read_matcher
from webhook.located import (
    Node,
    any_text,
    boolean,
    choice,
    did_you_mean,
    duration,
    items,
    mapping,
    otherwise,
    text,
)
from webhook.rehearsal.ruletest import FIELDS, NONE, Expectation, RuleTest
from webhook.rehearsal.scenario import Answered, Delivery, Health, Paused, Performance, Piece, Scenario
from webhook.world import PlaybookEnd

#: A Monday, at noon.
START: Final = datetime(2026, 1, 5, 12, tzinfo=UTC)
#: An escalation, for one, has something to do every minute.
LONGEST: Final = timedelta(days=366)
#: Whoever means another year has mistyped it.
_YEARS: Final = range(1970, 2200)

_TEST: Final = {"name", "start", "alerts", "probes", "require", "playbooks", "approvals", "pauses", "expect"}
_DECISIONS: Final = (*(choice.value for choice in Choice), NONE)
_OUTCOMES: Final = tuple(outcome.value for outcome in Outcome)


class Ending(StrEnum):
    """How a playbook may end."""

    OK = "ok"
    FAILED = "failed"
    TIMEOUT = "timeout"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reader:
    """Reads one test; times are counted from `start`."""

    rulebook: Rulebook
    start: datetime

    def at(self, node: Node | None) -> datetime:
        after = otherwise(duration(node), timedelta(0))
        if node is not None and after > LONGEST:
            node.report(f"a test lasts {format_duration(LONGEST)} at the most; give it another start")
            return self.start
        return self.start + after

    def deliveries(self, node: Node | None) -> tuple[Delivery, ...]:
        firing: dict[str, datetime] = {}
        alerts = sorted((self._alert(item) for item in items(node)), key=lambda found: found[0])
        begun = [(at, _since(alert, at, firing)) for at, alert in alerts]
        groups = groupby(begun, key=lambda found: found[0])
        return tuple(Delivery(at=at, alerts=tuple(alert for _, alert in group)) for at, group in groups)

    def _alert(self, node: Node) -> tuple[datetime, Alert]:
        fields = mapping(node, known={"at", "status", "labels", "annotations"}, required={"at", "labels"})
        at, labels = self.at(fields.get("at")), _texts(fields.get("labels"))
        status = otherwise(choice(fields.get("status"), AlertStatus), AlertStatus.FIRING)
        return at, Alert(
            status=status,
            labels=labels,
            annotations=_texts(fields.get("annotations")),
            starts_at=at,
            ends_at=at if status is AlertStatus.RESOLVED else None,
            fingerprint=fingerprint_of(labels),
        )

    def health(self, node: Node | None) -> tuple[Health, ...]:
        return tuple(self._health(item) for item in items(node))

    def _health(self, node: Node) -> Health:
        fields = mapping(node, known={"at", "healthy", "target"}, required={"at", "healthy"})
        return Health(
            at=self.at(fields.get("at")),
            healthy=otherwise(boolean(fields.get("healthy")), False),
            target=_one_of(fields.get("target"), self.rulebook.inventory.hosts),
        )

    def playbooks(self, node: Node | None) -> Mapping[Piece, Sequence[Performance]]:
        known = {step.playbook for rule in self.rulebook.rules for step in rule.steps}
        known |= {rule.rollback for rule in self.rulebook.rules if rule.rollback}
        known |= {rule.give_up.playbook for rule in self.rulebook.rules if rule.give_up and rule.give_up.playbook}
        # A list is a performance for each run.
        return {
            (name, None): [_performance(one) for one in (items(value) if value.is_list else [value])]
            for name, value in mapping(node, known=known).items()
        }

    def answers(self, node: Node | None) -> tuple[Answered, ...]:
        return tuple(self._answer(item) for item in items(node))

    def _answer(self, node: Node) -> Answered:
        fields = mapping(node, known={"at", "by", "approve"}, required={"at", "by", "approve"})
        return Answered(
            at=self.at(fields.get("at")),
            by=otherwise(text(fields.get("by")), ""),
            approves=otherwise(boolean(fields.get("approve")), True),
        )

    def pauses(self, node: Node | None) -> tuple[Paused, ...]:
        return tuple(self._pause(item) for item in items(node))

    def _pause(self, node: Node) -> Paused:
        fields = mapping(node, known={"at", "for", "match"}, required={"at", "for"})
        return Paused(
            at=self.at(fields.get("at")),
            lasts=otherwise(duration(fields.get("for"), minimum=timedelta(seconds=1)), timedelta(hours=1)),
            matchers=tuple(
                matcher for item in items(fields.get("match")) if (matcher := read_matcher(item)) is not None
            ),
        )

    def expectations(self, node: Node | None) -> tuple[Expectation, ...]:
        return tuple(found for item in items(node) if (found := self._expectation(item)) is not None)

    def _expectation(self, node: Node) -> Expectation | None:
        known = {
            "decision": _DECISIONS,
            "guard": GUARD_NAMES,
            "outcome": _OUTCOMES,
            "escalated": (*self.rulebook.chains, self.rulebook.chain("").name),
            "rule": [rule.name for rule in self.rulebook.rules],
            "target": self.rulebook.inventory.hosts,
        }
        fields = mapping(node, known={"at", "reason", *known}, required={"at"})
        found = {name: _one_of(fields.get(name), names) for name, names in known.items()}
        wanted = {name: value for name, value in {**found, "reason": text(fields.get("reason"))}.items() if value}
        events = [event for event, names in FIELDS.items() if any(name in fields for name in names)]
        if len(events) != 1:
            node.report("give what is expected: a decision with its guard and reason, or an outcome, or escalated")
            return None
        return Expectation(at=self.at(fields.get("at")), event=events[0], wanted=wanted, place=node.place)


def read_tests(node: Node | None, rulebook: Rulebook) -> tuple[RuleTest, ...]:
    """The tests, in file order. What they name has to be in the rulebook."""
    tests = [_test(item, rulebook) for item in items(node)]
    if node is not None and not tests:
        node.report("give at least one test")
    return tuple(tests)


def _test(node: Node, rulebook: Rulebook) -> RuleTest:
    fields = mapping(node, known=_TEST, required={"name", "alerts", "expect"})
    reader = _Reader(rulebook=rulebook, start=_start(fields.get("start")))
    if "expect" in fields and not items(fields["expect"]):
        fields["expect"].report("a test that expects nothing can not fail")
    return RuleTest(
        name=otherwise(text(fields.get("name")), ""),
        scenario=Scenario(
            start=reader.start,
            deliveries=reader.deliveries(fields.get("alerts")),
            probes=reader.health(fields.get("probes")),
            requirements=reader.health(fields.get("require")),
            playbooks=reader.playbooks(fields.get("playbooks")),
            answers=reader.answers(fields.get("approvals")),
            pauses=reader.pauses(fields.get("pauses")),
        ),
        expectations=reader.expectations(fields.get("expect")),
        place=node.place,
    )


def _start(node: Node | None) -> datetime:
    written = text(node)
    if node is None or written is None:
        return START
    try:
        at = datetime.fromisoformat(written)
        if at.tzinfo is not None and at.year in _YEARS:
            return at.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    node.report("a time with its zone is needed, in quotes, like '2026-01-30T17:00:00+01:00'")
    return START


def _since(alert: Alert, at: datetime, firing: dict[str, datetime]) -> Alert:
    """The alert with the start of its firing."""
    if alert.is_resolved:
        return replace(alert, starts_at=firing.pop(alert.fingerprint, at))
    return replace(alert, starts_at=firing.setdefault(alert.fingerprint, at))


def _performance(node: Node) -> Performance:
    fields = mapping(node, known={"outcome", "takes"})
    ending = otherwise(choice(fields.get("outcome"), Ending), Ending.OK)
    return Performance(end=PlaybookEnd(ending.value), takes=otherwise(duration(fields.get("takes")), timedelta(0)))


def _texts(node: Node | None) -> dict[str, str]:
    return {name: found for name, value in mapping(node).items() if (found := any_text(value)) is not None}


def _one_of(node: Node | None, known: Collection[str]) -> str | None:
    value = text(node)
    if node is not None and value is not None and value not in known:
        node.report(f"{value!r} is not known here; {did_you_mean(value, known)}")
        return None
    return value
