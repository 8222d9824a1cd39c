"""The store's contract, kept by the real one and by its twin in memory; and what only the real one can do."""

from __future__ import annotations

import asyncio
import base64
import json
import threading
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, fields, is_dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import Enum
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

import pytest
import redis
import redis.asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.flow.scene import alert
from tests.flow.twin import EPOCH, MemoryStore
from webhook.core.audit import AuditEvent, Event
from webhook.core.due import line_due, pair_due, run_due
from webhook.core.escalation import Escalation, WebhookStep, failed, told
from webhook.core.incident import Incident
from webhook.core.run import Pair, Run, RunState, Word
from webhook.core.state import Activity, AlertState, Draft, Keys, PairState, TargetState
from webhook.edge.queue import KEY_PREFIX, make_app, make_message
from webhook.edge.store import RedisInbox, RedisStore
from webhook.edge.store.keys import ARRIVALS, DUE, INBOX, OUTBOX, PREFIX, alert_key, run_key
from webhook.edge.store.watch import RedisWatch
from webhook.edge.valkey import EmbeddedValkey
from webhook.errors import Unavailable
from webhook.ports import Batch, Doorbell, Envelope, Errand, Store

WEB1, WEB2, WEB3 = (Pair("restart-web", f"web{number}") for number in (1, 2, 3))
MINUTE = timedelta(minutes=1)
MESSAGE = make_message(make_app("redis://"))


@dataclass
class Kept:
    """A store, and what its protocol does not say."""

    store: Store
    #: Puts a notification into the inbox.
    put: Callable[[str, Envelope], None]
    #: What was rung for, oldest first.
    rung: Callable[[], list[Doorbell]]


def rung(client: Any) -> list[Doorbell]:
    """What lies in Celery's queues."""
    found = [
        json.loads(message) for queue in ("intake", "runs") for message in client.lrange(KEY_PREFIX + queue, 0, -1)
    ]
    errands = [Errand(message["headers"]["task"].removeprefix("alertmend.")) for message in reversed(found)]
    bodies = [json.loads(base64.b64decode(message["body"])) for message in reversed(found)]
    return [Doorbell(errand=errand, about=body[0][0]) for errand, body in zip(errands, bodies, strict=True)]


@asynccontextmanager
async def inbox_at(url: str) -> Any:
    async with redis.asyncio.Redis.from_url(url) as connection:
        yield RedisInbox(connection, message=MESSAGE)


def put(url: str, notification: str, envelope: Envelope) -> None:
    async def main() -> None:
        async with inbox_at(url) as inbox:
            await inbox.put(notification, envelope)

    asyncio.run(main())


@pytest.fixture
def redis_store(client: Any) -> RedisStore:
    return RedisStore(client=client, message=MESSAGE)


@pytest.fixture(params=["memory", "redis"])
def kept(request: pytest.FixtureRequest) -> Kept:
    if request.param == "memory":
        twin = MemoryStore()
        return Kept(store=twin, put=twin.put, rung=lambda: twin.rung)
    store: RedisStore = request.getfixturevalue("redis_store")
    url = request.getfixturevalue("valkey").url
    return Kept(store=store, put=lambda id, envelope: put(url, id, envelope), rung=lambda: rung(store.client))


def run(id: str = "run1", *, state: RunState = RunState.QUEUED, target: str = "web1") -> Run:
    return Run(
        id=id,
        incident="incident1",
        rule="restart-web",
        target=target,
        step=1,
        playbook="restart.yml",
        state=state,
        created_at=EPOCH,
        attempt=1,
        alerts=("f1",),
    )


def envelope(at: datetime = EPOCH, body: str = "{}") -> Envelope:
    return Envelope(received_at=at, sender="am", body=body)


def batch(id: str = "notification:1", *, doorbells: tuple[str, ...] = (), at: datetime = EPOCH) -> Batch:
    return Batch(id=id, at=at, events=(AuditEvent(at=at, event=Event.DECISION),), doorbells=doorbells)


def draft(store: Store, **keys: Any) -> Draft:
    return Draft.of(store.read(Keys(**keys)))


