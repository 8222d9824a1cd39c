"""The laws of incidents, held against everything that can happen, on a real server."""

from __future__ import annotations

import base64
import json
from typing import Any, ClassVar

import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from tests.flow.machine import Machine
from webhook.core.due import line_due, pair_due
from webhook.core.incident import Incident
from webhook.edge.queue import KEY_PREFIX, make_app, make_message, task_name
from webhook.edge.store import RedisStore
from webhook.edge.store.keys import DUE, lease_key, line_key
from webhook.ports import Errand

MESSAGE = make_message(make_app("redis://"))


class OnRedis(Machine):
    """What a worker would do with Celery's messages is done here."""

    client: ClassVar[Any]

    def make_store(self) -> RedisStore:
        self.client.flushall()
        self.waiting: dict[Errand, list[str]] = {errand: [] for errand in Errand}
        return RedisStore(client=self.client, message=MESSAGE)

    def rung(self, errand: Errand) -> list[str]:
        names = {task_name(kind): kind for kind in Errand}
        for queue in ("intake", "runs"):
            while (message := self.client.rpop(KEY_PREFIX + queue)) is not None:
                wire = json.loads(message)
                [[about], *_] = json.loads(base64.b64decode(wire["body"]))
                self.waiting[names[wire["headers"]["task"]]].append(about)
        found, self.waiting[errand] = self.waiting[errand], []
        return found

    def forget_leases(self) -> None:
        for run in self.scene.runs:
            self.client.delete(lease_key(run.id))

    def due(self, key: str) -> bool:
        return self.client.zscore(DUE, key) is not None

    def waits(self, line: str, incident: Incident) -> bool:
        member = pair_due(incident.pair).removeprefix("pair:")
        return self.client.zscore(line_key(line), member) is not None or self.due(line_due(line))


def test_the_laws_hold_on_a_real_server(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(OnRedis, "client", client, raising=False)
    # The notification itself stands in the scene; what is put into the inbox is its id.
    run_state_machine_as_test(OnRedis, settings=settings(max_examples=15, stateful_step_count=30, deadline=None))
