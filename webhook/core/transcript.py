"""What a run says while it goes: numbered, bounded, and told again at any time with the same ids.

An id has the form `phase-number` and sorts like two numbers: before the playbook, what it said, after it.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from webhook.core.run import Run, RunState, TaskResult

#: Of what is printed, and of what becomes of tasks, so much is kept: half from the beginning, half from the end.
OUTPUT_LIMIT_CHARACTERS = 256 * 1024
TASKS_LIMIT_CHARACTERS = 128 * 1024
#: What a passage takes besides its words.
PASSAGE_CHARACTERS = 128

_ID = re.compile(r"([0-9]{1,9})-([0-9]{1,18})")


class Position(NamedTuple):
    """The place of an event among those of its run."""

    phase: int
    number: int

    def __str__(self) -> str:
        return f"{self.phase}-{self.number}"


#: Before the first event.
BEGINNING = Position(0, 0)
#: What the step's playbook says, and what the one says that rolls it back.
SAID, SAID_ROLLING_BACK = 1, 4
#: Where a state stands among what the playbooks say.
_PLACES: Mapping[str, Position] = {
    "awaiting_approval": Position(0, 1),
    "queued": Position(0, 2),
    "running": Position(0, 3),
    "proving": Position(2, 1),
    "finished": Position(5, 1),
}
#: The same states once more, for the rollback.
_PLACES_ROLLING_BACK: Mapping[str, Position] = {"queued": Position(3, 1), "running": Position(3, 2)}


def parse_position(id: str) -> Position | None:
    """The position that an id names; None when it is no id."""
    found = _ID.fullmatch(id)
    return Position(int(found[1]), int(found[2])) if found else None


class Kind(StrEnum):
    """What an event tells."""

    STATE = "state"
    OUTPUT = "output"
    TASK = "task"
    #: Some were left out here.
    GAP = "gap"
    #: The state in which it stays; nothing follows.
    END = "end"


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """What was printed, or what became of a task."""

    at: datetime
    text: str = ""
    task: TaskResult | None = None
    #: Its place among all passages of the run, from 1.
    number: int = 0
    phase: int = SAID

    @property
    def characters(self) -> int:
        """What it counts for."""
        words = len(self.task.name) + len(self.task.diff) + len(self.task.words) if self.task else 0
        return PASSAGE_CHARACTERS + len(self.text) + words


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """An event of a run, as those who follow it hear it."""

    position: Position
    kind: Kind
    data: Mapping[str, object]


@dataclass(slots=True)
class _Ends:
    """Head and tail of what came, in so many characters."""

    room: int
    head: list[Passage] = field(default_factory=list)
    tail: deque[Passage] = field(default_factory=deque)
    head_room: int = field(init=False)
    tail_room: int = field(init=False)

    def __post_init__(self) -> None:
        self.head_room = self.tail_room = self.room // 2

    def add(self, passage: Passage) -> list[Passage]:
        """Take the next; those that had to make room for it."""
        if not self.tail and passage.characters <= self.head_room:
            self.head.append(passage)
            self.head_room -= passage.characters
            return []
        self.tail.append(passage)
        self.tail_room -= passage.characters
        left_out = []
        # The latest always stays, whatever its size.
        while self.tail_room < 0 and len(self.tail) > 1:
            left_out.append(self.tail.popleft())
            self.tail_room += left_out[-1].characters
        return left_out


@dataclass(slots=True)
class Transcript:
    """Head and tail of what was said. However much is printed, what became of tasks is not left out for it."""

    said: int = 0
    phase: int = SAID
    _output: _Ends = field(default_factory=lambda: _Ends(OUTPUT_LIMIT_CHARACTERS))
    _tasks: _Ends = field(default_factory=lambda: _Ends(TASKS_LIMIT_CHARACTERS))

    @property
    def passages(self) -> tuple[Passage, ...]:
        """All that was kept, in order."""
        kept = [*self._output.head, *self._output.tail, *self._tasks.head, *self._tasks.tail]
        return tuple(sorted(kept, key=lambda passage: passage.number))

    @classmethod
    def rolling_back(cls, passages: Iterable[Passage]) -> Transcript:
        """What the step's playbook said, to be continued by the one that rolls it back."""
        found = cls(phase=SAID_ROLLING_BACK)
        for passage in passages:
            found.said = passage.number
            found._keep(passage)
        return found

    def add(self, passage: Passage) -> tuple[Passage, list[Passage]]:
        """The passage with its number; and those that had to make room for it, which are left out from now on."""
        self.said += 1
        passage = replace(passage, number=self.said, phase=self.phase)
        return passage, self._keep(passage)

    def _keep(self, passage: Passage) -> list[Passage]:
        return (self._tasks if passage.task else self._output).add(passage)


