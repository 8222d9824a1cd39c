"""Hosts that are sick when a scenario says so, playbooks that end as it says, and people who take every call."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from webhook.core.probe import Probe
from webhook.core.run import ProbeAnswer, Run
from webhook.core.transcript import Passage
from webhook.rehearsal.scenario import Health, Performance, Piece, Scenario
from webhook.rehearsal.timeline import Timeline
from webhook.world import Answer, Paged, PlaybookEnd, PlaybookJob, PlaybookResult, Posted

#: Where the playbooks of a rehearsal would lie.
PLAYBOOKS: Final = Path("/rehearsal")
_LOOK_UP: Final = timedelta(seconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """For which run a probe is asked, and what for."""

    run: Run
    is_required: bool


@dataclass(slots=True, kw_only=True)
class World:
    """Satisfies `ports.Prober` and `ports.PlaybookRunner`."""

    scenario: Scenario
    timeline: Timeline
    #: What the probe that is being asked is about.
    question: Callable[[Probe], Question]
    #: Incidents for which a playbook has ended well.
    mended: set[str] = field(default_factory=set)
    _given: dict[tuple[str, str], Performance] = field(default_factory=dict)
    _counts: Counter[Piece] = field(default_factory=Counter)

    def ask(self, probe: Probe) -> ProbeAnswer:
        """The answer that the scenario has for this time."""
        healthy = self._is_healthy(self.question(probe))
        return ProbeAnswer(
            at=self.timeline.now,
            healthy=healthy,
            kind=probe.kind.key,
            asked=str(probe.kind),
            words="healthy, as rehearsed" if healthy else "sick, as rehearsed",
            latency_seconds=0.0,
        )

    def run(
        self, job: PlaybookJob, *, is_cancelled: Callable[[], bool], hear: Callable[[Passage], None]
    ) -> PlaybookResult:
        """The end that the scenario has for this playbook, when its time has passed."""
        if job.check:
            return PlaybookResult(end=PlaybookEnd.OK, reason="nothing was tried, as rehearsed", return_code=0)
        performance = self._performance(job.run, str(job.playbook.relative_to(PLAYBOOKS)), job.target)
        if not self._lasts(min(performance.takes, job.timeout), is_cancelled):
            return PlaybookResult(end=PlaybookEnd.CANCELLED, reason="it was cancelled", return_code=None)
        end = PlaybookEnd.TIMEOUT if performance.takes > job.timeout else performance.end
        if end is PlaybookEnd.OK and performance.mends:
            self.mended.add(str(job.alertmend["incident"]))
        return PlaybookResult(end=end, reason=f"{end}, as rehearsed", return_code=0 if end is PlaybookEnd.OK else 2)

    def _is_healthy(self, question: Question) -> bool:
        run, now = question.run, self.timeline.now
        if question.is_required:
            return _latest(self.scenario.requirements, run.target, now, otherwise=True)
        if self.scenario.probes:
            return _latest(self.scenario.probes, run.target, now, otherwise=False)
        return run.incident in self.mended or not self._performance(run.id, run.playbook, run.target).is_sick

    def _performance(self, run: str, playbook: str, target: str) -> Performance:
        """The same for all that is asked about one run."""
        if (run, playbook) not in self._given:
            self._given[run, playbook] = self._next(playbook, target)
        return self._given[run, playbook]

    def _next(self, playbook: str, target: str) -> Performance:
        piece: Piece = (playbook, target) if (playbook, target) in self.scenario.playbooks else (playbook, None)
        performances = self.scenario.playbooks.get(piece) or (Performance(),)
        self._counts[piece] += 1
        return performances[min(self._counts[piece], len(performances)) - 1]

    def _lasts(self, span: timedelta, is_cancelled: Callable[[], bool]) -> bool:
        """Whether nobody cancelled it before its time had passed."""
        end = self.timeline.now + span
        while (left := end - self.timeline.now) > timedelta(0):
            if is_cancelled():
                return False
            self.timeline.wait(min(left, _LOOK_UP))
        return not is_cancelled()


class TakingAlerts:
    """Satisfies `ports.Alertmanagers`: knows nothing, and takes every alert."""

    def alerts(self, *, matchers: Sequence[str] = ()) -> Answer:
        """Nothing is known."""
        return Answer(alerts={}, answered=())

    def started_at(self) -> datetime | None:
        """Nobody says so."""
        return None

    def post(self, alerts: Sequence[Mapping[str, object]]) -> Posted:
        """They were taken."""
        return Posted(taken_by=("rehearsed",))


class TakingPages:
    """Satisfies `ports.Pager`: takes every page."""

    def post(self, url: str, body: Mapping[str, object]) -> Paged:
        """It was taken."""
        return Paged(was_taken=True, words="as rehearsed")


def _latest(words: Sequence[Health], target: str, now: datetime, *, otherwise: bool) -> bool:
    found = [word for word in words if word.at <= now and word.target in (None, target)]
    # Of several from the same time on, the last one counts.
    return sorted(found, key=lambda word: word.at)[-1].healthy if found else otherwise
