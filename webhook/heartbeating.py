"""Sends signs of life, as long as all that it takes to act is well: who misses them calls people."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

import structlog

from webhook.core.audit import timestamp
from webhook.core.escalation import OWN_LABEL, AlertmanagerStep, WebhookStep
from webhook.core.heartbeat import ALERTNAME, MISSED, Heartbeat
from webhook.errors import Unavailable
from webhook.httpconfig import url_of
from webhook.world import Alertmanagers, Pager

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Heartbeating:
    """One sign of life is `send`; one process at a time is enough."""

    heartbeat: Callable[[], Heartbeat | None]
    #: Why it is not well, in words; empty when it is.
    ailment: Callable[[], str]
    #: The last entry of the audit log: whoever keeps the signs has a witness of it.
    head: Callable[[], tuple[int, str]]
    alertmanagers: Callable[[], Alertmanagers | None]
    pager: Pager
    external_url: Callable[[], str]
    now: Callable[[], datetime]
    started_at: datetime

    def send(self) -> None:
        """To everyone who is to get one, or, when it is not well, to nobody.

        Raises:
            Unavailable: what it takes to act is away.
        """
        heartbeat = self.heartbeat()
        if heartbeat is None:
            return
        if words := self.ailment():
            log.error("no sign of life is sent", action="heartbeat", error=words)
            return
        seq, hash = self.head()
        failures = []
        if heartbeat.alertmanager is not None:
            failures.append(self._fire(heartbeat, heartbeat.alertmanager, seq=seq, hash=hash))
        if heartbeat.webhook is not None:
            failures.append(self._post(heartbeat.webhook, seq=seq, hash=hash))
        if words := "; ".join(filter(None, failures)):
            log.error("a sign of life did not arrive", action="heartbeat", error=words)
            raise Unavailable("who waits for signs of life", words)

    def _fire(self, heartbeat: Heartbeat, step: AlertmanagerStep, *, seq: int, hash: str) -> str:
        found = self.alertmanagers()
        if found is None:
            return "no Alertmanager is configured (alertmanagers)"
        alert: Mapping[str, object] = {
            "labels": {"alertname": ALERTNAME, OWN_LABEL: "heartbeat", **step.labels},
            "annotations": {
                "summary": "alertmend is well; when this resolves, it is not",
                "head": f"{seq} {hash}",
            },
            "startsAt": timestamp(self.started_at),
            "endsAt": timestamp(self.now() + MISSED * heartbeat.interval),
            "generatorURL": self.external_url(),
        }
        posted = found.post([alert])
        return "" if posted.taken_by else "; ".join(f"{url}: {words}" for url, words in posted.failures.items())

    def _post(self, step: WebhookStep, *, seq: int, hash: str) -> str:
        body = {"status": "ok", "at": timestamp(self.now()), "link": self.external_url(), "seq": seq, "hash": hash}
        try:
            paged = self.pager.post(url_of(step), body)
        except (OSError, UnicodeDecodeError) as error:
            return f"the file with the URL cannot be read: {error}"
        return "" if paged.was_taken else paged.words
