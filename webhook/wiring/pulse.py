"""A worker says that it lives, and how it is."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import count
from typing import Any

import structlog

from webhook.errors import Unavailable
from webhook.signs import Pulse
from webhook.wiring.clock import now
from webhook.wiring.kept import Reload

log = structlog.get_logger()

#: It is said so often, and who has not said it for so long is missed.
PULSE_SECONDS = 3.0
LEASE = timedelta(seconds=15)
#: So many beats in a row that find doorbells which a worker without work does not hear make it deaf: it takes 4 ms.
DEAF_BEATS = 4
#: A decision takes seconds, and to remember all that a Redis has forgotten minutes.
LONGEST_DECISION = timedelta(minutes=10)


@dataclass(slots=True, kw_only=True)
class Heart:
    """One worker's."""

    role: str
    owner: str
    watch: Any
    ledger: Any
    revision: Callable[[], str]
    #: What came of the last look at the files.
    reload: Callable[[], Reload | None]
    #: How many doorbells wait to be heard by workers of this role.
    rung: Callable[[], int]
    #: Ends this worker, so that another takes its place.
    end: Callable[[], None]
    started_at: datetime = field(default_factory=now)
    _busy: dict[int, datetime] = field(default_factory=dict)
    _numbers: Iterator[int] = field(default_factory=count)
    #: What was wrong with the record when it was last looked at.
    _record: str = ""
    #: How many doorbells were heard, and in how many beats since then others waited in vain.
    _heard: int = 0
    _heard_before: int = 0
    _in_vain: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """For as long as this lasts the worker is busy."""
        number = next(self._numbers)
        with self._lock:
            self._busy[number] = now()
            self._heard += 1
        try:
            yield
        finally:
            with self._lock:
                del self._busy[number]

    def start(self) -> None:
        """The worker is there; all else is looked at with its first beat.

        Raises:
            Unavailable: Redis is away.
        """
        self.watch.pulse(self._pulse(), lease=LEASE)

    def beat(self) -> None:
        """Say it.

        Raises:
            Unavailable: Redis is away.
        """
        # First, because a database that is away takes its time to say so.
        self.watch.pulse(self._pulse(), lease=LEASE)
        self._record = self._look_at_record()
        self._listen()

    def stop(self) -> None:
        """The worker ends as it should.

        Raises:
            Unavailable: Redis is away.
        """
        self.watch.leave(self._pulse())

    def hangs(self) -> bool:
        """Whether it decides for so long that nothing will come of it; a run may well take as long."""
        since = self._busy_since()
        return self.role == "intake" and since is not None and now() - since > LONGEST_DECISION

    def _busy_since(self) -> datetime | None:
        with self._lock:
            return min(self._busy.values(), default=None)

    def _listen(self) -> None:
        # When Redis goes away just as a message is acknowledged, Celery goes on without an error, takes the message for
        # one that is still worked on, and with it all that may be prefetched: no other is ever taken.
        with self._lock:
            is_idle = not self._busy and self._heard == self._heard_before
            self._heard_before = self._heard
        self._in_vain = self._in_vain + 1 if is_idle and self.rung() else 0
        if self._in_vain >= DEAF_BEATS:
            log.error("it hears no doorbells any more, and makes room for another", action="pulse")
            self.end()

    def _pulse(self) -> Pulse:
        reload = self.reload()
        return Pulse(
            role=self.role,
            owner=self.owner,
            at=now(),
            started_at=self.started_at,
            revision=self.revision(),
            busy_since=self._busy_since(),
            record=self._record,
            files=reload.problems[0] if reload and reload.problems else "",
        )

    def _look_at_record(self) -> str:
        try:
            self.ledger.ready()
        except Unavailable as error:
            return str(error)
        return ""
