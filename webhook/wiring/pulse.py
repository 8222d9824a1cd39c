"""A worker says that it lives, and how it is."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import count
from typing import Any

from webhook.errors import Unavailable
from webhook.ports import Pulse
from webhook.wiring.clock import now

#: It is said so often, and who has not said it for so long is missed.
PULSE_SECONDS = 3.0
LEASE = timedelta(seconds=15)


@dataclass(slots=True, kw_only=True)
class Heart:
    """One worker's."""

    role: str
    owner: str
    watch: Any
    ledger: Any
    revision: Callable[[], str]
    started_at: datetime = field(default_factory=now)
    _busy: dict[int, datetime] = field(default_factory=dict)
    _numbers: Iterator[int] = field(default_factory=count)
    #: What was wrong with the record when it was last looked at.
    _record: str = ""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """For as long as this lasts the worker is busy."""
        number = next(self._numbers)
        with self._lock:
            self._busy[number] = now()
        try:
            yield
        finally:
            with self._lock:
                del self._busy[number]

    def beat(self) -> None:
        """Say it.

        Raises:
            Unavailable: Redis is away.
        """
        # First, because a database that is away takes its time to say so.
        self.watch.pulse(self._pulse(), lease=LEASE)
        self._record = self._look_at_record()

    def stop(self) -> None:
        """The worker ends as it should.

        Raises:
            Unavailable: Redis is away.
        """
        self.watch.leave(self._pulse())

    def _pulse(self) -> Pulse:
        with self._lock:
            busy_since = min(self._busy.values(), default=None)
        return Pulse(
            role=self.role,
            owner=self.owner,
            at=now(),
            started_at=self.started_at,
            revision=self.revision(),
            busy_since=busy_since,
            record=self._record,
        )

    def _look_at_record(self) -> str:
        try:
            self.ledger.ready()
        except Unavailable as error:
            return str(error)
        return ""
