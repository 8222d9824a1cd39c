"""Compares what fires here with what Alertmanager says, and delivers to ourselves what it could not deliver.

A resolve is never sent for an alert that is silenced or inhibited when it clears, nor the tail that `max_alerts` cuts
off; a firing may be lost on its way. What is missing goes into the inbox like any other notification.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import structlog

from webhook.change import Change
from webhook.core.alert import Alert, AlertStatus, Notification
from webhook.core.audit import RECONCILIATION
from webhook.core.due import pair_due
from webhook.core.rulebook import Rulebook
from webhook.core.state import AlertState, Draft, Keys
from webhook.core.transition import Moment, NewId
from webhook.ports import Envelope
from webhook.world import Alertmanagers, Answer, KnownAlert, KnownState

log = structlog.get_logger()

#: At most this many records in one command.
PORTION = 500
#: Alertmanager gets this long to deliver an alert itself, `group_wait` included.
PATIENCE = timedelta(minutes=1)
#: An Alertmanager forgets all alerts when it is restarted, and has them again when Prometheus has sent them again.
SETTLING = timedelta(minutes=5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciling:
    """One comparison is `reconcile`."""

    change: Change
    rulebook: Callable[[], Rulebook]
    #: None: none is configured.
    alertmanagers: Callable[[], Alertmanagers | None]
    #: A notification as Alertmanager would write it.
    write: Callable[[Notification], str]
    now: Callable[[], datetime]
    new_id: NewId

    def reconcile(self, *, patience: timedelta = PATIENCE) -> tuple[int, int]:
        """How many firing alerts, and how many resolves, were delivered in Alertmanager's place.

        Raises:
            Unavailable: Redis or the ledger is away. An Alertmanager that does not answer is no error: nothing is
                concluded from what it does not say.
        """
        found = self.alertmanagers()
        if found is None:
            return 0, 0
        answer, rulebook = found.alerts(), self.rulebook()
        if not answer.answered:
            log.warning("no Alertmanager answers", action="reconcile", failed=dict(answer.silent))
            return 0, 0
        seen = {fingerprint: state for portion in self._states() for fingerprint, state in portion}
        remembered = self._remembered(seen, found.started_at())
        resolved = [] if answer.silent else list(self._cleared(remembered, answer.alerts))
        self._mark(seen, answer)
        firing = list(self._unheard(answer, seen, rulebook, patience=patience))
        for alerts in (firing, resolved):
            for start in range(0, len(alerts), PORTION):
                self._deliver(alerts[start : start + PORTION])
        if firing or resolved:
            counts = {"firing": len(firing), "resolved": len(resolved)}
            log.info("delivered in Alertmanager's place", action="reconcile", **counts)
        return len(firing), len(resolved)

    def _states(self) -> Iterator[Iterable[tuple[str, AlertState]]]:
        pairs = self.change.store.open_pairs()
        for start in range(0, len(pairs), PORTION):
            states = self.change.store.read(Keys(pairs=frozenset(pairs[start : start + PORTION]))).pairs.values()
            firing = [f for state in states if state.incident for f in state.incident.firing]
            for at in range(0, len(firing), PORTION):
                yield self.change.store.read(Keys(alerts=frozenset(firing[at : at + PORTION]))).alerts.items()

    def _remembered(self, seen: Mapping[str, AlertState], started_at: datetime | None) -> Mapping[str, AlertState]:
        """Those that every Alertmanager has to know of by now, if they still fire."""
        if started_at is None or self.now() - started_at >= SETTLING:
            return seen
        return {fingerprint: state for fingerprint, state in seen.items() if state.received_at > started_at}

    def _cleared(self, seen: Mapping[str, AlertState], known: Mapping[str, KnownAlert]) -> Iterator[Alert]:
        """What Alertmanager did not have the last time, and does not have now: once may be a restart of its own."""
        now = self.now()
        for state in seen.values():
            origins = state.copies or (state.alert.fingerprint,)
            gone = [origin for origin in origins if origin not in known]
            # With one of several copies gone, the others say that Alertmanager is itself.
            if state.is_missed or len(gone) < len(origins):
                for origin in gone:
                    yield replace(state.alert, status=AlertStatus.RESOLVED, ends_at=now, fingerprint=origin, origin="")

    def _unheard(
        self, answer: Answer, seen: Mapping[str, AlertState], rulebook: Rulebook, *, patience: timedelta
    ) -> Iterator[Alert]:
        names, now = self.change.store.receivers(), self.now()
        for known in answer.alerts.values():
            alert = rulebook.identified(known.alert)
            is_ours = known.is_ours or not names.isdisjoint(known.receivers)
            is_late = alert.fingerprint not in seen and now - alert.starts_at >= patience
            if known.state is KnownState.ACTIVE and is_ours and is_late and rulebook.match(alert):
                yield known.alert

    def _mark(self, seen: Mapping[str, AlertState], answer: Answer) -> None:
        """Remember what Alertmanager keeps back, which is decided again when it no longer does, and what it misses."""
        for fingerprint, state in seen.items():
            found = [answer.alerts[o] for o in state.copies or (fingerprint,) if o in answer.alerts]
            held = bool(found) and all(alert.state is KnownState.SUPPRESSED for alert in found)
            marked = replace(
                state,
                suppressed_by=", ".join(found[0].suppressed_by) or "it is suppressed" if held else "",
                is_missed=not found and not answer.silent,
            )
            if marked != state:
                self._remember(fingerprint, marked)

    def _remember(self, fingerprint: str, marked: AlertState) -> None:
        moment, pair = Moment(rulebook=self.rulebook(), now=self.now(), new_id=self.new_id), marked.pair

        def write(draft: Draft) -> bool | None:
            state = draft.alerts.get(fingerprint)
            if state is None or not state.is_firing:
                return None
            new = replace(state, suppressed_by=marked.suppressed_by, is_missed=marked.is_missed)
            draft.put_alert(fingerprint, new)
            incident = draft.pair(pair).incident
            if not new.suppressed_by and incident is not None and incident.hold and incident.hold.guard == "fires":
                draft.due[pair_due(pair)] = moment.now
            return True

        keys = Keys(alerts=frozenset([fingerprint]), pairs=frozenset([pair]))
        self.change.make(keys, write, id=f"marked:{self.new_id()}", moment=moment)

    def _deliver(self, alerts: Sequence[Alert]) -> None:
        id, at = self.new_id(), self.now()
        notification = Notification(
            id=id,
            received_at=at,
            receiver=RECONCILIATION,
            group_key="",
            external_url=RECONCILIATION,
            truncated_alerts=0,
            alerts=tuple(alerts),
        )
        self.change.store.put(id, Envelope(received_at=at, sender=RECONCILIATION, body=self.write(notification)))
