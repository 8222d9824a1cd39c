"""The names of all keys in Redis, and how times are written there."""

from __future__ import annotations

from datetime import datetime

from webhook.core.run import Pair
from webhook.core.storm import Crowd

PREFIX = "alertmend:"
REVISION = f"{PREFIX}revision"
EVERYTHING = f"{PREFIX}everything"
PAUSES = f"{PREFIX}pauses"
#: Set: pairs with an open incident.
OPEN = f"{PREFIX}open"
#: Set: the names by which Alertmanagers call us.
RECEIVERS = f"{PREFIX}receivers"
#: Is there as long as the state is.
EPOCH = f"{PREFIX}epoch"
#: Hash: notification id -> envelope.
INBOX = f"{PREFIX}inbox"
#: Sorted set: notification id by the millisecond it came in.
ARRIVALS = f"{PREFIX}arrivals"
#: Hash: batch id -> batch that the ledger has yet to confirm.
OUTBOX = f"{PREFIX}outbox"
#: Sorted set: what to look at again, by millisecond.
DUE = f"{PREFIX}due"
#: Hash: escalation that reaches nobody -> its rule.
UNHEARD = f"{PREFIX}unheard"

#: Set: `role|owner` of every worker that was ever seen, until it is missed.
WORKERS = f"{PREFIX}workers"
#: Hash: what went wrong -> how often.
FAULTS = f"{PREFIX}faults"
#: Written to learn whether that can be done.
WRITABLE = f"{PREFIX}writable"


def alert_key(fingerprint: str) -> str:
    """Holds an `AlertState`."""
    return f"{PREFIX}alert:{fingerprint}"


def pair_key(pair: Pair) -> str:
    """Holds a `PairState`."""
    return f"{PREFIX}pair:{pair.rule}|{pair.target}"


def target_key(target: str) -> str:
    """Holds a `TargetState`."""
    return f"{PREFIX}target:{target}"


def rule_key(rule: str) -> str:
    """Holds a rule's `Activity`."""
    return f"{PREFIX}rule:{rule}"


def run_key(run: str) -> str:
    """Holds a `Run`."""
    return f"{PREFIX}run:{run}"


def lease_key(run: str) -> str:
    """Exists while the run's worker lives."""
    return f"{PREFIX}lease:{run}"


def pulse_key(worker: str) -> str:
    """Holds a `Pulse`, as long as the worker lives."""
    return f"{PREFIX}pulse:{worker}"


def live_key(run: str) -> str:
    """Stream: the events of a run."""
    return f"{PREFIX}live:{run}"


def line_key(line: str) -> str:
    """Sorted set: pairs that wait in a line, by the time their incident opened."""
    return f"{PREFIX}line:{line}"


def breaker_key(rule: str) -> str:
    """Holds a rule's `BreakerState`."""
    return f"{PREFIX}breaker:{rule}"


def lock_key(key: str) -> str:
    """Holds the id of the run that has a lock besides its target's."""
    return f"{PREFIX}lock:{key}"


def crowd_key(crowd: Crowd) -> str:
    """Holds a `StormState`."""
    return f"{PREFIX}crowd:{crowd.rule}|{crowd.group}"


def escalation_key(escalation: str) -> str:
    """Holds an `Escalation`."""
    return f"{PREFIX}escalation:{escalation}"


def milliseconds(at: datetime) -> int:
    """A time as it is written in sorted sets."""
    return int(at.timestamp() * 1000)
