"""Our own messages, answered by a real Celery worker."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from webhook.edge.queue import KEY_PREFIX, QUEUES, VISIBILITY_TIMEOUT_SECONDS, make_app, make_message, task_name
from webhook.edge.valkey import EmbeddedValkey
from webhook.ports import Doorbell, Errand

WAIT_SECONDS = 30

#: A worker with the tasks' names; each puts what it heard where the test can wait for it.
WORKER = """
import sys, redis
from webhook.edge.queue import make_app, task_name
from webhook.ports import Errand
url = sys.argv[1]
app, heard = make_app(url), redis.Redis.from_url(url)
for errand in Errand:
    def task(self, about, errand=errand):
        heard.rpush("heard", f"{errand} {about} {self.request.id} {self.request.delivery_info['routing_key']}")
    app.task(task, name=task_name(errand), bind=True)
app.finalize()
app.Worker(queues=["intake", "runs"], pool="solo", without_gossip=True, without_mingle=True, without_heartbeat=True,
           quiet=True, loglevel="WARNING").start()
"""


@pytest.fixture
def worker(valkey: EmbeddedValkey, client: Any, tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen([sys.executable, "-c", WORKER, valkey.url], stdout=log, stderr=log)
    yield process
    process.kill()
    process.wait()
    print((tmp_path / "log").read_text(errors="replace"))


def ring(client: Any, url: str, *doorbells: Doorbell) -> None:
    message = make_message(make_app(url))
    for doorbell in doorbells:
        client.lpush(*message(doorbell))


def hear(client: Any) -> list[str]:
    """The next errand that the worker answered."""
    found = client.blpop("heard", WAIT_SECONDS)
    assert found is not None, "the worker heard nothing"
    return str(found[1].decode()).split(" ")


def test_a_real_worker_answers_each_errand_with_its_id(
    worker: subprocess.Popen[bytes], valkey: EmbeddedValkey, client: Any
) -> None:
    ids = {Errand.INTAKE: "19c0ffee", Errand.RECONSIDER: "restart-web|wéb1,'\"", Errand.EXECUTE: "run1"}
    ids[Errand.PLAN] = "run2"
    ring(client, valkey.url, *(Doorbell(errand=errand, about=about) for errand, about in ids.items()))
    heard = [hear(client) for _ in ids]
    assert {errand: about for errand, about, _, _ in heard} == {str(errand): about for errand, about in ids.items()}
    assert {errand: queue for errand, _, _, queue in heard} == {str(errand): name for errand, name in QUEUES.items()}
    assert len({task for _, _, task, _ in heard}) == len(ids), "each message has an id of its own"

    # The same doorbell again is another message, and is heard again: what that means is the store's affair.
    ring(client, valkey.url, *[Doorbell(errand=Errand.INTAKE, about=str(number)) for number in range(20)])
    assert [hear(client)[1] for _ in range(20)] == [str(number) for number in range(20)], "in the order of arrival"

    # Messages that are done leave nothing behind.
    worker.send_signal(signal.SIGTERM)
    worker.wait(WAIT_SECONDS)
    assert client.hlen(f"{KEY_PREFIX}unacked") == 0
    assert all(key.startswith(KEY_PREFIX.encode()) for key in client.keys("*"))


def test_what_celery_publishes_itself_and_what_we_craft_differ_in_nothing_that_matters(
    valkey: EmbeddedValkey, client: Any
) -> None:
    app = make_app(valkey.url)
    with app.connection_for_write() as connection:
        app.send_task(task_name(Errand.EXECUTE), args=["run1"], queue="runs", connection=connection)
    ring(client, valkey.url, Doorbell(errand=Errand.EXECUTE, about="run1"))
    ours, theirs = (json.loads(message) for message in client.lrange(f"{KEY_PREFIX}runs", 0, -1))
    assert ours["body"] == theirs["body"]
    assert set(ours) == set(theirs)
    assert set(ours["headers"]) == set(theirs["headers"])
    # Each message has its own ids; the others are for people, and for results, which nobody asks for.
    varies = {"id", "root_id", "argsrepr", "kwargsrepr", "origin", "ignore_result"}
    for name in set(theirs["headers"]) - varies:
        assert ours["headers"][name] == theirs["headers"][name], name
    assert ours["properties"]["body_encoding"] == theirs["properties"]["body_encoding"]
    assert ours["properties"]["delivery_mode"] == theirs["properties"]["delivery_mode"]
    assert ours["properties"]["delivery_info"]["routing_key"] == "runs"


def test_a_message_holds_an_errand_and_an_id_and_no_more() -> None:
    queue, message = make_message(make_app("redis://"))(Doorbell(errand=Errand.EXECUTE, about="run1"))
    assert queue == f"{KEY_PREFIX}runs"
    assert len(message) < 1200


def test_every_errand_has_a_queue_and_runs_have_their_own() -> None:
    assert set(QUEUES) == set(Errand)
    assert QUEUES[Errand.EXECUTE] not in (QUEUES[Errand.INTAKE], QUEUES[Errand.RECONSIDER])


def test_the_settings_that_lose_or_double_work_by_default_are_set() -> None:
    settings = make_app("redis://").conf
    assert settings.task_acks_late and settings.task_reject_on_worker_lost
    assert settings.worker_prefetch_multiplier == 1
    assert settings.task_ignore_result and settings.result_backend is None
    assert settings.accept_content == ["json"] and settings.task_serializer == "json"
    assert settings.worker_cancel_long_running_tasks_on_connection_loss is False
    options = settings.broker_transport_options
    assert options["visibility_timeout"] == VISIBILITY_TIMEOUT_SECONDS >= 24 * 3600
    assert options["unacked_restore_interval"] <= 10 and options["unacked_restore_throttle"] == 1
    assert options["global_keyprefix"] == KEY_PREFIX
    assert options["socket_timeout"] and options["socket_keepalive"] and options["health_check_interval"]


def test_a_broken_message_on_the_queue_does_not_stop_the_worker(
    worker: subprocess.Popen[bytes], valkey: EmbeddedValkey, client: Any
) -> None:
    # Given messages that are no JSON task of ours, as a stranger on the same Redis could leave them
    _, good = make_message(make_app(valkey.url))(Doorbell(errand=Errand.INTAKE, about="n0"))
    unknown = json.loads(good)
    unknown["headers"]["task"] = "alertmend.unknown"
    pickled = json.loads(good)
    pickled["content-type"] = "application/x-python-serialize"
    pickled["body"] = "gASVHQAAAAAAAACMAm9zlIwGc3lzdGVtlJOUjARleGl0lIWUUpQu"
    for message in (unknown, pickled):
        client.lpush(f"{KEY_PREFIX}intake", json.dumps(message))
    # When a good one comes after them
    ring(client, valkey.url, Doorbell(errand=Errand.INTAKE, about="n1"))
    # Then it is heard, and nothing of theirs was run
    assert hear(client)[1] == "n1"
    assert worker.poll() is None


def test_the_broker_is_told_of_a_socket_in_its_own_words() -> None:
    assert make_app("unix:///tmp/x.sock?db=0").conf.broker_url == "redis+socket:///tmp/x.sock?db=0"
    assert make_app("redis://host:1/2").conf.broker_url == "redis://host:1/2"


def test_a_doorbell_can_be_made_while_the_broker_is_away() -> None:
    queue, _ = make_message(make_app("unix:///nowhere/nobody.sock"))(Doorbell(errand=Errand.INTAKE, about="n"))
    assert queue == f"{KEY_PREFIX}intake"
