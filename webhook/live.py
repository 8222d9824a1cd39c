"""Lets those who follow a run hear what it says, while it says it. The playbook never waits for that."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Event as Flag
from threading import Lock

import structlog

from webhook.core.transcript import Passage, Position, Transcript, tell
from webhook.errors import Unavailable
from webhook.ports import Store
from webhook.telemetry import named

log = structlog.get_logger()

#: What is said within this time is told together, so that a talkative playbook costs little.
SLICE_SECONDS = 0.05
#: A store that did not answer is left alone for this long.
PAUSE_SECONDS = 1.0


@dataclass(slots=True)
class _Telling:
    transcript: Transcript = field(default_factory=Transcript)
    #: What is still to be told, by number.
    waiting: dict[int, Passage] = field(default_factory=dict)
    #: The number of the last that was told.
    told: int = 0
    #: What was told and has been left out since.
    left_out: list[Position] = field(default_factory=list)


@dataclass(slots=True, kw_only=True)
class Live:
    """What the runs of one worker say. Threads of runs add to it, one thread tells it."""

    store: Store
    _runs: dict[str, _Telling] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)
    #: Held while something is told, so that what is told keeps its order.
    _turn: Lock = field(default_factory=Lock)
    _news: Flag = field(default_factory=Flag)

    def hear(self, run: str) -> Callable[[Passage], None]:
        """Takes what a run says."""
        with self._lock:
            telling = self._runs.setdefault(run, _Telling())

        def hear(passage: Passage) -> None:
            with self._lock:
                passage, left_out = telling.transcript.add(passage)
                telling.waiting[passage.number] = passage
                for old in left_out:
                    telling.waiting.pop(old.number, None)
                    if old.number <= telling.told:
                        telling.left_out.append(tell(old).position)
            self._news.set()

        return hear

    def roll_back(self, run: str) -> None:
        """What a run's step said is remembered again, so that what its rollback says goes on from there.

        Raises:
            Unavailable: the store does not answer.
        """
        transcript = Transcript.rolling_back(self.store.told(run))
        with self._lock:
            self._runs[run] = _Telling(transcript=transcript, told=transcript.said)

    def passages(self, run: str) -> tuple[Passage, ...]:
        """What a run said so far."""
        with self._lock:
            return self._runs[run].transcript.passages if run in self._runs else ()

    def forget(self, run: str) -> None:
        """Nothing more is told of a run."""
        with self._lock:
            self._runs.pop(run, None)

    def flush(self, run: str) -> None:
        """Tell what is still to be told of a run.

        Raises:
            Unavailable: the store does not answer.
        """
        with self._turn:
            with self._lock:
                telling = self._runs.get(run, _Telling())
                waiting, left_out = list(telling.waiting.values()), list(telling.left_out)
                telling.told = waiting[-1].number if waiting else telling.told
            if not waiting and not left_out:
                return
            self.store.tell(run, [tell(passage) for passage in waiting], left_out=left_out)
            with self._lock:
                for passage in waiting:
                    telling.waiting.pop(passage.number, None)
                del telling.left_out[: len(left_out)]

    def keep_telling(self, over: Flag) -> None:
        """Tell whatever is said, at once, until it is over."""
        while not over.is_set():
            if self._news.wait(PAUSE_SECONDS):
                self._news.clear()
                over.wait(SLICE_SECONDS if self._tell() else PAUSE_SECONDS)

    def _tell(self) -> bool:
        try:
            for run in tuple(self._runs):
                self.flush(run)
        except Unavailable as error:
            log.warning("what runs say is told later", action="tell", **named(run=tuple(self._runs)), error=str(error))
            self._news.set()
            return False
        return True
