"""Remembers again, from the ledger, what a store that was emptied has forgotten."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import structlog

from webhook.change import Change
from webhook.core.alert import Alert
from webhook.core.incident import Incident
from webhook.core.rulebook import Rulebook
from webhook.core.run import Run
from webhook.core.state import Draft, Keys
from webhook.core.transition import Moment, NewId, restore, restore_pauses
from webhook.ports import History
from webhook.telemetry import named

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovering:
    """Nothing is decided in a store that is fresh: whoever meets it first recovers. Several at once do no harm."""

    change: Change
    history: History
    rulebook: Callable[[], Rulebook]
    #: Ends what a run left running on this machine; how many processes that were.
    end_leftovers: Callable[[str], int]
    now: Callable[[], datetime]
    new_id: NewId

    def recover(self) -> None:
        """Remember the incidents that the ledger has open and the store knows nothing of; nothing when it is not fresh.

        A run of theirs that was under way is recorded as lost, after its processes are gone, and people are told.
        What people have paused comes first, so that nothing runs that they had stopped.

        Raises:
            Unavailable: a dependency is away; it begins again the next time.
        """
        if not self.change.store.is_fresh():
            return
        self._recover_pauses()
        unfinished = {run.id: run for run in self.history.unfinished_runs()}
        recovered = []
        for incident, alerts in self.history.open_incidents():
            if self._recover(incident, alerts, unfinished.get(incident.run or "")):
                recovered.append(incident.id)
        if recovered:
            log.warning("the store was empty; open incidents are back", action="recover", **named(incident=recovered))
        self.change.store.settle()

    def _recover_pauses(self) -> None:
        moment, pauses = self._moment(), self.history.pauses()

        def write(draft: Draft) -> int | None:
            return restore_pauses(draft, moment, pauses) or None

        self.change.make(Keys(), write, id=f"recover:pauses:{self.new_id()}", moment=moment)

    def _recover(self, incident: Incident, alerts: tuple[Alert, ...], run: Run | None) -> bool:
        moment, keys = self._moment(), Keys(pairs=frozenset([incident.pair]))
        if incident.pair in self.change.store.read(keys).pairs:
            return False
        if run is not None:
            self.end_leftovers(run.id)

        def write(draft: Draft) -> bool | None:
            return restore(draft, moment, incident, alerts, run) or None

        return bool(self.change.make(keys, write, id=f"recover:{incident.id}:{self.new_id()}", moment=moment))

    def _moment(self) -> Moment:
        return Moment(rulebook=self.rulebook(), now=self.now(), new_id=self.new_id)
