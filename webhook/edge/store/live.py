"""What runs say, as one Redis stream for each: written by workers, read by whoever follows a run."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic import TypeAdapter
from pydantic_core import to_json
from redis.exceptions import ResponseError

from webhook.core.run import Run
from webhook.core.transcript import Kind, Passage, Position, Told, parse_position, tell_state
from webhook.edge.store.keys import live_key

_PASSAGE = TypeAdapter(Passage)
#: As many are read at once.
PAGE = 500
#: How Redis says that an event is there already, or comes after the run's end.
_TOO_LATE = "equal or smaller"

Command = tuple[str | bytes | int | float, ...]


def announce(run: Run, *, forget_after_seconds: int) -> Iterable[Command]:
    """The commands that tell the state of a run, which is the last that its stream says when it has ended."""
    told = tell_state(run)
    yield ("XADD", live_key(run.id), str(told.position), *_fields(told))
    if told.kind is Kind.END:
        yield ("EXPIRE", live_key(run.id), forget_after_seconds)


def tell(client: Any, run: str, events: Sequence[Told], left_out: Sequence[Position]) -> None:
    """Add events to a run's stream and take others out; all of it may be done again."""
    key = live_key(run)
    with client.pipeline(transaction=False) as pipe:
        for told in events:
            # A stream is only begun with the run's state, or nobody would end it.
            pipe.execute_command("XADD", key, "NOMKSTREAM", str(told.position), *_fields(told))
        if left_out:
            pipe.xdel(key, *map(str, left_out))
        for answer in pipe.execute(raise_on_error=False):
            if isinstance(answer, Exception) and not (isinstance(answer, ResponseError) and _TOO_LATE in str(answer)):
                raise answer


def told(client: Any, run: str) -> tuple[Passage, ...]:
    """What a run's playbook said, from its stream."""
    found: list[Told] = []
    while True:
        start = f"({found[-1].position}" if found else "-"
        page = [event_of(entry) for entry in client.xrange(live_key(run), start, "+", PAGE)]
        found += page
        if len(page) < PAGE:
            return passages_of(found)


def passages_of(events: Iterable[Told]) -> tuple[Passage, ...]:
    """What a run's playbook said, from what was told of it."""
    return tuple(
        _PASSAGE.validate_python({**event.data, "number": event.position.number, "phase": event.position.phase})
        for event in events
        if event.kind in (Kind.OUTPUT, Kind.TASK)
    )


def event_of(entry: tuple[bytes, Mapping[bytes, bytes]]) -> Told:
    """The event of a stream's entry."""
    id, fields = entry
    position = parse_position(id.decode())
    assert position is not None
    return Told(position=position, kind=Kind(fields[b"kind"].decode()), data=json.loads(fields[b"data"]))


def _fields(told: Told) -> tuple[str | bytes, ...]:
    return ("kind", told.kind.value, "data", to_json(told.data))
