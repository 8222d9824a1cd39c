"""The state in Redis: the inbox, what the decisions rest on, what is due, and batches on their way to the ledger.

What any of it means is the core's affair. Every key has a function or a name in `keys`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from importlib import resources
from typing import Any

from pydantic import TypeAdapter
from redis.exceptions import NoScriptError, RedisError

from webhook.core.due import parse_pair
from webhook.core.run import Pair
from webhook.core.state import Activity, Draft, Keys, Snapshot
from webhook.core.transcript import Passage, Position, Told
from webhook.edge.store import live
from webhook.edge.store.committing import commands_of
from webhook.edge.store.copies import check_copies, wait_for_copies
from webhook.edge.store.follower import RedisFollower
from webhook.edge.store.inbox import RedisInbox
from webhook.edge.store.keys import (
    ARRIVALS,
    DUE,
    EPOCH,
    EVERYTHING,
    INBOX,
    OPEN,
    OUTBOX,
    PAUSES,
    PREFIX,
    RECEIVERS,
    REVISION,
    lease_key,
    line_key,
    milliseconds,
)
from webhook.edge.store.kinds import KINDS, PAUSED, WHOLE
from webhook.errors import Unavailable
from webhook.ports import Batch, Doorbell, Envelope, Errand

__all__ = ["RedisFollower", "RedisInbox", "RedisStore"]

_ENVELOPE = TypeAdapter(Envelope)
_BATCH = TypeAdapter(Batch)


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisStore:
    """The store on one Redis; its calls are atomic and raise `Unavailable` when Redis does not answer."""

    #: A `redis.Redis` that answers bytes; its own types name the answers of every protocol at once.
    client: Any
    #: Gives the Celery queue and the message of a doorbell.
    message: Callable[[Doorbell], tuple[str, bytes]]
    #: So many replicas have to have a change before anything follows from it.
    copies: int = 0

    def read(self, keys: Keys) -> Snapshot:
        """What is remembered under `keys`, all of it at one revision, in one command."""
        wanted = {
            "alert": keys.alerts,
            "pair": keys.pairs,
            "target": frozenset(pair.target for pair in keys.pairs),
            "rule": (rules := frozenset(pair.rule for pair in keys.pairs)),
            "breaker": rules,
            "run": keys.runs,
            "lock": keys.locks,
            "crowd": keys.crowds,
            "escalation": keys.escalations,
        }
        names = [(kind, name) for kind, group in wanted.items() for name in group]
        with _answering():
            revision, everything, pauses, *values = self.client.mget(
                [REVISION, EVERYTHING, PAUSES, *(KINDS[kind].key(name) for kind, name in names)]
            )
        found: dict[str, dict[Any, Any]] = {kind.place: {} for kind in KINDS.values()}
        for (kind, name), value in zip(names, values, strict=True):
            if value is not None:
                found[KINDS[kind].place][name] = KINDS[kind].adapter.validate_json(value)
        return Snapshot(
            revision=int(revision or 0),
            everything=WHOLE.validate_json(everything) if everything else Activity(),
            pauses=PAUSED.validate_json(pauses) if pauses else (),
            **found,
        )

    def commit(self, draft: Draft, *, batch: Batch | None = None, taken: str | None = None) -> bool:
        """Whether the draft became the state, as one with its batch in the outbox and `taken` out of the inbox.

        False when someone else was faster: read again, decide again.
        """
        commands = list(commands_of(draft))
        if batch is not None:
            commands.append(("HSET", OUTBOX, batch.id, _BATCH.dump_json(batch)))
        if taken is not None:
            commands += [("HDEL", INBOX, taken), ("ZREM", ARRIVALS, taken)]
        words = [word for command in commands for word in (len(command), *command)]
        with _answering():
            is_ours = bool(_run_script(self.client, [REVISION], [draft.revision, *words]))
            if is_ours and self.copies:
                with self.client.pipeline(transaction=False) as pipe:
                    wait_for_copies(pipe, self.copies)
                    check_copies(pipe.execute(), self.copies)
            return is_ours

    def put(self, notification: str, envelope: Envelope) -> None:
        """Lay a notification into the inbox, as the receiver does, with its doorbell."""
        with _answering(), self.client.pipeline(transaction=True) as pipe:
            pipe.hset(INBOX, notification, _ENVELOPE.dump_json(envelope))
            pipe.zadd(ARRIVALS, {notification: milliseconds(envelope.received_at)})
            pipe.lpush(*self.message(Doorbell(errand=Errand.INTAKE, about=notification)))
            pipe.execute()

    def envelope(self, notification: str) -> Envelope | None:
        """A notification as it was received; None when it was dealt with."""
        with _answering():
            body = self.client.hget(INBOX, notification)
        return _ENVELOPE.validate_json(body) if body else None

    def waiting_since(self, before: datetime, *, limit: int) -> list[str]:
        """The oldest notifications that came in before a time."""
        with _answering():
            found = self.client.zrange(ARRIVALS, "-inf", milliseconds(before), byscore=True, offset=0, num=limit)
        return [name.decode() for name in found]

    def unconfirmed(self, *, limit: int) -> list[Batch]:
        """Batches that the ledger has yet to confirm, in no order; each carries its own place in time."""
        with _answering():
            _, found = self.client.hscan(OUTBOX, count=limit)
        batches = [_BATCH.validate_json(value) for value in found.values()]
        # The count is a hint to Redis, which gives more when it likes.
        return sorted(batches, key=lambda batch: batch.at)[:limit]

    def confirm(self, batch: Batch) -> None:
        """The ledger has the batch: forget it, and ring for its runs."""
        with _answering(), self.client.pipeline(transaction=True) as pipe:
            pipe.hdel(OUTBOX, batch.id)
            rung = [(Errand.EXECUTE, run) for run in batch.doorbells] + [(Errand.PLAN, run) for run in batch.plans]
            for errand, run in rung:
                pipe.lpush(*self.message(Doorbell(errand=errand, about=run)))
            pipe.execute()

    def ring(self, doorbells: Sequence[Doorbell]) -> None:
        """Call a worker for each; hearing it twice changes nothing."""
        with _answering(), self.client.pipeline(transaction=False) as pipe:
            for doorbell in doorbells:
                pipe.lpush(*self.message(doorbell))
            pipe.execute()

    def take_due(self, now: datetime, *, again_at: datetime, limit: int) -> list[str]:
        """What is due, earliest first; each stays on the list for `again_at`, until someone has dealt with it."""
        with _answering():
            found = self.client.zrange(DUE, "-inf", milliseconds(now), byscore=True, offset=0, num=limit)
            if found:
                # Whoever has taken it off, or put it off for longer, in between is right.
                self.client.zadd(DUE, dict.fromkeys(found, milliseconds(again_at)), xx=True, gt=True)
        return [name.decode() for name in found]

    def call_line(self, line: str, *, due: str, now: datetime, limit: int) -> int:
        """How many pairs of a waiting line are due now, first come first; the rest are called a second later."""
        key = line_key(line)
        with _answering():
            called = self.client.zrange(key, 0, limit - 1)
            with self.client.pipeline(transaction=True) as pipe:
                if called:
                    pipe.zrem(key, *called)
                    # A millisecond apart, so that the order of the line is the order of the decisions.
                    first = milliseconds(now) - len(called)
                    pipe.zadd(DUE, {b"pair:" + pair: first + place for place, pair in enumerate(called)})
                pipe.zrem(DUE, due)
                if len(called) == limit:
                    pipe.zadd(DUE, {due: milliseconds(now + timedelta(seconds=1))})
                pipe.execute()
        return len(called)

    def forget_due(self, due: str) -> None:
        """Take something off the due list."""
        with _answering():
            self.client.zrem(DUE, due)

    def tell(self, run: str, events: Sequence[Told], *, left_out: Sequence[Position]) -> None:
        """Let those who follow a run hear events, and late comers no more of those that are left out."""
        with _answering():
            live.tell(self.client, run, events, left_out)

    def told(self, run: str) -> tuple[Passage, ...]:
        """What a run's playbook said, as far as it was told."""
        with _answering():
            return live.told(self.client, run)

    def renew(self, runs: Sequence[str], *, owner: str, lease: timedelta) -> None:
        """Say that the runs' worker lives."""
        with _answering(), self.client.pipeline(transaction=False) as pipe:
            for run in runs:
                pipe.set(lease_key(run), owner, px=lease)
            pipe.execute()

    def without_lease(self, runs: Sequence[str]) -> list[str]:
        """The runs whose worker has not been heard of for the length of a lease."""
        if not runs:
            return []
        with _answering():
            leases = self.client.mget([lease_key(run) for run in runs])
        return [run for run, lease in zip(runs, leases, strict=True) if lease is None]

    def know_receiver(self, name: str) -> None:
        """Remember the name by which an Alertmanager calls us."""
        with _answering():
            self.client.sadd(RECEIVERS, name)

    def receivers(self) -> frozenset[str]:
        """The names by which Alertmanagers have called us."""
        with _answering():
            return frozenset(name.decode() for name in self.client.smembers(RECEIVERS))

    def open_pairs(self) -> list[Pair]:
        """The rules and targets with an open incident, in no order."""
        with _answering():
            return [parse_pair(member.decode()) for member in self.client.sscan_iter(OPEN, count=1000)]

    def is_fresh(self) -> bool:
        """Whether it is new or was emptied, and nobody has settled in it since."""
        with _answering():
            return not self.client.exists(EPOCH)

    def settle(self) -> None:
        """What could be remembered again is: the store is not fresh any more."""
        with _answering():
            self.client.set(EPOCH, 1)

    def lead(self, role: str, *, owner: str, lease: timedelta) -> bool:
        """Whether `owner` holds a role that one process at a time may have."""
        key = f"{PREFIX}leader:{role}"
        with _answering():
            if self.client.set(key, owner, nx=True, px=lease):
                return True
            if self.client.get(key) != owner.encode():
                return False
            return bool(self.client.set(key, owner, xx=True, px=lease))

    def ping(self) -> None:
        """Answers when Redis does.

        Raises:
            Unavailable: it does not.
        """
        with _answering():
            self.client.ping()


@cache
def _script() -> str:
    return resources.files("webhook.edge.store").joinpath("commit.lua").read_text()


@cache
def _script_sha() -> str:
    return hashlib.sha1(_script().encode(), usedforsecurity=False).hexdigest()


def _run_script(client: Any, keys: Sequence[str], words: Sequence[object]) -> Any:
    try:
        return client.evalsha(_script_sha(), len(keys), *keys, *words)
    except NoScriptError:
        return client.eval(_script(), len(keys), *keys, *words)


@contextmanager
def _answering() -> Iterator[None]:
    try:
        yield
    except (RedisError, OSError) as error:
        raise Unavailable("Redis", str(error) or type(error).__name__) from error
