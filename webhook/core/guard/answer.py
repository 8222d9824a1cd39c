"""How a guard answers: with a verdict, and one sentence in which the numbers stand."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import lru_cache

from webhook.core.alert import Alert
from webhook.core.duration import format_duration
from webhook.core.evidence import Evidence, Policy
from webhook.core.rule import Rule
from webhook.core.verdict import Check, Verdict

Guard = Callable[[Rule, Policy, Alert, Evidence], Check]

#: What was found not to need a run, or not to be possible, is looked at again after this long.
RECHECK = timedelta(minutes=1)


@lru_cache(maxsize=4096)
def passes(guard: str, reason: str) -> Check:
    """Nothing against it. Most guards pass most alerts in the same words."""
    return Check(guard=guard, verdict=Verdict.PASS, reason=reason)


def holds(guard: str, reason: str, *, retry_at: datetime | None = None) -> Check:
    """Not now."""
    return Check(guard=guard, verdict=Verdict.HOLD, reason=reason, retry_at=retry_at)


def refuses(guard: str, reason: str) -> Check:
    """Not for this alert as it is."""
    return Check(guard=guard, verdict=Verdict.REFUSE, reason=reason)


def ago(span: timedelta) -> str:
    """A time that has passed, in whole seconds."""
    return format_duration(timedelta(seconds=max(0, span // timedelta(seconds=1))))


def ahead(span: timedelta) -> str:
    """A time to wait. Rounded up: "free in 0s" would be a lie."""
    return format_duration(timedelta(seconds=max(1, -(-span // timedelta(seconds=1)))))
