"""What runs say, told to the store and heard from it: the real one and its twin in memory keep one contract."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import redis.asyncio

from tests.core.test_transcript import done, printed
from tests.edge.test_store import MESSAGE, commit, run
from tests.flow.twin import EPOCH, MemoryFollower, MemoryStore
from webhook.core.run import Outcome, RunState
from webhook.core.state import Keys
from webhook.core.transcript import BEGINNING, Kind, Position, Told, tell
from webhook.edge.store import RedisFollower, RedisStore
from webhook.edge.store.follower import RECENT
from webhook.edge.store.keys import live_key
from webhook.edge.store.live import PAGE
from webhook.edge.valkey import EmbeddedValkey
from webhook.errors import Unavailable
from webhook.ports import Follower, Store


@dataclass
class Kept:
    """A store and how runs in it are followed."""

    store: Store
    #: What someone who follows runs answers.
    ask: Callable[[Callable[[Follower], Awaitable[Any]]], Any]

    def heard(self, id: str = "run1", *, after: Position = BEGINNING) -> list[str]:
        """The ids of what is told of a run."""
        return [str(told.position) for told in self.ask(lambda follower: _rest(follower, id, after))]


async def _rest(follower: Follower, id: str, after: Position) -> list[Told]:
    found: list[Told] = []
    while page := await follower.since(id, found[-1].position if found else after):
        found += page
    return found


@asynccontextmanager
async def following(url: str) -> Any:
    async with redis.asyncio.Redis.from_url(url, socket_timeout=5) as connection:
        yield RedisFollower(connection)


@pytest.fixture(params=["memory", "redis"])
def kept(request: pytest.FixtureRequest) -> Kept:
    if request.param == "memory":
        store = MemoryStore()
        return Kept(store=store, ask=lambda question: asyncio.run(question(MemoryFollower(store))))  # type: ignore[arg-type]
    url = request.getfixturevalue("valkey").url

    async def ask(question: Callable[[Follower], Awaitable[Any]]) -> Any:
        async with following(url) as follower:
            return await question(follower)

    store = RedisStore(client=request.getfixturevalue("client"), message=MESSAGE)
    return Kept(store=store, ask=lambda question: asyncio.run(ask(question)))


def put(store: Store, **settings: Any) -> None:
    commit(store, lambda draft: draft.put_run(replace(run(), **settings)))


def start(store: Store) -> None:
    put(store)
    put(store, state=RunState.RUNNING, started_at=EPOCH)


def end(store: Store) -> None:
    put(store, state=RunState.FINISHED, started_at=EPOCH, finished_at=EPOCH, outcome=Outcome.FIXED, reason="healthy")


def say(store: Store, *numbers: int, left_out: tuple[int, ...] = ()) -> None:
    said = [tell(replace(printed(f"line {number}\n"), number=number)) for number in numbers]
    store.tell("run1", said, left_out=[Position(1, number) for number in left_out])


# ---------------------------------------------------------------------------------------------------------------------
# Telling


def test_the_states_of_a_run_are_told_as_they_are_committed(kept: Kept) -> None:
    assert kept.heard() == []
    start(kept.store)
    assert kept.heard() == ["0-2", "0-3"]
    put(kept.store, state=RunState.PROVING, started_at=EPOCH, proving_at=EPOCH)
    end(kept.store)
    assert kept.heard() == ["0-2", "0-3", "2-1", "5-1"]
    told = kept.ask(lambda follower: follower.since("run1", Position(2, 1)))
    assert told[0].kind is Kind.END
    assert {**told[0].data, "at": None} == {"at": None, "state": "finished", "outcome": "fixed", "reason": "healthy"}


def test_a_state_that_is_committed_again_is_not_told_again_and_the_commit_counts(kept: Kept) -> None:
    start(kept.store)
    put(kept.store, state=RunState.RUNNING, started_at=EPOCH, reason="changed")
    assert kept.heard() == ["0-2", "0-3"]
    assert kept.store.read(Keys(runs=frozenset(["run1"]))).runs["run1"].reason == "changed"


def test_what_is_said_comes_between_the_states_and_as_it_went(kept: Kept) -> None:
    start(kept.store)
    passages = (replace(printed("„ü“\n"), number=1), replace(done(diff="-a\n+b"), number=2))
    kept.store.tell("run1", [tell(passage) for passage in passages], left_out=[])
    end(kept.store)
    assert kept.heard() == ["0-2", "0-3", "1-1", "1-2", "5-1"]
    assert kept.store.told("run1") == passages
    assert kept.ask(lambda follower: follower.said("run1")) == passages


def test_what_is_told_twice_is_heard_once(kept: Kept) -> None:
    start(kept.store)
    say(kept.store, 1, 2)
    say(kept.store, 1, 2, 3)
    assert kept.heard(after=Position(0, 3)) == ["1-1", "1-2", "1-3"]


def test_nothing_is_said_after_the_end(kept: Kept) -> None:
    start(kept.store)
    end(kept.store)
    say(kept.store, 1)
    assert kept.heard() == ["0-2", "0-3", "5-1"]


def test_nothing_is_said_of_a_run_that_nobody_began(kept: Kept) -> None:
    say(kept.store, 1)
    assert kept.heard() == []
    assert kept.store.told("run1") == ()


def test_what_is_left_out_is_not_heard_by_those_who_come_late(kept: Kept) -> None:
    start(kept.store)
    say(kept.store, 1, 2, 3)
    say(kept.store, 4, left_out=(2, 3))
    say(kept.store, left_out=(2, 99))
    assert kept.heard(after=Position(0, 3)) == ["1-1", "1-4"]
    assert [passage.number for passage in kept.store.told("run1")] == [1, 4]


def test_runs_do_not_mix(kept: Kept) -> None:
    start(kept.store)
    commit(kept.store, lambda draft: draft.put_run(run("run2")))
    say(kept.store, 1)
    assert kept.heard("run2") == ["0-2"]


def test_one_goes_on_where_one_was(kept: Kept) -> None:
    start(kept.store)
    say(kept.store, *range(1, 12))
    whole = kept.heard()
    for place, last in enumerate(whole):
        phase, number = last.split("-")
        assert kept.heard(after=Position(int(phase), int(number))) == whole[place + 1 :]


# ---------------------------------------------------------------------------------------------------------------------
# Following


def test_who_follows_hears_what_is_said_meanwhile(kept: Kept) -> None:
    start(kept.store)

    async def follow(follower: Follower) -> list[str]:
        heard: list[str] = []
        after = Position(0, 3)
        async with follower.follow("run1", after):
            for number in range(1, 6):
                say(kept.store, number)
                assert await follower.news("run1", after, timeout_seconds=20)
                events = await follower.since("run1", after)
                heard += [str(told.position) for told in events]
                after = events[-1].position
            assert not await follower.news("run1", after, timeout_seconds=0.01)
        return heard

    assert kept.ask(follow) == ["1-1", "1-2", "1-3", "1-4", "1-5"]


async def _listen(follower: Follower, id: str, after: Position) -> list[Told]:
    """Everything after a position, up to the run's end."""
    heard: list[Told] = []
    async with follower.follow(id, after):
        while not heard or heard[-1].kind is not Kind.END:
            heard += await follower.since(id, heard[-1].position if heard else after)
            await follower.news(id, heard[-1].position if heard else after, timeout_seconds=0.2)
    return heard


