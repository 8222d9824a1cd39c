"""A draft as the commands that make it the state."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from webhook.core.due import pair_due
from webhook.core.escalation import Escalation
from webhook.core.state import Draft
from webhook.edge.store import live
from webhook.edge.store.keys import DUE, EVERYTHING, OPEN, PAUSES, UNHEARD, line_key, milliseconds
from webhook.edge.store.kinds import KINDS, PAUSED, WHOLE, Kind
from webhook.edge.store.live import Command

#: A resolved alert is remembered this long, to know late copies of its firing; a finished run, to answer its doorbells.
FORGET_AFTER = timedelta(hours=1)


def commands_of(draft: Draft) -> Iterator[Command]:
    """In order; they are done as one, or not at all."""
    yield from _records(draft)
    yield from _due(draft)
    yield from _lines(draft)


def _records(draft: Draft) -> Iterator[Command]:
    for kind, name in draft.touched:
        if kind == "everything":
            yield _set(EVERYTHING, WHOLE.dump_json(draft.everything))
        elif kind == "pauses":
            yield _set(PAUSES, PAUSED.dump_json(draft.pauses))
        else:
            yield _record(KINDS[kind], name, draft)
        if kind == "pair":
            yield _open(name, draft)
        if kind == "escalation":
            yield _unheard(draft.escalations[str(name)])
        if kind == "run":
            yield from live.announce(draft.runs[str(name)], forget_after_seconds=int(FORGET_AFTER.total_seconds()))


def _record(kind: Kind, name: object, draft: Draft) -> Command:
    record = getattr(draft, kind.place).get(name)
    if record is None:
        return ("DEL", kind.key(name))
    return _set(kind.key(name), kind.adapter.dump_json(record), forget=kind.is_over(record))


def _open(pair: Any, draft: Draft) -> Command:
    return ("SADD" if draft.pairs[pair].incident else "SREM", OPEN, pair_due(pair).removeprefix("pair:"))


def _unheard(escalation: Escalation) -> Command:
    if escalation.is_unheard:
        return ("HSET", UNHEARD, escalation.id, escalation.rule)
    return ("HDEL", UNHEARD, escalation.id)


def _set(key: str, value: bytes, *, forget: bool = False) -> Command:
    return ("SET", key, value, "EX", int(FORGET_AFTER.total_seconds())) if forget else ("SET", key, value)


def _due(draft: Draft) -> Iterator[Command]:
    for name, at in draft.due.items():
        if at is None:
            yield ("ZREM", DUE, name)
        elif name.startswith("line:"):
            # A later retry must not put off those whom a freed slot has called.
            yield ("ZADD", DUE, "LT", milliseconds(at), name)
        else:
            yield ("ZADD", DUE, milliseconds(at), name)


def _lines(draft: Draft) -> Iterator[Command]:
    for (line, pair), since in draft.lines.items():
        member = pair_due(pair).removeprefix("pair:")
        if since is None:
            yield ("ZREM", line_key(line), member)
        else:
            yield ("ZADD", line_key(line), milliseconds(since), member)
