"""Alerts and notifications as Alertmanager describes them. Their parsing is edge.payload's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class AlertStatus(StrEnum):
    """Whether the condition holds."""

    FIRING = "firing"
    RESOLVED = "resolved"


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """One condition on one label set."""

    status: AlertStatus
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    #: The earliest start that the sender saw: two senders may differ, and it may lie in the future.
    starts_at: datetime
    #: None while it fires.
    ends_at: datetime | None
    #: Alertmanager's hash of the labels; the same for every firing of this alert.
    fingerprint: str
    #: The sender's own fingerprint, where labels are ignored so that several alerts share one.
    origin: str = ""

    @property
    def name(self) -> str:
        """The `alertname` label, or an empty string."""
        return self.labels.get("alertname", "")

    @property
    def is_resolved(self) -> bool:
        """The alert's own status, never the envelope's."""
        return self.status is AlertStatus.RESOLVED


@dataclass(frozen=True, slots=True, kw_only=True)
class Notification:
    """One delivery from Alertmanager: a group of alerts, firing and resolved mixed."""

    id: str
    received_at: datetime
    receiver: str
    group_key: str
    #: Names the Alertmanager that sent it; the only field in which the copies of a cluster's peers differ.
    external_url: str
    #: Alerts that `max_alerts` cut from the end of the group.
    truncated_alerts: int
    alerts: tuple[Alert, ...]
