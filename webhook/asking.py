"""Asks Alertmanager whether alerts still fire. What follows from the answer is the guards' affair."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from webhook.core.alert import Alert
from webhook.core.evidence import Firing, Report
from webhook.core.matcher import Matcher, MatchType
from webhook.world import Alertmanagers, Answer, KnownAlert, KnownState

#: At most this many alerts are asked about one by one; for more, everything is asked for at once.
FEW = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """Knows whom to ask, if there is anyone."""

    #: None: none is configured.
    alertmanagers: Callable[[], Alertmanagers | None]
    now: Callable[[], datetime]

    def reports(self, alerts: Sequence[Alert]) -> Mapping[str, Report]:
        """What Alertmanager says of each of these alerts now, by fingerprint; nothing when there is none to ask."""
        found = self.alertmanagers()
        if found is None or not alerts:
            return {}
        answer = found.alerts(matchers=_matchers(alerts))
        at = self.now()
        return {alert.fingerprint: _report(_same(alert, answer), answer, at) for alert in alerts}


def _same(alert: Alert, answer: Answer) -> KnownAlert | None:
    # The fingerprint is the sender's word: one who made it up for labels of their own is not believed.
    known = answer.alerts.get(alert.origin or alert.fingerprint)
    return known if known is not None and dict(known.alert.labels) == dict(alert.labels) else None


def _matchers(alerts: Sequence[Alert]) -> tuple[str, ...]:
    names = {alert.name for alert in alerts}
    if len(names) != 1 or len(alerts) > FEW:
        return ()
    (name,) = names
    return (str(Matcher("alertname", MatchType.EQUAL, name)),) if name else ()


def _report(known: KnownAlert | None, answer: Answer, at: datetime) -> Report:
    if known is None:
        # One that does not answer may know it, as may each of two that are cut off from each other.
        if answer.silent:
            return Report(firing=Firing.UNKNOWN, at=at, words="; ".join(answer.silent.values()))
        return Report(firing=Firing.GONE, at=at)
    if known.state is KnownState.SUPPRESSED:
        return Report(firing=Firing.SUPPRESSED, at=at, words=", ".join(known.suppressed_by))
    return Report(firing=Firing.FIRING, at=at)