def text_of(passages: Iterable[Passage]) -> str:
    """What was printed, with a line where some of it was left out."""
    found, expected = [], 1
    for passage in passages:
        if passage.number > expected:
            found.append(f"\n… [{passage.number - expected} events left out by alertmend] …\n")
        found.append(passage.text)
        expected = passage.number + 1
    return "".join(found)


def task_results(passages: Iterable[Passage]) -> tuple[TaskResult, ...]:
    """What became of the tasks."""
    return tuple(passage.task for passage in passages if passage.task is not None)


def tell(passage: Passage) -> Told:
    """The event of a passage."""
    at, position = passage.at, Position(passage.phase, passage.number)
    if passage.task is not None:
        return Told(position=position, kind=Kind.TASK, data={"at": at, "task": passage.task})
    return Told(position=position, kind=Kind.OUTPUT, data={"at": at, "text": passage.text})


def tell_state(run: Run) -> Told:
    """The event of the state in which a run is."""
    return _tell_state(run, run.state, _times(run)[run.state] or run.created_at)


def tell_states(run: Run) -> list[Told]:
    """The events of all states in which a run was, as its times say."""
    return [_tell_state(run, state, at) for state, at in _times(run).items() if at is not None]


def _times(run: Run) -> Mapping[RunState, datetime | None]:
    """When it came into each state, in their order."""
    asked = run.expires_at is not None
    return {
        RunState.AWAITING_APPROVAL: run.created_at if asked else None,
        RunState.QUEUED: run.queued_at if asked else run.created_at,
        RunState.RUNNING: run.started_at,
        RunState.PROVING: run.proving_at,
        RunState.FINISHED: run.finished_at,
    }


def _tell_state(run: Run, state: RunState, at: datetime) -> Told:
    data: dict[str, object] = {"at": at, "state": state}
    if state is not RunState.FINISHED:
        rolls_back = run.ending is not None and run.state is state
        place = _PLACES_ROLLING_BACK.get(state) if rolls_back else None
        return Told(position=place or _PLACES[state], kind=Kind.STATE, data=data)
    return Told(position=_PLACES[state], kind=Kind.END, data={**data, "outcome": run.outcome, "reason": run.reason})


def tell_all(run: Run, passages: Sequence[Passage]) -> list[Told]:
    """Every event of a run, from the record."""
    return sorted([*tell_states(run), *map(tell, passages)], key=lambda told: told.position)


def with_gaps(events: Iterable[Told], *, after: Position) -> Iterator[Told]:
    """The events, which follow `after`, and between them one wherever some were left out."""
    # Numbers go on from the step to its rollback. Where it is not known how far they were told, nothing is missed.
    said = after.number if after.phase in (SAID, SAID_ROLLING_BACK) else 0 if after.phase < SAID else None
    for told in events:
        phase, number = told.position
        if phase in (SAID, SAID_ROLLING_BACK):
            if said is not None and number > said + 1:
                left_out = {"left_out": number - said - 1}
                yield Told(position=Position(phase, number - 1), kind=Kind.GAP, data=left_out)
            said = number
        yield told