def test_many_who_begin_at_different_places_all_hear_the_same(kept: Kept) -> None:
    start(kept.store)
    say(kept.store, *range(1, 301))

    async def main(follower: Follower) -> list[list[Told]]:
        async def talk() -> None:
            for number in range(301, 601):
                await asyncio.to_thread(say, kept.store, number)
            await asyncio.to_thread(end, kept.store)

        places = [BEGINNING, Position(1, 7), Position(1, 290), Position(1, 300), Position(1, 450)]
        listeners = [asyncio.create_task(_listen(follower, "run1", place)) for place in places]
        await talk()
        # And one who comes when all is over
        return [*await asyncio.gather(*listeners), await _listen(follower, "run1", BEGINNING)]

    first, *others, last = [[str(told.position) for told in heard] for heard in kept.ask(main)]
    whole = kept.heard()
    assert first == last == whole
    for place, heard in zip((7, 290, 300, 450), others, strict=True):
        assert heard == whole[whole.index(f"1-{place}") + 1 :]


# ---------------------------------------------------------------------------------------------------------------------
# The real one


@pytest.fixture
def store(client: Any) -> RedisStore:
    return RedisStore(client=client, message=MESSAGE)


def test_a_stream_is_forgotten_some_time_after_the_runs_end_and_not_before(store: RedisStore, client: Any) -> None:
    start(store)
    say(store, 1)
    assert client.ttl(live_key("run1")) == -1
    end(store)
    assert 3500 < client.ttl(live_key("run1")) <= 3600
    say(store, 2)
    assert 3500 < client.ttl(live_key("run1")) <= 3600


