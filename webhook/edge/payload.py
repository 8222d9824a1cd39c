"""Bytes from Alertmanager to a `Notification`, or words that tell the operator what to change."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError

from webhook.core.alert import Alert, AlertStatus, Notification
from webhook.errors import PayloadError, PayloadTooLarge
from webhook.text import clean

#: A time that can be told in UTC.
_Time = Annotated[datetime, Field(ge=datetime.min.replace(tzinfo=UTC), le=datetime.max.replace(tzinfo=UTC))]


@dataclass(frozen=True, slots=True, kw_only=True)
class _WireAlert:
    status: AlertStatus
    labels: dict[str, str]
    startsAt: _Time
    fingerprint: str
    annotations: dict[str, str] = field(default_factory=dict)
    endsAt: _Time | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wire:
    version: str
    alerts: list[_WireAlert]
    receiver: str = ""
    groupKey: str = ""
    externalURL: str = ""
    truncatedAlerts: int = 0


_WIRE = TypeAdapter(_Wire)

#: A number may have thousands of digits; nobody sends more alerts than this.
_MOST_ALERTS = 1_000_000_000
#: As much of an explanation as is worth a line in Alertmanager's log.
_MOST_WORDS = 300

_CUSTOM = (
    "this is not the body that Alertmanager sends by default. If the receiver's webhook_config sets 'payload:',"
    " remove that setting: alertmend reads version 4 of the webhook's own format"
)


def check_size(length: int, *, limit: int) -> None:
    """Returns when a body of `length` bytes may be read.

    Raises:
        PayloadTooLarge: it is longer than `limit`.
    """
    if length > limit:
        raise PayloadTooLarge(
            f"the body is larger than {limit} bytes: raise receive.max_body_bytes in alertmend.yml,"
            " or set max_alerts in Alertmanager's webhook_config"
        )


def count_alerts(body: bytes | str) -> int:
    """How many alerts there are in a body that `parse` will read.

    Raises:
        PayloadError: as `parse`.
    """
    return len(_read(body).alerts)


def parse(body: bytes | str, *, id: str, received_at: datetime) -> Notification:
    """The notification in a body of version 4; unknown fields are ignored, strings come out clean and bounded.

    Raises:
        PayloadError: no retry can mend this body; the words go to Alertmanager's log.
    """
    wire = _read(body)
    return Notification(
        id=id,
        received_at=received_at,
        receiver=clean(wire.receiver),
        group_key=clean(wire.groupKey),
        external_url=clean(wire.externalURL),
        truncated_alerts=min(max(0, wire.truncatedAlerts), _MOST_ALERTS),
        alerts=tuple(_alert(alert) for alert in wire.alerts),
    )


def write(notification: Notification) -> str:
    """The notification as a body of version 4, which `parse` reads."""
    wire = _Wire(
        version="4",
        alerts=[_written(alert) for alert in notification.alerts],
        receiver=notification.receiver,
        groupKey=notification.group_key,
        externalURL=notification.external_url,
        truncatedAlerts=notification.truncated_alerts,
    )
    return _WIRE.dump_json(wire).decode()


def _read(body: bytes | str) -> _Wire:
    try:
        wire = _WIRE.validate_json(body)
    except ValidationError as error:
        raise PayloadError(_explain(body, error)) from None
    if wire.version != "4":
        raise PayloadError(f"version {wire.version[:20]!a} of the webhook's format is not known; alertmend reads '4'")
    return wire


def _alert(wire: _WireAlert) -> Alert:
    return Alert(
        status=wire.status,
        labels=_cleaned(wire.labels),
        annotations=_cleaned(wire.annotations),
        starts_at=_aware(wire.startsAt),
        # Go's zero time stands for "has not ended".
        ends_at=None if wire.endsAt is None or wire.endsAt.year <= 1 else _aware(wire.endsAt),
        fingerprint=clean(wire.fingerprint)[:64],
    )


def _written(alert: Alert) -> _WireAlert:
    return _WireAlert(
        status=alert.status,
        labels=dict(alert.labels),
        annotations=dict(alert.annotations),
        startsAt=alert.starts_at,
        endsAt=alert.ends_at,
        fingerprint=alert.fingerprint,
    )


def _cleaned(texts: Mapping[str, str]) -> dict[str, str]:
    return {clean(name): clean(text) for name, text in texts.items()}


def _aware(at: datetime) -> datetime:
    return at.astimezone(UTC) if at.tzinfo is not None else at.replace(tzinfo=UTC)


def _explain(body: bytes | str, error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    if first["type"] == "json_invalid":
        return f"the body is not JSON ({first['msg']}). {_CUSTOM[0].upper()}{_CUSTOM[1:]}"
    if not _is_envelope(body):
        return _CUSTOM
    place = ".".join(str(part) for part in first["loc"])
    # The place holds names of labels, which are a stranger's.
    words = clean(f"{place[:_MOST_WORDS]}: {first['msg'][0].lower()}{first['msg'][1:]}")[: 2 * _MOST_WORDS]
    return f"{words}. The body names version 4 but does not follow it"


def _is_envelope(body: bytes | str) -> bool:
    document: Any = json.loads(body)
    return isinstance(document, dict) and "version" in document and "alerts" in document
