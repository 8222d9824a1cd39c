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


def fingerprint_of(labels: Mapping[str, str]) -> str:
    """Alertmanager's hash of labels: FNV-1a, 64 bits, of their names and values in order."""
    hash = 0xCBF29CE484222325
    for name in sorted(labels):
        pair = (text.encode("utf-8", "surrogatepass") for text in (name, labels[name]))
        for byte in b"%b\xff%b\xff" % (*pair,):
            hash = (hash ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return f"{hash:016x}"


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
