"""What was delivered, through other rules: which runs there would be more, which less, and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Final

from webhook.core.rulebook import Rulebook
from webhook.rehearsal.export import Decided, Recorded, decisions_of
from webhook.rehearsal.scenario import Scenario
from webhook.rehearsal.stage import staged

#: A run of the same rule on the same host this near is the same run.
SAME: Final = timedelta(minutes=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A run that is added or removed."""

    is_added: bool
    run: Decided
    #: The decision on the same alert at that time by the other rules; None: no rule took it.
    instead: Decided | None


def replay(recorded: Recorded, rulebook: Rulebook) -> tuple[Change, ...]:
    """The runs that differ, by time."""
    scenario = Scenario(
        start=recorded.start,
        deliveries=recorded.deliveries,
        playbooks=recorded.playbooks,
        answers=recorded.answers,
        pauses=recorded.pauses,
    )
    with staged(rulebook, scenario, until=recorded.end) as stage:
        after = decisions_of([asdict(event) for event in stage.ledger.events])
    removed, added = _unpaired(recorded.decisions, after)
    changes = [Change(is_added=False, run=run, instead=_instead(run, after)) for run in removed]
    changes += [Change(is_added=True, run=run, instead=_instead(run, recorded.decisions)) for run in added]
    return tuple(sorted(changes, key=lambda change: change.run.at))


def _unpaired(before: Sequence[Decided], after: Sequence[Decided]) -> tuple[list[Decided], list[Decided]]:
    """The runs before that have no counterpart after, and the other way round."""
    removed, left = [], [run for run in after if run.runs]
    for run in before:
        if not run.runs:
            continue
        same = [other for other in left if _is_same(run, other)]
        if same:
            left.remove(min(same, key=lambda other: abs(other.at - run.at)))
        else:
            removed.append(run)
    return removed, left


def _is_same(run: Decided, other: Decided) -> bool:
    return (run.rule, run.target) == (other.rule, other.target) and abs(run.at - other.at) <= SAME


def _instead(run: Decided, decisions: Sequence[Decided]) -> Decided | None:
    near = [decided for decided in decisions if decided.alert == run.alert and decided.at <= run.at + SAME]
    # They are in the order of time; what came after the run is a word on it only where there was none before.
    before = [decided for decided in near if decided.at <= run.at]
    return before[-1] if before else near[0] if near else None
