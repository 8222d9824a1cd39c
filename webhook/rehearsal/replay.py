"""What was delivered, through other rules: which runs there would be more, which less, and why."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from webhook.core.audit import Event
from webhook.core.rulebook import Rulebook
from webhook.core.run import Pair
from webhook.rehearsal.export import Decided, Recorded, read_decision
from webhook.rehearsal.scenario import Scenario
from webhook.rehearsal.stage import staged

#: A run of the same rule on the same host this near is the same run.
SAME: Final = timedelta(minutes=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangedRun:
    """One that there was and would not be, or the other way round."""

    is_added: bool
    run: Decided
    #: The decision on the same alert at that time by the other rules; None: no rule took it.
    instead: Decided | None


def replay(recorded: Recorded, rulebook: Rulebook) -> tuple[ChangedRun, ...]:
    """The runs that differ, by time."""
    before, after = recorded.decisions, _decisions(recorded, rulebook)
    removed, added = _unpaired(before, after)
    # Beyond the end nothing is on record that it could be held against.
    added = [run for run in added if run.at <= recorded.end]
    changed = [*_changed(removed, after, is_added=False), *_changed(added, before, is_added=True)]
    return tuple(sorted(changed, key=lambda change: change.run.at))


def _decisions(recorded: Recorded, rulebook: Rulebook) -> Sequence[Decided]:
    scenario = Scenario(
        start=recorded.start,
        deliveries=recorded.deliveries,
        playbooks=recorded.playbooks,
        answers=recorded.answers,
        pauses=recorded.pauses,
    )
    # A little further: a hold that came due just before the end comes due some moments later here, or earlier.
    with staged(rulebook, scenario, until=recorded.end + SAME) as stage:
        # Not those just before a run started: what counts was decided when it was queued.
        events = [event for event in stage.ledger.events if event.event is Event.DECISION and event.run is None]
    return [read_decision(event.at, event.rule, event.target, event.body) for event in events]


def _unpaired(before: Sequence[Decided], after: Sequence[Decided]) -> tuple[list[Decided], list[Decided]]:
    """The runs before that have no counterpart after, and the other way round."""
    removed, left = [], _runs(after)
    for pair, runs in _runs(before).items():
        for run in runs:
            near = [other for other in left[pair] if abs(other.at - run.at) <= SAME]
            if near:
                left[pair].remove(min(near, key=lambda other: abs(other.at - run.at)))
            else:
                removed.append(run)
    return removed, [run for runs in left.values() for run in runs]


def _runs(decisions: Iterable[Decided]) -> dict[Pair, list[Decided]]:
    found: dict[Pair, list[Decided]] = defaultdict(list)
    for decided in decisions:
        if decided.runs:
            found[Pair(decided.rule, decided.target)].append(decided)
    return found


def _changed(runs: Iterable[Decided], others: Sequence[Decided], *, is_added: bool) -> Iterable[ChangedRun]:
    by_alert: dict[str, list[Decided]] = defaultdict(list)
    for decided in others:
        by_alert[decided.alert].append(decided)
    return [ChangedRun(is_added=is_added, run=run, instead=_instead(run, by_alert)) for run in runs]


def _instead(run: Decided, by_alert: Mapping[str, Sequence[Decided]]) -> Decided | None:
    near = [decided for decided in by_alert.get(run.alert, ()) if decided.at <= run.at + SAME]
    # They are in the order of time; what came after the run is a word on it only where there was none before.
    before = [decided for decided in near if decided.at <= run.at]
    return before[-1] if before else near[0] if near else None
