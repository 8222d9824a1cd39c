"""Looks at the clock: is it kept, and does it agree with those of the machines that share the work."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from webhook.edge.configfile import Config
from webhook.edge.ledger import open_engine
from webhook.edge.ledger.database import time_of
from webhook.edge.store.trust import time_at
from webhook.errors import Unavailable
from webhook.process import is_clock_kept
from webhook.wiring.clock import now
from webhook.wiring.connection import connect, database_url
from webhook.wiring.examination.finding import Finding, ok, warning

#: Leases and cooldowns are told in seconds; a second or two is a slow answer.
_TOLERANCE: Final = timedelta(seconds=5)
_HINT: Final = "have chrony or systemd-timesyncd keep the clocks of both machines"


def look_at_clock(config: Config, storage: Path) -> Iterator[Finding]:
    """Whether somebody keeps it, and how far it is from those of Redis and PostgreSQL."""
    apart = {name: there - now() for name, there in _elsewhere(config, storage)}
    for name, difference in apart.items():
        if abs(difference) > _TOLERANCE:
            yield warning("clock", f"that of {name} differs from ours by {difference.total_seconds():.0f} s", _HINT)
    if not is_clock_kept():
        yield warning("clock", "nothing keeps this machine's clock: the kernel calls it unsynchronised", _HINT)
    elif all(abs(difference) <= _TOLERANCE for difference in apart.values()):
        yield ok("clock", " and ".join(["it is kept", *(f"agrees with that of {name}" for name in apart)]))


def _elsewhere(config: Config, storage: Path) -> Iterator[tuple[str, datetime]]:
    # Who does not answer was found out before.
    if config.redis_url is not None:
        there = time_at(connect(config.redis_url, patience_seconds=2, retries=0))
        yield from [("Redis", there)] if there else []
    if config.database_url is not None:
        engine = open_engine(database_url(config, storage))
        try:
            yield "the database", time_of(engine)
        except Unavailable:
            return
        finally:
            engine.dispose()
