"""Checks of health: what one is made of, which there are, and all of them asked side by side.

A check is a peer of the built-in ones when a package names it as an entry point of the group `alertmend.checks`; its
name is the one it is shown under. docs/health.md shows one whole.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points
from typing import Final

from webhook.errors import WebhookError
from webhook.text import clean

GROUP: Final = "alertmend.checks"
#: So long lies between two questions to one checker: however often it is asked, what is checked is not worn out.
SPACING_SECONDS: Final = 0.1
_MOST_WORDS = 500


class Unwell(WebhookError):
    """What is checked is not well."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checker:
    """How one thing is checked."""

    #: A few words when it is well. Whatever it raises says that it is not, and the exception's words say why.
    ask: Callable[[], str]
    timeout_seconds: float = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """What came of one check."""

    name: str
    ok: bool
    words: str
    latency_seconds: float


@dataclass(slots=True)
class _Flight:
    """One question under way, or answered."""

    began: float
    #: What came of the question before this one.
    before: Checked | None = None
    over: threading.Event = field(default_factory=threading.Event)
    checked: Checked | None = None


@dataclass(slots=True, kw_only=True)
class Checks:
    """Asks checkers, each in a thread of its own and at most once at a time."""

    checkers: Mapping[str, Checker]
    #: Those without which no notification should come, and those that have to have been well once.
    needed: Sequence[str] = ()
    starting: Sequence[str] = ()
    _flights: dict[str, _Flight] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def ask(self, names: Iterable[str] | None = None) -> Sequence[Checked]:
        """What came of each, in order, within the longest of their timeouts."""
        flights = [(name, self._flight(name)) for name in (self.checkers if names is None else names)]
        return [self._landed(name, flight) for name, flight in flights]

    def latest(self, *, patience_seconds: float) -> Sequence[Checked]:
        """What came last of each, once those that are quick have answered anew.

        One that is slow is shown as it was before, until its time is over; one of which nothing is known is left out.
        """
        flights = [(name, self._flight(name)) for name in self.checkers]
        ends = time.monotonic() + patience_seconds
        for _, flight in flights:
            flight.over.wait(max(0.0, ends - time.monotonic()))
        found = [self._known(name, flight) for name, flight in flights]
        return [checked for checked in found if checked is not None]

    def _flight(self, name: str) -> _Flight:
        with self._lock:
            flight = self._flights.get(name)
            # One that hangs is not asked once more: each time would leave another thread behind.
            if flight is None or flight.over.is_set():
                # No answer is given again: who asks hears what was found after that.
                earliest = flight.began + SPACING_SECONDS if flight else 0.0
                before = flight.checked if flight else None
                flight = self._flights[name] = _Flight(max(time.monotonic(), earliest), before)
                threading.Thread(target=self._fly, args=(name, flight), name=f"check {name}", daemon=True).start()
            return flight

    def _fly(self, name: str, flight: _Flight) -> None:
        time.sleep(max(0.0, flight.began - time.monotonic()))
        try:
            ok, words = True, self.checkers[name].ask()
        except Exception as error:
            ok, words = False, str(error) or type(error).__name__
        seconds = time.monotonic() - flight.began
        if seconds > self.checkers[name].timeout_seconds:
            ok, words = False, f"no answer for {seconds:.1f}s"
        flight.checked = Checked(name=name, ok=ok, words=clean(str(words)[:_MOST_WORDS]), latency_seconds=seconds)
        flight.over.set()

    def _known(self, name: str, flight: _Flight) -> Checked | None:
        is_late = time.monotonic() - flight.began > self.checkers[name].timeout_seconds
        return self._landed(name, flight) if is_late or flight.over.is_set() else flight.before

    def _landed(self, name: str, flight: _Flight) -> Checked:
        flight.over.wait(max(0.0, flight.began + self.checkers[name].timeout_seconds - time.monotonic()))
        if flight.checked is not None:
            return flight.checked
        seconds = time.monotonic() - flight.began
        return Checked(name=name, ok=False, words=f"no answer for {seconds:.1f}s", latency_seconds=seconds)


def packaged(*, taken: Collection[str] = ()) -> dict[str, Checker]:
    """The checkers of installed packages; one that cannot be had is there as one that fails, and says why."""
    found = {name: _failing(words) for name, words in clashes(taken).items()}
    for entry in _entries():
        if entry.name in taken:
            continue
        found[entry.name] = (
            _failing(f"several packages bring it, {_package(entry)} is one")
            if (entry.name in found)
            else _loaded(entry)
        )
    return found


def clashes(taken: Collection[str]) -> dict[str, str]:
    """The checks of packages whose names are taken: what each is shown as, and why it is not asked."""
    return {
        f"{entry.name} of {_package(entry)}": f"a built-in check is called {entry.name}, so that this one is not asked"
        for entry in _entries()
        if entry.name in taken
    }


def _entries() -> list[EntryPoint]:
    return sorted(entry_points(group=GROUP), key=lambda entry: entry.name)


def _loaded(entry: EntryPoint) -> Checker:
    try:
        checker = entry.load()
    except Exception as error:
        return _failing(f"{_package(entry)} is broken: {type(error).__name__}: {error}")
    if not isinstance(checker, Checker):
        return _failing(f"{_package(entry)} is broken: {entry.value} is no webhook.checking.Checker")
    return checker


def _failing(words: str) -> Checker:
    def ask() -> str:
        raise Unwell(words)

    return Checker(ask=ask)


def _package(entry: EntryPoint) -> str:
    return f"{entry.dist.name} {entry.dist.version}" if entry.dist else entry.value