def test_a_stream_that_was_forgotten_is_not_begun_again(store: RedisStore, client: Any) -> None:
    start(store)
    client.delete(live_key("run1"))
    say(store, 1)
    assert not client.exists(live_key("run1"))


def test_a_long_story_is_read_page_by_page(store: RedisStore) -> None:
    start(store)
    say(store, *range(1, 3 * PAGE))
    assert [passage.number for passage in store.told("run1")] == list(range(1, 3 * PAGE))


def test_a_slow_one_is_not_waited_for_and_misses_nothing(store: RedisStore, valkey: EmbeddedValkey) -> None:
    start(store)

    async def main() -> list[Told]:
        async with following(valkey.url) as follower, follower.follow("run1", Position(0, 3)):
            quick: list[Told] = []
            # More is said than is kept for all who follow, while the slow one hears nothing
            for number in range(1, 3 * RECENT):
                say(store, number)
            async with follower.follow("run1", Position(0, 3)):
                while len(quick) < 3 * RECENT - 1:
                    after = quick[-1].position if quick else Position(0, 3)
                    await follower.news("run1", after, timeout_seconds=5)
                    quick += await follower.since("run1", after)
            assert len(follower._feeds["run1"].recent) <= RECENT
            return await _rest(follower, "run1", Position(0, 3))

    assert [told.position.number for told in asyncio.run(main())] == list(range(1, 3 * RECENT))


def test_nobody_listens_when_nobody_follows(store: RedisStore, client: Any, valkey: EmbeddedValkey) -> None:
    start(store)

    async def main() -> None:
        async with following(valkey.url) as follower:
            async with follower.follow("run1", BEGINNING):
                assert await follower.news("run1", BEGINNING, timeout_seconds=20)
            assert not follower._feeds
            await follower._reading

    asyncio.run(main())


def test_a_redis_that_comes_back_is_heard_again(tmp_path: Path) -> None:
    server = EmbeddedValkey(storage=tmp_path / "data")
    server.start()
    with redis.Redis.from_url(server.url) as client:
        store = RedisStore(client=client, message=MESSAGE)
        start(store)

        async def main() -> list[Told]:
            async with following(server.url) as follower:
                listener = asyncio.create_task(_patient(follower))
                for number in range(1, 4):
                    await asyncio.to_thread(say, store, number)
                await asyncio.to_thread(server.stop)
                with pytest.raises(Unavailable):
                    await asyncio.to_thread(say, store, 4)
                await asyncio.to_thread(server.start)
                for number in range(4, 7):
                    await asyncio.to_thread(say, store, number)
                await asyncio.to_thread(end, store)
                return await listener

        try:
            assert [str(told.position) for told in asyncio.run(main())] == [f"1-{n}" for n in range(1, 7)] + ["5-1"]
        finally:
            server.stop()


async def _patient(follower: Follower) -> list[Told]:
    heard: list[Told] = []
    after = Position(0, 3)
    async with follower.follow("run1", after):
        while not heard or heard[-1].kind is not Kind.END:
            try:
                heard += await follower.since("run1", after)
            except Unavailable:
                await asyncio.sleep(0.05)
            after = heard[-1].position if heard else after
            await follower.news("run1", after, timeout_seconds=0.2)
    return heard