def commit(store: Store, write: Callable[[Draft], object]) -> None:
    """A change that nobody else is in the way of."""
    written = draft(store)
    write(written)
    assert store.commit(written)


def due_at(store: Store, now: datetime, *, limit: int = 100) -> list[str]:
    return store.take_due(now, again_at=now + MINUTE, limit=limit)


# ---------------------------------------------------------------------------------------------------------------------
# The state


def escalation(id: str, rule: str) -> Escalation:
    return Escalation(
        id=id,
        chain="oncall",
        rule=rule,
        target="web1",
        incident=id,
        outcome="failed",
        reason="",
        labels={},
        started_at=EPOCH,
        step_since=EPOCH,
    )


def test_it_is_known_at_any_time_which_escalations_reach_nobody(redis_store: RedisStore) -> None:
    watch, webhook = RedisWatch(client=redis_store.client), WebhookStep(url="http://pager")
    mine, yours, ours = (escalation(id, rule) for id, rule in (("i1", "mark"), ("i2", "mark"), ("i3", "other")))

    def unheard_once(*escalations: Escalation) -> Mapping[str, int]:
        commit(redis_store, lambda draft: [draft.put_escalation(found) for found in escalations])
        return watch.standing().unheard

    assert unheard_once(mine, yours, ours) == {}
    mine, yours, ours = (failed(found, "refused", now=EPOCH) for found in (mine, yours, ours))
    assert unheard_once(mine, yours, ours) == {"mark": 2, "other": 1}
    assert unheard_once(failed(mine, "refused", now=EPOCH)) == {"mark": 2, "other": 1}
    assert unheard_once(told(mine, webhook, now=EPOCH)) == {"mark": 1, "other": 1}
    assert unheard_once(replace(yours, ended=Word(by="alice", at=EPOCH, comment="mine"))) == {"other": 1}


def test_nothing_is_known_at_first(kept: Kept) -> None:
    found = kept.store.read(Keys(alerts=frozenset(["f1"]), pairs=frozenset([WEB1]), runs=frozenset(["run1"])))
    assert (found.revision, found.everything) == (0, Activity())
    assert not found.alerts and not found.pairs and not found.targets and not found.rules and not found.runs


def test_what_was_committed_is_read(kept: Kept) -> None:
    written = draft(kept.store)
    state = AlertState(
        alert=alert("web1"),
        received_at=EPOCH,
        source="http://am",
        incident="i",
        rule="restart-web",
        target="web1",
        since=EPOCH,
    )
    incident = Incident(id="i", rule="restart-web", target="web1", opened_at=EPOCH, firing=("f1",), alerts=("f1",))
    written.put_alert("f1", state)
    written.put_pair(WEB1, PairState(incident=incident, starts=(EPOCH,)))
    written.put_target("web1", TargetState(lock="run1"))
    written.put_rule("restart-web", Activity(active=("run1",)))
    written.put_run(run())
    written.put_everything(Activity(active=("run1",), starts=(EPOCH,)))
    assert kept.store.commit(written)

    found = kept.store.read(Keys(alerts=frozenset(["f1"]), pairs=frozenset([WEB1, WEB2]), runs=frozenset(["run1"])))

    assert found.alerts == {"f1": state}
    assert found.pairs == {WEB1: PairState(incident=incident, starts=(EPOCH,))}
    assert found.targets == {"web1": TargetState(lock="run1")}
    assert found.rules == {"restart-web": Activity(active=("run1",))}
    assert found.runs == {"run1": run()}
    assert found.everything == Activity(active=("run1",), starts=(EPOCH,))


def test_what_is_not_asked_for_is_not_read(kept: Kept) -> None:
    commit(kept.store, lambda d: d.put_run(run()))
    commit(kept.store, lambda d: d.put_target("web1", TargetState(lock="run1")))
    found = kept.store.read(Keys(pairs=frozenset([WEB2])))
    assert not found.runs and not found.targets


def test_every_commit_moves_the_revision(kept: Kept) -> None:
    revisions = []
    for _ in range(3):
        commit(kept.store, lambda d: None)
        revisions.append(kept.store.read(Keys()).revision)
    assert revisions == sorted(set(revisions)) and revisions[0] > 0


