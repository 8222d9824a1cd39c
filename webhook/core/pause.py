"""Pauses: the kill switch, for some alerts or for all, never without an end and a reason."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from webhook.core.audit import AuditEvent, Event
from webhook.core.matcher import Matcher, all_match, parse_matcher
from webhook.core.run import Word


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """Nothing new runs for what it matches, until it ends."""

    id: str
    #: All must match; none at all is everything.
    matchers: tuple[Matcher, ...]
    until: datetime
    said: Word

    def covers(self, labels: Mapping[str, str], *, rule: str, target: str, now: datetime) -> bool:
        """Whether it holds for an alert at `now`.

        A matcher may also name `rule` and `target`, unless the alert has a label that is called so.
        """
        return now < self.until and all_match(self.matchers, {"rule": rule, "target": target, **labels})

    def __str__(self) -> str:
        return ", ".join(str(matcher) for matcher in self.matchers) or "everything"


def covering(
    pauses: Iterable[Pause], labels: Mapping[str, str], *, rule: str, target: str, now: datetime
) -> Pause | None:
    """The pause that holds longest for an alert; None when none does."""
    found = [pause for pause in pauses if pause.covers(labels, rule=rule, target=target, now=now)]
    return max(found, key=lambda pause: pause.until, default=None)


def pauses_of(events: Iterable[AuditEvent]) -> tuple[Pause, ...]:
    """The pauses that nobody has ended, from what the audit log says of them, in its order.

    Those whose time is over are among them.
    """
    found: dict[str, Pause] = {}
    for event in events:
        body: Mapping[str, Any] = event.body
        if event.event is Event.PAUSE:
            found[body["pause"]] = _pause_of(event, body)
        elif event.event is Event.RESUME:
            found.pop(body["pause"], None)
    return tuple(found.values())


def _pause_of(event: AuditEvent, body: Mapping[str, Any]) -> Pause:
    return Pause(
        id=body["pause"],
        matchers=tuple(parse_matcher(matcher) for matcher in body["matchers"]),
        until=datetime.fromisoformat(body["until"]),
        said=Word(by=event.actor, at=event.at, comment=body["comment"]),
    )
