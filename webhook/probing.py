"""Kinds of probe: what one is made of, which there are, and how long an answer may take.

A kind is a peer of the built-in ones when a package names it as an entry point of the group `alertmend.probes`; its
name is the key that stands in rule files. docs/probes.md shows one whole.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Final

from webhook.core.probe import Probe, ProbeKind
from webhook.core.run import ProbeAnswer
from webhook.located import Node
from webhook.world import Prober

GROUP: Final = "alertmend.probes"
_BUILT_IN: Final = ("command", "dns", "grpc", "http", "promql", "tcp")


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What the world answered."""

    #: None: whoever was asked could not say, so nothing is known.
    healthy: bool | None
    #: A few words with what was seen; a stranger's are made harmless afterwards.
    words: str


@dataclass(slots=True)
class Deadline:
    """When an answer comes too late, and what has to be broken off then."""

    #: As `time.monotonic` counts.
    at: float
    _endings: list[Callable[[], None]] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _over: bool = False

    @property
    def seconds_left(self) -> float:
        """Above zero, so that it can serve as a socket's timeout."""
        return max(self.at - time.monotonic(), 0.001)

    @property
    def is_over(self) -> bool:
        """An answer comes too late now."""
        return time.monotonic() >= self.at

    def watch(self, connection: socket.socket) -> None:
        """Break this connection when the time is over: a timeout for each read does not bound one that trickles."""
        self.at_end(lambda: _break(connection))

    def at_end(self, ending: Callable[[], None]) -> None:
        """Call this, from another thread, when the answer is there or the time is over; at once when it is already."""
        with self._lock:
            if not self._over:
                self._endings.append(ending)
                return
        ending()

    def end(self) -> None:
        """Call every ending."""
        with self._lock:
            self._over, endings = True, self._endings
        for ending in endings:
            # What cannot be broken off is left behind; the answer is not lost for that.
            with suppress(Exception):
                ending()


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """How one kind of probe is read and asked."""

    #: What stands under its key to what is asked; None when it has reported what is wrong.
    read: Callable[[Node], ProbeKind | None]
    #: One question, placeholders replaced, in a thread of its own. An exception is an answer too, and its words are
    #: seen; `Unfit` says that it cannot be asked, so that nothing is known.
    ask: Callable[[Any, Deadline], Seen]
    #: Modules that take long to import: imported when the kind is first asked, before the clock starts.
    imports: tuple[str, ...] = ()


def kind_names() -> Sequence[str]:
    """The keys of all kinds, the built-in ones and those of installed packages, in order."""
    return sorted(_entries())


@cache
def find_kind(name: str) -> Kind:
    """The kind of that name.

    Raises:
        LookupError: there is none, several packages bring it, or its package is broken; the words say which.
    """
    entries = _entries().get(name, ())
    if len(entries) != 1:
        packages = " and ".join(sorted(_package(entry) for entry in entries))
        raise LookupError(f"both {packages} bring this kind of probe" if entries else "there is no such kind of probe")
    try:
        kind = entries[0].load()
    except Exception as error:
        raise LookupError(f"{_package(entries[0])} is broken: {type(error).__name__}: {error}") from error
    if not isinstance(kind, Kind):
        raise LookupError(f"{_package(entries[0])} is broken: {entries[0].value} is no webhook.probing.Kind")
    return kind


def ask_all(prober: Prober, probes: Sequence[Probe]) -> tuple[ProbeAnswer, ...]:
    """The answers to all of them, in order; they are asked side by side, each within its own timeout."""
    if not probes:
        return ()
    with ThreadPoolExecutor(max_workers=len(probes), thread_name_prefix="probes") as pool:
        return tuple(pool.map(prober.ask, probes))


@cache
def _entries() -> Mapping[str, Sequence[EntryPoint]]:
    found: dict[str, list[EntryPoint]] = {}
    for name in _BUILT_IN:
        # Named like those of packages, so that a process imports only the kinds that its rules use.
        found[name] = [EntryPoint(name=name, value=f"webhook.edge.probe.{name}:KIND", group=GROUP)]
    for entry in entry_points(group=GROUP):
        found.setdefault(entry.name, []).append(entry)
    return found


def _package(entry: EntryPoint) -> str:
    return f"{entry.dist.name} {entry.dist.version}" if entry.dist else "alertmend itself"


def _break(connection: socket.socket) -> None:
    # Not connected any more, or closed by the thread that owns it: then it needs no breaking.
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
