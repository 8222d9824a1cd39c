"""What may take long is done aside."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import structlog

from webhook.errors import StateConflict, Unavailable
from webhook.telemetry import speaking_of

log = structlog.get_logger()


class Aside:
    """Does things that may take long one after another, aside from the one who wants them done."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="aside")
        self._wanted: set[str] = set()

    def do(self, name: str, work: Callable[[], object]) -> None:
        """Returns at once; what is wanted already under the same name is not wanted twice."""
        if name not in self._wanted:
            self._wanted.add(name)
            self._thread.submit(self._work, name, work)

    def _work(self, name: str, work: Callable[[], object]) -> None:
        self._wanted.discard(name)
        with speaking_of(about=name):
            self._try(work)

    def _try(self, work: Callable[[], object]) -> None:
        try:
            work()
        except (Unavailable, StateConflict) as error:
            # It stays due, and comes again.
            log.warning("it has to wait", action="aside", error=str(error))
        except Exception:
            log.exception("it failed", action="aside")
