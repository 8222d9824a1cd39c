"""A rule's circuit breaker: after too many failures nothing runs for a while, and then one trial."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from webhook.core.rule import Breaker


class Position(StrEnum):
    """What a breaker lets through."""

    #: Everything.
    CLOSED = "closed"
    #: Nothing.
    OPEN = "open"
    #: One trial, whose outcome closes or opens it.
    HALF_OPEN = "half_open"


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerState:
    """What a rule's breaker remembers."""

    #: Within the window, oldest first.
    failures: tuple[datetime, ...] = ()
    opened_at: datetime | None = None
    #: The run that is the trial.
    trial: str | None = None

    def position(self, breaker: Breaker, now: datetime) -> Position:
        """What it lets through at `now`."""
        if self.opened_at is None:
            return Position.CLOSED
        return Position.OPEN if now < self.opened_at + breaker.open_for else Position.HALF_OPEN

    def count(self, breaker: Breaker, now: datetime) -> int:
        """The failures that count at `now`."""
        return sum(at > now - breaker.window for at in self.failures)

    def after_failure(self, breaker: Breaker, *, run: str | None, now: datetime) -> BreakerState:
        """A run failed, or what it had fixed came back: perhaps that opens it; a trial that failed always does."""
        failures = (*(at for at in self.failures if at > now - breaker.window), now)[-breaker.failures :]
        if run is not None and run == self.trial:
            return BreakerState(failures=failures, opened_at=now)
        if self.opened_at is None and len(failures) >= breaker.failures:
            return BreakerState(failures=failures, opened_at=now)
        return replace(self, failures=failures)

    def after_success(self, *, run: str) -> BreakerState:
        """A run helped: a trial closes it and all is forgotten; any other changes nothing."""
        return BreakerState() if run == self.trial else self

    def with_trial(self, breaker: Breaker, *, run: str, now: datetime) -> BreakerState:
        """A run was claimed: when it is half open, that is the trial."""
        return replace(self, trial=run) if self.position(breaker, now) is Position.HALF_OPEN else self

    def without(self, run: str) -> BreakerState:
        """The run ended without saying anything about the rule: the next may be the trial."""
        return replace(self, trial=None) if run == self.trial else self
