"""Storms: so many hosts of a group sick at once that it is an outage, which no playbook for one host mends."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import NamedTuple

#: A storm is over when the sick hosts have been few enough for this long.
QUIET = timedelta(minutes=5)


class Crowd(NamedTuple):
    """The hosts of an inventory group, as one rule sees them: what a storm is about."""

    rule: str
    group: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StormState:
    """How many hosts of a group are sick, and whether that is a storm."""

    #: Hosts with an open incident.
    sick: int = 0
    #: More than this many are a storm.
    limit: int = 0
    since: datetime | None = None
    #: Since when there are few enough again.
    calm_since: datetime | None = None

    @property
    def ends_at(self) -> datetime | None:
        """When it is over, if it stays calm."""
        return self.calm_since + QUIET if self.since and self.calm_since else None

    def seen(self, more: int, *, limit: int, now: datetime) -> StormState:
        """`more` hosts fell sick (or, when it is negative, recovered)."""
        state = replace(self, sick=max(0, self.sick + more), limit=limit)
        if state.sick > limit:
            return replace(state, since=state.since or now, calm_since=None)
        if state.since is not None and state.calm_since is None:
            return replace(state, calm_since=now)
        return state

    def is_over(self, now: datetime) -> bool:
        """It has been calm for long enough."""
        return self.ends_at is not None and now >= self.ends_at

    def ended(self) -> StormState:
        """No storm any more."""
        return replace(self, since=None, calm_since=None)