def test_a_stale_commit_changes_nothing_at_all(kept: Kept) -> None:
    # Given a draft, and someone who is faster
    kept.put("n1", envelope())
    stale = draft(kept.store)
    commit(kept.store, lambda d: d.put_target("web1", TargetState(lock="theirs")))
    # When the draft comes second
    stale.put_target("web1", TargetState(lock="mine"))
    stale.due[run_due("run1")] = EPOCH
    stale.stand(WEB1, "rate", since=EPOCH)
    # Then it leaves nothing behind
    assert not kept.store.commit(stale, batch=batch(), taken="n1")
    assert kept.store.read(Keys(pairs=frozenset([WEB1]))).targets == {"web1": TargetState(lock="theirs")}
    assert kept.store.envelope("n1") == envelope()
    assert kept.store.unconfirmed(limit=10) == []
    assert due_at(kept.store, EPOCH) == []
    assert kept.store.call_line("rate", due=line_due("rate"), now=EPOCH, limit=5) == 0


def test_a_draft_is_committed_once(kept: Kept) -> None:
    written = draft(kept.store)
    written.put_target("web1", TargetState(lock="run1"))
    assert kept.store.commit(written)
    assert not kept.store.commit(written)


def test_of_many_drafts_on_one_revision_exactly_one_becomes_the_state(redis_store: RedisStore) -> None:
    drafts, committed = [draft(redis_store) for _ in range(16)], []
    for number, written in enumerate(drafts):
        written.put_target("web1", TargetState(lock=f"run{number}"))
    threads = [
        threading.Thread(target=lambda d=d: committed.append(d) if redis_store.commit(d) else None) for d in drafts
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(committed) == 1
    assert redis_store.read(Keys(pairs=frozenset([WEB1]))).targets == committed[0].targets


# ---------------------------------------------------------------------------------------------------------------------
# Inbox and outbox


def test_a_commit_moves_a_notification_from_the_inbox_to_the_outbox(kept: Kept) -> None:
    kept.put("n1", envelope())
    kept.put("n2", envelope())
    assert kept.store.commit(draft(kept.store), batch=batch("notification:n1"), taken="n1")
    assert kept.store.envelope("n1") is None
    assert kept.store.envelope("n2") == envelope()
    assert kept.store.waiting_since(EPOCH, limit=10) == ["n2"]
    assert kept.store.unconfirmed(limit=10) == [batch("notification:n1")]


def test_a_confirmed_batch_is_forgotten_and_its_runs_are_rung_for(kept: Kept) -> None:
    kept.store.commit(draft(kept.store), batch=batch("b1", doorbells=("run1", "run2")))
    kept.store.commit(draft(kept.store), batch=batch("b2"))
    assert kept.rung() == [], "nobody is called before it is on the record"
    kept.store.confirm(batch("b1", doorbells=("run1", "run2")))
    assert kept.store.unconfirmed(limit=10) == [batch("b2")]
    assert kept.rung() == [Doorbell(errand=Errand.EXECUTE, about=run) for run in ("run1", "run2")]


def test_unconfirmed_batches_come_oldest_first_and_no_more_than_asked_for(kept: Kept) -> None:
    for number in (3, 1, 2):
        kept.store.commit(draft(kept.store), batch=batch(f"b{number}", at=EPOCH + number * MINUTE))
    assert [found.id for found in kept.store.unconfirmed(limit=10)] == ["b1", "b2", "b3"]
    assert len(kept.store.unconfirmed(limit=2)) == 2


def test_every_unconfirmed_batch_is_reached_when_each_portion_is_confirmed(kept: Kept) -> None:
    ids = {f"b{number}" for number in range(150)}
    for id in ids:
        kept.store.commit(draft(kept.store), batch=batch(id))
    reached = []
    while portion := kept.store.unconfirmed(limit=7):
        for found in portion:
            kept.store.confirm(found)
            reached.append(found.id)
    assert len(reached) == 150 and set(reached) == ids


def test_waiting_notifications_come_oldest_first(kept: Kept) -> None:
    for number in (3, 1, 2, 4):
        kept.put(f"n{number}", envelope(EPOCH + number * MINUTE))
    assert kept.store.waiting_since(EPOCH + 3 * MINUTE, limit=10) == ["n1", "n2", "n3"]
    assert kept.store.waiting_since(EPOCH + 3 * MINUTE, limit=2) == ["n1", "n2"]
    assert kept.store.waiting_since(EPOCH, limit=10) == []


def test_a_notification_that_is_put_is_rung_for(kept: Kept) -> None:
    kept.put("n1", envelope())
    assert kept.rung() == [Doorbell(errand=Errand.INTAKE, about="n1")]


def test_each_errand_is_rung_for(kept: Kept) -> None:
    doorbells = [
        Doorbell(errand=Errand.RECONSIDER, about="restart-web|web1"),
        Doorbell(errand=Errand.EXECUTE, about="run1"),
    ]
    kept.store.ring([])
    kept.store.ring(doorbells)
    assert sorted(kept.rung(), key=str) == sorted(doorbells, key=str)


# ---------------------------------------------------------------------------------------------------------------------
# What is due


def test_what_is_due_comes_earliest_first_and_not_before_its_time(kept: Kept) -> None:
    commit(kept.store, lambda d: d.due.update({run_due(f"r{n}"): EPOCH + n * MINUTE for n in (3, 1, 2)}))
    assert due_at(kept.store, EPOCH) == []
    assert due_at(kept.store, EPOCH + 2 * MINUTE) == ["run:r1", "run:r2"]


def test_what_was_taken_comes_again_until_someone_dealt_with_it(kept: Kept) -> None:
    commit(kept.store, lambda d: d.due.update({run_due("r1"): EPOCH, run_due("r2"): EPOCH}))
    assert due_at(kept.store, EPOCH) == ["run:r1", "run:r2"]
    assert due_at(kept.store, EPOCH) == [], "it is being looked at"
    kept.store.forget_due(run_due("r1"))
    assert due_at(kept.store, EPOCH + MINUTE) == ["run:r2"]
    commit(kept.store, lambda d: d.due.update({run_due("r2"): None}))
    assert due_at(kept.store, EPOCH + 9 * MINUTE) == []


def test_no_more_is_taken_than_asked_for(kept: Kept) -> None:
    commit(kept.store, lambda d: d.due.update({run_due(f"r{n}"): EPOCH + n * MINUTE for n in range(5)}))
    assert due_at(kept.store, EPOCH + 9 * MINUTE, limit=2) == ["run:r0", "run:r1"]
    assert due_at(kept.store, EPOCH + 9 * MINUTE, limit=9) == ["run:r2", "run:r3", "run:r4"]


@pytest.mark.parametrize("name", [run_due("r1"), pair_due(WEB1)])
def test_a_new_time_for_a_pair_or_a_run_replaces_the_old_one(kept: Kept, name: str) -> None:
    commit(kept.store, lambda d: d.due.update({name: EPOCH}))
    commit(kept.store, lambda d: d.due.update({name: EPOCH + MINUTE}))
    assert due_at(kept.store, EPOCH) == []
    assert due_at(kept.store, EPOCH + MINUTE) == [name]


def test_a_line_keeps_its_earliest_time(kept: Kept) -> None:
    name = line_due("concurrency")
    commit(kept.store, lambda d: d.due.update({name: EPOCH + MINUTE}))
    commit(kept.store, lambda d: d.due.update({name: EPOCH + 5 * MINUTE}))
    assert due_at(kept.store, EPOCH + MINUTE) == [name]
    commit(kept.store, lambda d: d.due.update({name: EPOCH}))
    assert due_at(kept.store, EPOCH) == [name]


# ---------------------------------------------------------------------------------------------------------------------
# Lines


def stand_in_line(kept: Kept, *pairs: Pair, line: str = "rate") -> None:
    for place, pair in enumerate(pairs):
        written = draft(kept.store)
        written.stand(pair, line, since=EPOCH + place * MINUTE)
        assert kept.store.commit(written)


def test_a_line_is_called_first_come_first(kept: Kept) -> None:
    stand_in_line(kept, WEB3, WEB1, WEB2)
    assert kept.store.call_line("rate", due=line_due("rate"), now=EPOCH, limit=5) == 3
    assert due_at(kept.store, EPOCH) == [pair_due(WEB3), pair_due(WEB1), pair_due(WEB2)]
    assert kept.store.call_line("rate", due=line_due("rate"), now=EPOCH, limit=5) == 0


def test_the_rest_of_a_line_is_called_a_second_later(kept: Kept) -> None:
    stand_in_line(kept, WEB1, WEB2, WEB3)
    name = line_due("rate")
    commit(kept.store, lambda d: d.due.update({name: EPOCH}))
    assert due_at(kept.store, EPOCH) == [name]
    assert kept.store.call_line("rate", due=name, now=EPOCH, limit=2) == 2
    assert due_at(kept.store, EPOCH) == [pair_due(WEB1), pair_due(WEB2)]
    later = EPOCH + timedelta(seconds=1)
    assert due_at(kept.store, later) == [name]
    assert kept.store.call_line("rate", due=name, now=later, limit=2) == 1
    assert due_at(kept.store, later) == [pair_due(WEB3)]
    assert due_at(kept.store, later + timedelta(seconds=30)) == [], "an empty line is not called again"


def test_who_left_the_line_is_not_called(kept: Kept) -> None:
    stand_in_line(kept, WEB1, WEB2)
    leaving = draft(kept.store, pairs=frozenset([WEB1]))
    leaving.stand(WEB1, None, since=EPOCH)
    assert kept.store.commit(leaving)
    kept.store.call_line("rate", due=line_due("rate"), now=EPOCH, limit=5)
    assert due_at(kept.store, EPOCH) == [pair_due(WEB2)]


def test_lines_do_not_mix(kept: Kept) -> None:
    stand_in_line(kept, WEB1, line="rate")
    stand_in_line(kept, WEB2, line="rate|restart-web")
    assert kept.store.call_line("rate", due=line_due("rate"), now=EPOCH, limit=5) == 1
    assert due_at(kept.store, EPOCH) == [pair_due(WEB1)]


# ---------------------------------------------------------------------------------------------------------------------
# Leases


def test_a_run_without_a_lease_is_found(kept: Kept) -> None:
    assert kept.store.without_lease([]) == []
    kept.store.renew(["r1", "r3"], owner="w", lease=MINUTE)
    assert kept.store.without_lease(["r1", "r2", "r3"]) == ["r2"]
    kept.store.renew([], owner="w", lease=MINUTE)


def test_a_lease_ends_by_itself(redis_store: RedisStore) -> None:
    redis_store.renew(["r1"], owner="w", lease=timedelta(milliseconds=30))
    assert redis_store.without_lease(["r1"]) == []
    while not (gone := redis_store.without_lease(["r1"])):
        pass
    assert gone == ["r1"]


def test_one_process_at_a_time_leads_and_stays_the_leader(redis_store: RedisStore) -> None:
    assert redis_store.lead("upkeep", owner="a", lease=MINUTE)
    assert not redis_store.lead("upkeep", owner="b", lease=MINUTE)
    assert redis_store.lead("upkeep", owner="a", lease=2 * MINUTE)
    assert redis_store.client.pttl(f"{PREFIX}leader:upkeep") > 100_000, "the lease was renewed"
    assert redis_store.lead("other", owner="b", lease=MINUTE)


# ---------------------------------------------------------------------------------------------------------------------
# Only the real one


def test_what_is_over_is_forgotten_by_itself(redis_store: RedisStore) -> None:
    resolved = AlertState(
        alert=alert("web1", status="resolved"),
        received_at=EPOCH,
        source="",
        incident="i",
        rule="r",
        target="web1",
        since=EPOCH,
    )
    commit(redis_store, lambda d: d.put_alert("f1", resolved))
    commit(redis_store, lambda d: d.put_run(run()))
    assert 3000 < redis_store.client.ttl(alert_key("f1")) <= 3600
    assert redis_store.client.ttl(run_key("run1")) == -1
    # When it fires again, it is remembered for as long as that lasts.
    commit(redis_store, lambda d: d.put_alert("f1", replace(resolved, alert=alert("web1"))))
    assert redis_store.client.ttl(alert_key("f1")) == -1


def test_a_server_that_lost_its_scripts_is_given_them_again(redis_store: RedisStore) -> None:
    commit(redis_store, lambda d: None)
    redis_store.client.script_flush()
    commit(redis_store, lambda d: d.put_target("web1", TargetState(lock="run1")))
    assert redis_store.read(Keys(pairs=frozenset([WEB1]))).targets == {"web1": TargetState(lock="run1")}


def test_a_store_is_fresh_until_someone_has_settled_in_it(kept: Kept) -> None:
    assert [kept.store.is_fresh(), kept.store.is_fresh()] == [True, True]
    kept.store.settle()
    assert not kept.store.is_fresh()


def test_a_thousand_alerts_are_one_commit(redis_store: RedisStore) -> None:
    written = draft(redis_store)
    for number in range(3000):
        written.put_run(run(f"run{number}", target=f"host{number}"))
        written.due[run_due(f"run{number}")] = EPOCH
    assert redis_store.commit(written, batch=batch())
    assert len(redis_store.read(Keys(runs=frozenset(written.runs))).runs) == 3000


def test_a_time_set_while_due_things_are_taken_is_not_brought_forward(redis_store: RedisStore) -> None:
    """A run whose wait was prolonged between upkeep's two words keeps the later time."""

    class Between:
        """Redis, with someone else who is faster than the next command."""

        def __getattr__(self, name: str) -> Any:
            if name == "zadd":
                commit(redis_store, lambda d: d.due.update({run_due("r1"): EPOCH + 10 * MINUTE}))
            return getattr(redis_store.client, name)

    commit(redis_store, lambda d: d.due.update({run_due("r1"): EPOCH}))
    due_at(replace(redis_store, client=Between()), EPOCH)
    assert due_at(redis_store, EPOCH + 2 * MINUTE) == []


CALLS: Mapping[str, Callable[[RedisStore], object]] = {
    "read": lambda store: store.read(Keys()),
    "commit": lambda store: store.commit(Draft.of(MemoryStore().read(Keys()))),
    "is_fresh": lambda store: store.is_fresh(),
    "settle": lambda store: store.settle(),
    "envelope": lambda store: store.envelope("n"),
    "waiting_since": lambda store: store.waiting_since(EPOCH, limit=1),
    "unconfirmed": lambda store: store.unconfirmed(limit=1),
    "confirm": lambda store: store.confirm(batch()),
    "ring": lambda store: store.ring([Doorbell(errand=Errand.INTAKE, about="n")]),
    "take_due": lambda store: store.take_due(EPOCH, again_at=EPOCH, limit=1),
    "call_line": lambda store: store.call_line("rate", due="line:rate", now=EPOCH, limit=1),
    "forget_due": lambda store: store.forget_due("run:r"),
    "renew": lambda store: store.renew(["r"], owner="w", lease=MINUTE),
    "without_lease": lambda store: store.without_lease(["r"]),
    "lead": lambda store: store.lead("upkeep", owner="w", lease=MINUTE),
    "ping": lambda store: store.ping(),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_every_call_says_when_redis_is_away(tmp_path: Path, call: Callable[[RedisStore], object]) -> None:
    with redis.Redis.from_url(f"unix://{tmp_path}/nobody.sock") as nobody, pytest.raises(Unavailable, match="Redis"):
        call(RedisStore(client=nobody, message=MESSAGE))


def test_a_server_without_memory_refuses_and_keeps_what_it_has(valkey: EmbeddedValkey, redis_store: RedisStore) -> None:
    put(valkey.url, "n1", envelope())
    redis_store.client.config_set("maxmemory", "1mb")
    try:
        with pytest.raises(Unavailable):
            put(valkey.url, "n2", envelope(body="x" * 2_000_000))
        with pytest.raises(Unavailable):
            put(valkey.url, "n3", envelope())
            put(valkey.url, "n4", envelope(body="x" * 2_000_000))
            put(valkey.url, "n5", envelope())
    finally:
        redis_store.client.config_set("maxmemory", "0")
    assert redis_store.envelope("n1") == envelope()


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)


def of_type(hint: Any) -> st.SearchStrategy[Any]:
    """Anything that a field of a record may hold."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return st.one_of(*(of_type(argument) for argument in arguments))
    if origin is tuple:
        return st.lists(of_type(arguments[0]), max_size=3).map(tuple)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return st.dictionaries(TEXTS, JSON if arguments[1] is object else of_type(arguments[1]), max_size=3)
    if is_dataclass(hint):
        return record(hint)  # type: ignore[arg-type]
    if isinstance(hint, type) and issubclass(hint, Enum):
        return st.sampled_from(list(hint))
    return {
        str: TEXTS,
        int: st.integers(-(2**60), 2**60),
        float: st.floats(allow_nan=False, allow_infinity=False),
        bool: st.booleans(),
        NoneType: st.none(),
        datetime: st.datetimes(timezones=st.just(UTC)),
    }[hint]


def record(kind: type[Any]) -> st.SearchStrategy[Any]:
    """Any value of a record's type, with every field filled."""
    hints = get_type_hints(kind)
    return st.deferred(lambda: st.builds(kind, **{field.name: of_type(hints[field.name]) for field in fields(kind)}))


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    alert_state=record(AlertState),
    pair=record(PairState),
    target=record(TargetState),
    activity=record(Activity),
    of_run=record(Run),
    name=TEXTS,
)
def test_every_record_comes_back_as_it_went(
    redis_store: RedisStore,
    alert_state: AlertState,
    pair: PairState,
    target: TargetState,
    activity: Activity,
    of_run: Run,
    name: str,
) -> None:
    key = Pair("rule", name)
    written = draft(redis_store)
    written.put_alert(name, alert_state)
    written.put_pair(key, pair)
    written.put_target(name, target)
    written.put_rule("rule", activity)
    written.put_everything(activity)
    written.put_run(of_run)
    assert redis_store.commit(written)
    found = redis_store.read(Keys(alerts=frozenset([name]), pairs=frozenset([key]), runs=frozenset([of_run.id])))
    assert found.alerts[name] == alert_state
    assert found.pairs[key] == pair
    assert found.targets[name] == target
    assert found.rules["rule"] == found.everything == activity
    assert found.runs[of_run.id] == of_run


