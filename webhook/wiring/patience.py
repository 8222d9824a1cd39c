"""Asks what may hang, and does not wait for ever for its answer."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from threading import Lock, Thread
from typing import Any

from webhook.errors import Unavailable


@dataclass(slots=True, kw_only=True)
class Patient:
    """Asks once at a time: while an answer has yet to come, whoever wants it waits for that one."""

    ask: Callable[[], Any]
    seconds: float
    #: Who is said to be away when no answer comes.
    dependency: str
    _asked: Future[Any] | None = None
    _lock: Lock = field(default_factory=Lock)

    def __call__(self) -> Any:
        """The answer, or what was raised instead of one.

        Raises:
            Unavailable: it did not come in time.
        """
        with self._lock:
            if self._asked is None or self._asked.done():
                self._asked = Future()
                Thread(target=_answer, args=(self._asked, self.ask), name="ask", daemon=True).start()
            asked = self._asked
        try:
            return asked.result(self.seconds)
        except TimeoutError:
            raise Unavailable(self.dependency, f"no answer for {self.seconds:g}s") from None


def _answer(asked: Future[Any], ask: Callable[[], Any]) -> None:
    try:
        asked.set_result(ask())
    except Exception as error:
        asked.set_exception(error)
