"""Rule tests: what a rehearsal is expected to come to, and how it differs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from webhook.core.audit import AuditEvent, Event
from webhook.core.rulebook import Rulebook
from webhook.errors import Place
from webhook.rehearsal.scenario import Scenario
from webhook.rehearsal.stage import staged

#: What an expectation may be about, by the event that it is found in.
FIELDS: Final[Mapping[Event, tuple[str, ...]]] = {
    Event.DECISION: ("decision", "guard", "reason"),
    Event.RUN_FINISHED: ("outcome",),
    Event.ESCALATED: ("escalated",),
}
#: What an expectation may name to say which event is meant.
NAMES: Final = ("target", "rule")
#: A decision that is expected not to be there.
NONE: Final = "none"

Coverage = Counter[tuple[str, str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectation:
    """The latest word by then, if only on what is named; where alerts come in at that time, what is decided then."""

    at: datetime
    event: Event
    #: By field; of a reason it is enough that it is a part.
    wanted: Mapping[str, str]
    place: Place


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleTest:
    """One of a file."""

    name: str
    scenario: Scenario
    expectations: tuple[Expectation, ...]
    place: Place


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One field of one expectation that is not as it should be."""

    expectation: Expectation
    field: str
    expected: str
    found: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """How a test went."""

    test: RuleTest
    differences: tuple[Difference, ...]
    #: How often each rule's guard gave each verdict, and (with the guard `decision`) how often it was decided so.
    coverage: Coverage = field(default_factory=Counter)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Fact:
    at: datetime
    event: Event
    fields: Mapping[str, str]


def play(test: RuleTest, rulebook: Rulebook) -> Result:
    """The test, played on the clock of its scenario."""
    end = max((expectation.at for expectation in test.expectations), default=test.scenario.start)
    with staged(rulebook, test.scenario, until=end) as stage:
        events = list(stage.ledger.events)
    facts = [fact for event in events if (fact := _fact(event)) is not None]
    heard = {found.at for found in test.scenario.deliveries if not all(alert.is_resolved for alert in found.alerts)}
    differences = [d for wanted in test.expectations for d in _differences(wanted, _meant(wanted, facts, heard))]
    return Result(test=test, differences=tuple(differences), coverage=_coverage(events))


def _fact(event: AuditEvent) -> _Fact | None:
    if event.event not in FIELDS:
        return None
    fields = {"rule": event.rule, "target": event.target}
    if event.event is Event.DECISION:
        # Just before a run starts it is decided again; that is news only when it does not run after all.
        if event.run is not None and event.decision == "run":
            return None
        decided = event.body["decision"]
        assert isinstance(decided, dict)
        fields |= {name: decided[name] for name in ("decision", "guard", "reason")}
    elif event.event is Event.RUN_FINISHED:
        fields["outcome"] = event.outcome
    else:
        fields["escalated"] = str(event.body["escalation"])
    return _Fact(at=event.at, event=event.event, fields={name: value or "none" for name, value in fields.items()})


def _meant(expectation: Expectation, facts: Sequence[_Fact], heard: Collection[datetime]) -> list[_Fact]:
    found = [fact for fact in facts if fact.event is expectation.event and fact.at <= expectation.at]
    if expectation.event is Event.DECISION and expectation.at in heard:
        # An older word must not pass for one on an alert that no rule took.
        return [fact for fact in found if fact.at == expectation.at]
    return found


def _differences(expectation: Expectation, found: list[_Fact]) -> Iterator[Difference]:
    if expectation.wanted.get("decision") == NONE:
        found = [fact for fact in found if _is_named(expectation, fact)]
    if not found:
        if expectation.wanted.get("decision") != NONE:
            field = next(name for name in FIELDS[expectation.event] if name in expectation.wanted)
            yield _difference(expectation, field, "nothing")
        return
    nearest = min(_latest(expectation, found), key=lambda fact: len(_unequal(expectation, fact)))
    for name in _unequal(expectation, nearest):
        yield _difference(expectation, name, nearest.fields[name])


def _latest(expectation: Expectation, facts: list[_Fact]) -> list[_Fact]:
    """The facts of the latest moment, of those on what is named if there are any."""
    for name in NAMES:
        wanted = expectation.wanted.get(name)
        facts = [fact for fact in facts if fact.fields[name] == wanted] or facts
    last = max(fact.at for fact in facts)
    return [fact for fact in facts if fact.at == last]


def _is_named(expectation: Expectation, fact: _Fact) -> bool:
    return all(expectation.wanted.get(name, fact.fields[name]) == fact.fields[name] for name in NAMES)


def _unequal(expectation: Expectation, fact: _Fact) -> list[str]:
    return [name for name, wanted in expectation.wanted.items() if not _is_as(name, wanted, fact.fields[name])]


def _is_as(name: str, wanted: str, found: str) -> bool:
    return wanted in found if name == "reason" else wanted == found


def _difference(expectation: Expectation, field: str, found: str) -> Difference:
    return Difference(expectation=expectation, field=field, expected=expectation.wanted[field], found=found)


def _coverage(events: Sequence[AuditEvent]) -> Coverage:
    seen: Coverage = Counter()
    for event in events:
        if event.event is Event.DECISION and event.run is None:
            decided = event.body["decision"]
            assert isinstance(decided, dict)
            seen[event.rule or "", "decision", decided["decision"]] += 1
            seen.update((event.rule or "", check["guard"], check["verdict"]) for check in decided["checks"])
    return seen