# ---------------------------------------------------------------------------------------------------------------------
# The receiver's inbox


class Counting:
    """A client that counts its pipelines, and holds the first one back until it is told."""

    def __init__(self, client: Any) -> None:
        self.client, self.pipelines, self.open = client, 0, asyncio.Event()

    def pipeline(self, **settings: Any) -> AbstractAsyncContextManager[Any]:
        return self._pipeline(settings)

    @asynccontextmanager
    async def _pipeline(self, settings: Mapping[str, Any]) -> Any:
        self.pipelines += 1
        await self.open.wait()
        async with self.client.pipeline(**settings) as pipe:
            yield pipe


@asynccontextmanager
async def counting_inbox(url: str) -> Any:
    async with redis.asyncio.Redis.from_url(url) as connection:
        counting = Counting(connection)
        yield counting, RedisInbox(counting, message=MESSAGE)


async def one_round() -> None:
    """Every task that can go on has gone on."""
    for _ in range(5):
        await asyncio.sleep(0)


def test_notifications_that_arrive_together_share_a_round_trip(valkey: EmbeddedValkey, client: Any) -> None:
    async def main() -> int:
        async with counting_inbox(valkey.url) as (counting, inbox):
            puts = [asyncio.create_task(inbox.put(f"n{n}", envelope(body=str(n)))) for n in range(100)]
            await one_round()
            late = [asyncio.create_task(inbox.put(f"late{n}", envelope())) for n in range(100)]
            await one_round()
            assert not any(put.done() for put in puts), "an acknowledgement before it is stored"
            counting.open.set()
            await asyncio.gather(*puts, *late)
            return int(counting.pipelines)

    assert asyncio.run(main()) == 2
    assert client.hlen(INBOX) == client.zcard(ARRIVALS) == 200
    assert json.loads(client.hget(INBOX, "n7"))["body"] == "7"
    assert {doorbell.about for doorbell in rung(client)} == {f"{kind}{n}" for kind in ("n", "late") for n in range(100)}


