"""What is asked of Redis by those who look whether all is well: who works, what waits, what went wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import TypeAdapter
from redis.exceptions import RedisError

from webhook.edge.store.keys import ARRIVALS, FAULTS, OUTBOX, UNHEARD, WORKERS, WRITABLE, pulse_key
from webhook.errors import Unavailable
from webhook.signs import Pulse, Standing

_PULSE = TypeAdapter(Pulse)


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisWatch:
    """Looks at one Redis; its calls raise `Unavailable` when Redis does not answer."""

    #: A `redis.Redis` that answers bytes.
    client: Any

    def write(self) -> None:
        """Answers when something can be written, which a replica, a full one, or one whose disk is full refuses."""
        with _answering():
            self.client.set(WRITABLE, 1, px=1000)

    def time(self) -> datetime:
        """What time it is there."""
        with _answering():
            seconds, microseconds = self.client.time()
        return datetime.fromtimestamp(seconds + microseconds / 1_000_000, UTC)

    def pulse(self, pulse: Pulse, *, lease: timedelta) -> None:
        """A worker lives; it is missed when it has said nothing more for the length of a lease."""
        name = _name(pulse)
        with _answering(), self.client.pipeline(transaction=True) as pipe:
            pipe.sadd(WORKERS, name)
            pipe.set(pulse_key(name), _PULSE.dump_json(pulse), px=lease)
            pipe.execute()

    def leave(self, pulse: Pulse) -> None:
        """A worker ends as it should, and is not missed."""
        with _answering():
            self.client.delete(pulse_key(_name(pulse)))

    def pulses(self) -> list[Pulse]:
        """What every worker that lives has last said."""
        with _answering():
            names = sorted(name.decode() for name in self.client.smembers(WORKERS))
            found = self.client.mget([pulse_key(name) for name in names]) if names else []
            gone = [name for name, value in zip(names, found, strict=True) if value is None]
            if gone:
                # One that was only late says so again.
                self.client.srem(WORKERS, *gone)
        return [_PULSE.validate_json(value) for value in found if value is not None]

    def standing(self) -> Standing:
        """What waits, and what went wrong."""
        with _answering(), self.client.pipeline(transaction=False) as pipe:
            pipe.zcard(ARRIVALS)
            pipe.zrange(ARRIVALS, 0, 0, withscores=True)
            pipe.hlen(OUTBOX)
            pipe.hgetall(FAULTS)
            pipe.hvals(UNHEARD)
            waiting, oldest, unsealed, faults, unheard = pipe.execute()
        return Standing(
            waiting=waiting,
            oldest_at=datetime.fromtimestamp(oldest[0][1] / 1000, UTC) if oldest else None,
            unsealed=unsealed,
            faults={name.decode(): int(number) for name, number in faults.items()},
            unheard=Counter(rule.decode() for rule in unheard),
        )

    def rung(self, queue: str) -> int:
        """How many doorbells of a queue nobody has heard yet."""
        with _answering():
            return int(self.client.llen(queue))

    def count_fault(self, what: str) -> None:
        """It went wrong once more."""
        with _answering():
            self.client.hincrby(FAULTS, what, 1)


def _name(pulse: Pulse) -> str:
    return f"{pulse.role}|{pulse.owner}"


@contextmanager
def _answering() -> Iterator[None]:
    try:
        yield
    except (RedisError, OSError) as error:
        raise Unavailable("Redis", str(error) or type(error).__name__) from error
