"""When a sign of life is due, and what keeps it back."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any

from webhook.errors import Unavailable
from webhook.heartbeating import Heartbeating
from webhook.signs import HEARTBEAT_FAULT, ROLES, Pulse
from webhook.wiring.pulse import LEASE


def ailment_of(pulses: Sequence[Pulse]) -> str:
    """Why alertmend could not act now, in words; empty when it could."""
    missed = [f"no {role} worker was seen lately" for role in ROLES if role not in {pulse.role for pulse in pulses}]
    return "; ".join([*missed, *(f"{pulse.role}: {pulse.record}" for pulse in pulses if pulse.record)])


def is_starting(watch: Any, *, since: datetime, now: datetime) -> bool:
    """Whether alertmend could not act yet, and those who are missed may have yet to say that they live.

    Raises:
        Unavailable: Redis is away.
    """
    return now < since + LEASE and ailment_of(watch.pulses()) != ""


def send(heartbeating: Heartbeating, watch: Any) -> None:
    """One sign of life; one that did not arrive is counted.

    Raises:
        Unavailable: what it takes to act is away, or who waits for it.
    """
    try:
        heartbeating.send()
    except Unavailable:
        with suppress(Unavailable):
            watch.count_fault(HEARTBEAT_FAULT)
        raise