def test_the_first_that_arrived_is_worked_on_first(valkey: EmbeddedValkey, client: Any) -> None:
    async def main() -> None:
        async with inbox_at(valkey.url) as inbox:
            await asyncio.gather(*(inbox.put(f"n{n}", envelope()) for n in range(20)))

    asyncio.run(main())
    # Celery takes from the right.
    assert [doorbell.about for doorbell in rung(client)] == [f"n{n}" for n in range(20)]


def test_a_sender_who_hung_up_takes_nobody_elses_notification_away(valkey: EmbeddedValkey, client: Any) -> None:
    async def main() -> list[Any]:
        async with counting_inbox(valkey.url) as (counting, inbox):
            puts = [asyncio.create_task(inbox.put(f"n{n}", envelope())) for n in range(5)]
            await one_round()
            puts[0].cancel()
            puts[3].cancel()
            await one_round()
            counting.open.set()
            answers = await asyncio.gather(*puts, return_exceptions=True)
            await inbox.put("after", envelope())
            return answers

    answers = asyncio.run(main())
    assert [type(answer) for answer in answers].count(asyncio.CancelledError) == 2
    assert {b"n1", b"n2", b"n4", b"after"} <= set(client.hkeys(INBOX))


def test_each_sender_hears_that_redis_is_away(tmp_path: Path) -> None:
    async def main() -> list[Any]:
        async with inbox_at(f"unix://{tmp_path}/nobody.sock") as inbox:
            answers = await asyncio.gather(*(inbox.put(f"n{n}", envelope()) for n in range(5)), return_exceptions=True)
            # Whoever was told does not wait.
            assert inbox.stalled_seconds == 0
            return answers

    assert [type(answer) for answer in asyncio.run(main())] == [Unavailable] * 5


