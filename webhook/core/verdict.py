"""What one guard says of an alert, and what is decided from all that they say."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Verdict(StrEnum):
    """What one guard says."""

    PASS = "pass"
    HOLD = "hold"
    REFUSE = "refuse"


class Choice(StrEnum):
    """What is decided for one alert."""

    RUN = "run"
    HOLD = "hold"
    REFUSE = "refuse"


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One guard's answer."""

    guard: str
    verdict: Verdict
    #: One sentence with the numbers that it rests on.
    reason: str
    #: When a hold is worth asking again; None for one that waits for another run to end.
    retry_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """Run, hold or refuse, with every guard's answer."""

    decision: Choice
    #: The guard that decided; None for a run.
    guard: str | None
    reason: str
    retry_at: datetime | None
    checks: tuple[Check, ...]
