"""What the record needs from time to time: checkpoints, statistics, and the removal of what is old enough."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from webhook.ports import Archive
from webhook.signing import Sign

log = structlog.get_logger()

DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """How the record is kept."""

    #: None: for ever.
    retention: timedelta | None
    checkpoint_interval: timedelta
    #: None: checkpoints are not signed.
    sign: Sign | None


@dataclass(slots=True, kw_only=True)
class Care:
    """One round of it is `take`; one process at a time is enough."""

    archive: Archive
    terms: Callable[[], Terms]
    now: Callable[[], datetime]
    #: When the last checkpoint was made, and when statistics were, and what is old removed.
    checkpoint_at: datetime | None = None
    tidied_at: datetime | None = None

    def take(self) -> None:
        """One round, about every minute.

        Raises:
            Unavailable: the database is away; it is for the next round.
        """
        now, terms = self.now(), self.terms()
        if self.checkpoint_at is None or now - self.checkpoint_at >= terms.checkpoint_interval:
            self.archive.add_checkpoint(now, terms.sign)
            self.checkpoint_at = now
        if self.tidied_at is None or now - self.tidied_at >= DAY:
            self._tidy(now, terms)
            self.tidied_at = now

    def _tidy(self, now: datetime, terms: Terms) -> None:
        if terms.retention is not None:
            pruned = self.archive.prune(now - terms.retention, now=now, actor="alertmend")
            log.info("pruned", action="prune", entries=pruned.entries, before=pruned.before, kept_for=pruned.kept_for)
        self.archive.analyze()