def test_the_inbox_says_for_how_long_redis_has_not_answered(valkey: EmbeddedValkey) -> None:
    async def main() -> tuple[float, float]:
        async with counting_inbox(valkey.url) as (counting, inbox):
            put = asyncio.create_task(inbox.put("n1", envelope()))
            await one_round()
            waiting = inbox.stalled_seconds
            counting.open.set()
            await put
            await one_round()
            return waiting, inbox.stalled_seconds

    waiting, afterwards = asyncio.run(main())
    assert (waiting > 0, afterwards) == (True, 0)


def test_who_arrives_while_redis_fails_hears_it_at_once_and_does_not_wait_for_a_failure_of_their_own(
    valkey: EmbeddedValkey, client: Any
) -> None:
    async def main() -> tuple[list[Any], int]:
        async with counting_inbox(valkey.url) as (counting, inbox):
            first = asyncio.create_task(inbox.put("n1", envelope()))
            await one_round()
            behind = [asyncio.create_task(inbox.put(f"n{n}", envelope())) for n in range(2, 5)]
            await one_round()
            client.set(ARRIVALS, "not a sorted set")
            counting.open.set()
            return await asyncio.gather(first, *behind, return_exceptions=True), counting.pipelines

    answers, tried = asyncio.run(main())
    assert ([type(answer) for answer in answers], tried) == ([Unavailable] * 4, 1)


def test_the_inbox_goes_on_when_redis_is_back(valkey: EmbeddedValkey, client: Any) -> None:
    async def main() -> None:
        async with redis.asyncio.Redis.from_url(valkey.url) as connection:
            inbox = RedisInbox(connection, message=MESSAGE)
            # Given a server on which the write fails as a whole
            client.set(ARRIVALS, "not a sorted set")
            with pytest.raises(Unavailable):
                await inbox.put("n1", envelope())
            client.delete(ARRIVALS)
            await inbox.put("n2", envelope())

    asyncio.run(main())
    assert client.hexists(INBOX, "n2")


def test_the_outbox_and_the_due_list_are_where_their_names_say(redis_store: RedisStore) -> None:
    written = draft(redis_store)
    written.due[run_due("r1")] = EPOCH
    redis_store.commit(written, batch=batch("b1"))
    assert redis_store.client.hkeys(OUTBOX) == [b"b1"]
    assert redis_store.client.zrange(DUE, 0, -1) == [b"run:r1"]
    assert all(key.startswith(PREFIX.encode()) for key in redis_store.client.keys("*"))
