"""Time that passes only when everyone waits: strands take turns, one at a time, always in the same order."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from heapq import heappop, heappush
from itertools import count
from typing import Final

#: A strand goes on for a long while only by mistake.
_PATIENCE_SECONDS: Final = 60


class _Ended(BaseException):
    """Nobody waits for this strand any more. Not an error, so that nobody who handles errors holds it up."""


class Timeline:
    """A clock, and what is to happen when. All of it happens in the thread that calls `go_to`, or while it waits."""

    def __init__(self, now: datetime) -> None:
        self.now = now
        self._agenda: list[tuple[datetime, int, Callable[[], None]]] = []
        self._numbers = count()
        self._strands: set[_Strand] = set()
        self._current: _Strand | None = None

    def __call__(self) -> datetime:
        """The time."""
        return self.now

    def at(self, when: datetime, action: Callable[[], None]) -> None:
        """Call `action`, which may not wait, at a time, or now if that is past."""
        heappush(self._agenda, (max(when, self.now), next(self._numbers), action))

    def start(self, work: Callable[[], object], *, name: str) -> None:
        """Begin, now, a piece of work that may wait."""
        strand = _Strand(work, name=name, ended=self._strands.discard)
        self._strands.add(strand)
        self.at(self.now, lambda: self._go_on(strand))

    def wait(self, span: timedelta) -> None:
        """Returns when `span` has passed. To be called by work that was started here."""
        strand = self._current
        assert strand is not None, "only what was started here can wait"
        self.at(self.now + span, lambda: self._go_on(strand))
        self._current = None
        strand.pause()

    @property
    def name(self) -> str:
        """Of the work that is being done."""
        assert self._current is not None, "nothing is being done"
        return self._current.name

    @property
    def next_at(self) -> datetime | None:
        """When something is to happen next."""
        return self._agenda[0][0] if self._agenda else None

    def go_to(self, when: datetime) -> None:
        """The clock shows `when`, and all that is to happen until then has happened."""
        while self._agenda and self._agenda[0][0] <= when:
            self.now, _, action = heappop(self._agenda)
            action()
        self.now = max(when, self.now)

    def close(self) -> None:
        """End what still waits, where it waits."""
        for strand in list(self._strands):
            strand.end()

    def _go_on(self, strand: _Strand) -> None:
        self._current = strand
        strand.go_on()
        self._current = None


class _Strand:
    """Work in a thread of its own, which runs only while the timeline stands still for it."""

    def __init__(self, work: Callable[[], object], *, name: str, ended: Callable[[_Strand], None]) -> None:
        self.name = name
        self._work = work
        self._ended = ended
        self._turn, self._back = threading.Semaphore(0), threading.Semaphore(0)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._is_unwanted = False
        self._error: BaseException | None = None

    def go_on(self) -> None:
        """Let it run until it waits, or is done.

        Raises:
            Exception: what the work raised.
        """
        if self._thread.ident is None:
            self._thread.start()
        else:
            self._turn.release()
        if not self._back.acquire(timeout=_PATIENCE_SECONDS):
            raise TimeoutError("a rehearsed run neither waits nor ends")
        if self._error is not None:
            raise self._error

    def pause(self) -> None:
        """Wait for the next turn."""
        self._back.release()
        self._turn.acquire()
        if self._is_unwanted:
            raise _Ended

    def end(self) -> None:
        """End it where it waits."""
        self._is_unwanted = True
        if self._thread.ident is not None:
            self._turn.release()
            self._thread.join(_PATIENCE_SECONDS)
        self._ended(self)

    def _run(self) -> None:
        try:
            self._work()
        except _Ended:
            return
        except BaseException as error:
            self._error = error
        self._ended(self)
        self._back.release()
