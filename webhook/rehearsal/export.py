"""An audit export, read for what was delivered, what was decided and how playbooks ended."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

from webhook.core.alert import Alert, AlertStatus
from webhook.core.audit import Event
from webhook.core.incident import Incident
from webhook.core.matcher import parse_matcher
from webhook.core.run import Outcome, Run
from webhook.core.verdict import Choice
from webhook.errors import ConfigError, Problem
from webhook.rehearsal.scenario import Answered, Delivery, Paused, Performance, Piece
from webhook.world import PlaybookEnd

_ALERT: Final = TypeAdapter(Alert)
_ALERTS: Final = TypeAdapter(tuple[Alert, ...])
_INCIDENT: Final = TypeAdapter(Incident)
_RUN: Final = TypeAdapter(Run)
_TIME: Final = TypeAdapter(datetime)
_PLAYED: Final = {
    Outcome.FIXED: Performance(),
    Outcome.UNPROVED: Performance(),
    Outcome.INEFFECTIVE: Performance(mends=False),
    Outcome.FAILED: Performance(end=PlaybookEnd.FAILED),
    Outcome.LOST: Performance(end=PlaybookEnd.FAILED),
    Outcome.NOT_NEEDED: Performance(is_sick=False),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """One decision on one alert."""

    at: datetime
    #: The fingerprint under which it was sent.
    alert: str
    rule: str
    target: str
    decision: str
    guard: str
    reason: str

    @property
    def runs(self) -> bool:
        """Whether a run followed."""
        return self.decision == Choice.RUN


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """What an export holds."""

    deliveries: tuple[Delivery, ...]
    decisions: tuple[Decided, ...]
    playbooks: Mapping[Piece, Sequence[Performance]]
    answers: tuple[Answered, ...]
    pauses: tuple[Paused, ...]
    start: datetime
    end: datetime


def read_export(file: Path) -> Recorded:
    """What was recorded, in the order of the entries.

    Raises:
        ConfigError: a line is no audit entry, or there is none.
    """
    reading = _Reading()
    number = 0
    try:
        with file.open(encoding="utf-8") as lines:
            for line in lines:
                number += 1
                reading.take(json.loads(line))
    except (ValueError, TypeError, KeyError, AttributeError, ValidationError) as error:
        words = f"this is no audit entry: {str(error).splitlines()[0]}"
        raise ConfigError([Problem(file=file, line=number, column=1, words=words)]) from None
    except OSError as error:
        raise ConfigError([Problem(file=file, words=f"cannot be read: {error.strerror}")]) from None
    if not reading.times:
        raise ConfigError([Problem(file=file, words="there are no entries in it")])
    return reading.result()


def read_decision(at: datetime, rule: str | None, target: str | None, body: Mapping[str, Any]) -> Decided:
    """What the entry of a decision says."""
    alert, decision = body["alert"], body["decision"]
    return Decided(
        at=at,
        alert=alert["origin"] or alert["fingerprint"],
        rule=rule or "",
        target=target or "",
        decision=decision["decision"],
        guard=decision["guard"] or "",
        reason=decision["reason"],
    )


class _Reading:
    """What was read so far."""

    def __init__(self) -> None:
        self.times: list[datetime] = []
        self._alerts: dict[str, Alert] = {}
        self._sources: dict[str, str] = {}
        self._delivered: dict[tuple[datetime, str], list[Alert]] = {}
        self._decisions: list[Decided] = []
        self._playbooks: dict[Piece, list[Performance]] = defaultdict(list)
        self._answers: list[Answered] = []
        self._pauses: dict[str, Paused] = {}

    def take(self, entry: Mapping[str, Any]) -> None:
        at, event, body = _TIME.validate_python(entry["at"]), Event(entry["event"]), entry["body"]
        self.times.append(at)
        if event is Event.ALERT_RECEIVED:
            # Decided on a moment later, when the next one may have come already.
            self._receive(_TIME.validate_python(body["received_at"]), body)
        elif event is Event.DECISION:
            self._decide(at, entry)
        elif event is Event.INCIDENT_RESOLVED:
            self._resolve(at, _INCIDENT.validate_python(body["incident"]).alerts)
        elif event is Event.RUN_FINISHED:
            self._finish(_RUN.validate_python(body["run"]))
        else:
            self._say(at, event, entry)

    def result(self) -> Recorded:
        deliveries = [
            Delivery(at=at, source=source, alerts=tuple(alerts)) for (at, source), alerts in self._delivered.items()
        ]
        return Recorded(
            deliveries=tuple(sorted(deliveries, key=lambda delivery: delivery.at)),
            decisions=tuple(self._decisions),
            # Whatever comes after what is on the record ends well.
            playbooks={piece: [*played, Performance()] for piece, played in self._playbooks.items()},
            answers=tuple(self._answers),
            pauses=tuple(self._pauses.values()),
            start=min(self.times),
            end=max(self.times),
        )

    def _say(self, at: datetime, event: Event, entry: Mapping[str, Any]) -> None:
        body = entry["body"]
        if event is Event.APPROVAL and body.get("said") in ("approve", "reject"):
            approves = body["said"] == "approve"
            self._answers.append(Answered(at=at, by=entry["actor"], approves=approves, target=entry["target"]))
        elif event is Event.PAUSE:
            matchers = tuple(parse_matcher(matcher) for matcher in body["matchers"])
            lasts = _TIME.validate_python(body["until"]) - at
            self._pauses[body["pause"]] = Paused(at=at, lasts=lasts, matchers=matchers)
        elif event is Event.RESUME and body["pause"] in self._pauses:
            pause = self._pauses[body["pause"]]
            self._pauses[body["pause"]] = replace(pause, lasts=at - pause.at)

    def _receive(self, at: datetime, body: Mapping[str, Any]) -> None:
        for alert in _ALERTS.validate_python(body.get("unmatched", ())):
            self._deliver(at, str(body["external_url"]), alert)
        self._resolve(at, body.get("cleared", ()))

    def _decide(self, at: datetime, entry: Mapping[str, Any]) -> None:
        if entry["run"] is not None:
            # Just before it started; what counts was decided when it was queued.
            return
        self._decisions.append(read_decision(at, entry["rule"], entry["target"], entry["body"]))
        evidence, alert = entry["body"]["evidence"], _ALERT.validate_python(entry["body"]["alert"])
        if evidence["received_at"] is not None:
            # As it was sent: which labels are ignored is for the rules to say that are tried.
            sent = replace(alert, fingerprint=alert.origin or alert.fingerprint, origin="")
            self._deliver(_TIME.validate_python(evidence["received_at"]), str(evidence["source"]), sent)

    def _deliver(self, at: datetime, source: str, alert: Alert) -> None:
        self._alerts[alert.fingerprint] = alert
        self._sources[alert.fingerprint] = source
        self._delivered.setdefault((at, source), []).append(alert)

    def _resolve(self, at: datetime, fingerprints: Sequence[str]) -> None:
        for fingerprint in fingerprints:
            known = self._alerts.get(fingerprint)
            if known is not None and not known.is_resolved:
                resolved = replace(known, status=AlertStatus.RESOLVED, ends_at=at)
                self._deliver(at, self._sources[fingerprint], resolved)

    def _finish(self, run: Run) -> None:
        if run.outcome not in _PLAYED:
            return
        began, ended = run.acted_at or run.started_at, run.finished_at
        takes = ended - began if began and ended and run.acted_at else timedelta(0)
        self._playbooks[run.playbook, run.target].append(replace(_PLAYED[run.outcome], takes=takes))
