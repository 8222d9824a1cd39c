"""What is remembered again when the state was lost and the ledger was not."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from webhook.core.alert import Alert
from webhook.core.audit import Event
from webhook.core.due import pair_due
from webhook.core.incident import Incident, LastRun
from webhook.core.pause import Pause
from webhook.core.run import Outcome, Run, RunState
from webhook.core.state import AlertState, Draft
from webhook.core.transition.handover import hand_over
from webhook.core.transition.moment import Moment, run_event

REASON = "the state in Redis was lost while it was under way"


def restore(draft: Draft, moment: Moment, incident: Incident, alerts: tuple[Alert, ...], run: Run | None) -> bool:
    """Whether the incident was remembered again; not when another one is open by now.

    `run` is one of it that has no end on the record: it is lost, which uses up its attempt and starts the cooldown.
    """
    if draft.pair(incident.pair).incident is not None:
        return False
    incident = replace(incident, run=None, run_state=None, request=None, hold=None)
    if run is not None:
        ended = replace(run, state=RunState.FINISHED, outcome=Outcome.LOST, reason=REASON, finished_at=moment.now)
        draft.put_run(ended)
        draft.events.append(run_event(Event.RUN_FINISHED, ended, at=moment.now))
        incident = replace(incident, last_run=LastRun(id=run.id, outcome=Outcome.LOST, finished_at=moment.now))
    finished_at = incident.last_run.finished_at if incident.last_run else None
    draft.put_pair(incident.pair, replace(draft.pair(incident.pair), last_finished_at=finished_at))
    draft.put_incident(incident)
    for alert in alerts:
        draft.put_alert(alert.fingerprint, _state(alert, incident, moment))
    draft.due[pair_due(incident.pair)] = moment.now
    if run is not None:
        hand_over(draft, moment, incident, outcome=Outcome.LOST, reason=REASON)
    return True


def restore_pauses(draft: Draft, moment: Moment, pauses: Iterable[Pause]) -> int:
    """How many pauses that are not over were remembered again."""
    known = {pause.id for pause in draft.pauses}
    missing = tuple(pause for pause in pauses if pause.until > moment.now and pause.id not in known)
    if missing:
        draft.put_pauses((*draft.pauses, *missing))
    return len(missing)


def _state(alert: Alert, incident: Incident, moment: Moment) -> AlertState:
    return AlertState(
        alert=alert,
        received_at=moment.now,
        source="",
        incident=incident.id,
        rule=incident.rule,
        target=incident.target,
        since=min(alert.starts_at, incident.opened_at),
        copies=(alert.origin,) if alert.origin else (),
    )
