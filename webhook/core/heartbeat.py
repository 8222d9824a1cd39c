"""A sign of life that is sent to others, so that they notice when it stays away."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from webhook.core.escalation import AlertmanagerStep, WebhookStep

#: The alert that fires as long as all is well.
ALERTNAME = "AlertmendAlive"
#: It ends by itself when so many signs of life in a row stay away.
MISSED = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Heartbeat:
    """How often, and to whom."""

    interval: timedelta = timedelta(minutes=1)
    alertmanager: AlertmanagerStep | None = None
    webhook: WebhookStep | None = None
