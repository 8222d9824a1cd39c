"""Asks the world whether a host is healthy; one module for each kind of probe.

When to ask, how often, and what the answers mean is execution's affair.
"""

from __future__ import annotations

import importlib
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from queue import Empty, SimpleQueue
from typing import Final

from webhook.core.placeholder import Unfit
from webhook.core.probe import Probe
from webhook.exchange import reason
from webhook.probing import Deadline, Kind, Seen, find_kind
from webhook.text import one_line
from webhook.world import ProbeAnswer

WORDS_LIMIT: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class WorldProber:
    """Satisfies `ports.Prober`. Holds nothing, so that any number of threads may share one."""

    def ask(self, probe: Probe) -> ProbeAnswer:
        """One answer, after at most `probe.timeout`. What goes wrong is an answer too, never an error."""
        try:
            kind = _ready(probe.kind.key)
        except (LookupError, ImportError) as error:
            return _answer(probe, Seen(healthy=None, words=str(error)), seconds=0)
        began = time.monotonic()
        seen = _in_time(kind, probe, Deadline(at=began + probe.timeout.total_seconds()))
        return _answer(probe, seen, seconds=time.monotonic() - began)


def _ready(name: str) -> Kind:
    kind = find_kind(name)
    for module in kind.imports:
        importlib.import_module(module)
    return kind


def _answer(probe: Probe, seen: Seen, *, seconds: float) -> ProbeAnswer:
    return ProbeAnswer(
        at=datetime.now(UTC),
        healthy=bool(seen.healthy),
        known=seen.healthy is not None,
        kind=probe.kind.key,
        asked=one_line(str(probe.kind), limit=WORDS_LIMIT),
        words=one_line(seen.words, limit=WORDS_LIMIT),
        latency_seconds=seconds,
    )


def _in_time(kind: Kind, probe: Probe, deadline: Deadline) -> Seen:
    # In a thread of its own, because nothing bounds a look-up in the DNS. One that hangs is left behind until the
    # resolver gives up; a connection is broken at the deadline, and its thread ends.
    answers: SimpleQueue[Seen] = SimpleQueue()
    ask = partial(_asked, kind, probe, deadline)
    threading.Thread(target=lambda: answers.put(ask()), name="probe", daemon=True).start()
    try:
        return answers.get(timeout=deadline.seconds_left)
    except Empty:
        return _too_late(probe)
    finally:
        deadline.end()


def _asked(kind: Kind, probe: Probe, deadline: Deadline) -> Seen:
    try:
        seen = kind.ask(probe.kind, deadline)
        if not isinstance(seen, Seen):
            raise TypeError(f"{seen!r} is no answer")
    except Unfit as error:
        seen = Seen(healthy=None, words=str(error))
    except Exception as error:
        # Whatever goes wrong while the world is asked is what was seen.
        seen = Seen(healthy=_silence(probe), words=reason(error))
    return _too_late(probe) if deadline.is_over else seen


def _too_late(probe: Probe) -> Seen:
    return Seen(healthy=_silence(probe), words=f"timeout after {probe.timeout.total_seconds():g}s")


def _silence(probe: Probe) -> bool | None:
    """What no answer says: the target is sick when it was asked itself, and nothing when someone else was."""
    return False if probe.kind.asks_target else None
