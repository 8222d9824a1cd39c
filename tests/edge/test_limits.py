"""Limits that are taken together: however many processes decide at once, none is exceeded and nothing is paid twice."""

from __future__ import annotations

import multiprocessing
from itertools import count
from typing import Any

import redis

from tests.flow import scene as scenes
from tests.flow.scene import Scene, alert, rule
from webhook.core.rule import Guards, Limits, RateLimit
from webhook.core.run import Pair
from webhook.core.state import Keys
from webhook.edge.queue import make_app, make_message
from webhook.edge.store import RedisStore
from webhook.edge.valkey import EmbeddedValkey

PROCESSES, NOTIFICATIONS = 24, 3
HOUR = scenes.timedelta(hours=1)
RULES = (
    rule("first", guards=Guards(rule_rate_limit=RateLimit(count=4, per=HOUR), lock=("$labels.cluster",))),
    rule("second", match='alertname="Other"', guards=Guards(concurrency=3)),
)
LIMITS = Limits(concurrency=6, rate_limit=RateLimit(count=5, per=HOUR))
MESSAGE = make_message(make_app("redis://"))


def scene_at(url: str, name: str) -> Scene:
    store = RedisStore(client=redis.Redis.from_url(url), message=MESSAGE)
    scene = Scene(rules=RULES, limits=LIMITS, store=store)  # type: ignore[arg-type]
    ids = count(1)
    # A process's own ids, and own hosts.
    scene.new_id = lambda: f"{name}-{next(ids)}"  # type: ignore[method-assign]
    object.__setattr__(scene.intake, "new_id", scene.new_id)
    return scene


def decide(url: str, number: int, gate: Any) -> None:
    scene = scene_at(url, f"p{number}")
    gate.wait()
    for place in range(NOTIFICATIONS):
        host, cluster = f"h{number * NOTIFICATIONS + place}", f"c{number % 8}"
        scene.delivers(alert(host, name="Down" if place % 2 else "Other", cluster=cluster))


def test_no_limit_is_exceeded_by_24_processes_and_what_is_held_spends_nothing(
    valkey: EmbeddedValkey, client: Any, monkeypatch: Any
) -> None:
    hosts = frozenset(f"h{number}" for number in range(PROCESSES * NOTIFICATIONS))
    monkeypatch.setattr(scenes, "HOSTS", hosts)
    context = multiprocessing.get_context("fork")
    gate = context.Barrier(PROCESSES)
    workers = [context.Process(target=decide, args=(valkey.url, number, gate)) for number in range(PROCESSES)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(120)
    assert [worker.exitcode for worker in workers] == [0] * PROCESSES
    store = RedisStore(client=client, message=MESSAGE)
    pairs = frozenset(Pair(name, host) for name in ("first", "second") for host in hosts)
    found = store.read(Keys(pairs=pairs))
    assert len(found.everything.starts) == len(found.everything.active) == 5
    assert len(found.rules["first"].starts) <= 4
    assert len(found.rules["second"].active) <= 3
    locked = [state.lock for state in found.targets.values() if state.lock]
    assert sorted(locked) == sorted(found.everything.active)
    clusters = store.read(Keys(locks=frozenset(f"c{number}" for number in range(8)))).locks
    assert len(clusters) == len(found.rules["first"].active)
    # Every alert has its incident, and each that has no run waits.
    incidents = [state.incident for state in found.pairs.values() if state.incident]
    assert len(incidents) == PROCESSES * NOTIFICATIONS
    assert all(incident.run or incident.hold for incident in incidents)
