"""Signs of life: what workers say of themselves, what waits for them, and what went wrong."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Pulse:
    """What a worker says of itself, every few seconds."""

    role: str
    #: Host and process.
    owner: str
    at: datetime
    started_at: datetime
    #: What it decides by.
    revision: str
    #: Since when it is at the oldest of what it does now; None: it waits for work.
    busy_since: datetime | None = None
    #: Why the record would not take an entry from it; empty when it would.
    record: str = ""
    #: The first thing for which the files of its machine cannot be used; empty when they are.
    files: str = ""


#: The kinds of workers.
ROLES = ("intake", "runs")
#: Faults: the record did not take what a worker had for it; a sign of life did not arrive.
LEDGER_FAULT, HEARTBEAT_FAULT = "ledger", "heartbeat"


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What waits in the store, and what went wrong."""

    #: Notifications that nobody has dealt with, and when the oldest of them came.
    waiting: int
    oldest_at: datetime | None
    #: Batches that the ledger has yet to take.
    unsealed: int
    #: How often, by what.
    faults: Mapping[str, int] = field(default_factory=dict)
    #: Escalations that reach nobody, by rule.
    unheard: Mapping[str, int] = field(default_factory=dict)
