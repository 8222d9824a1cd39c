"""`GET /metrics`: who may, what it says, and that refused notifications are counted for good."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx
import pytest

from tests.web.conftest import Client, application
from tests.web.test_receiver import ALERT, PATH, body
from webhook.core.metric import Counts
from webhook.edge.ledger import SqlLedger, open_engine
from webhook.edge.migration import migrate
from webhook.errors import Unavailable
from webhook.web.metrics import Refused


@pytest.fixture
def own_ledger(tmp_path: Path) -> SqlLedger:
    """One that may be written to."""
    engine = open_engine(f"sqlite:///{tmp_path / 'alertmend.db'}")
    migrate(engine)
    return SqlLedger(engine=engine)


def shown(answer: httpx.Response) -> dict[str, float]:
    lines = [line for line in answer.text.splitlines() if line.startswith("alertmend_")]
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


def test_it_denies_who_may_not_look(guarded: Client) -> None:
    assert guarded.get("/metrics").status_code == 401


def test_it_rejects_post(client: Client) -> None:
    assert client.post("/metrics").status_code == 405


def test_counters_without_labels_are_there_before_anything_was_counted(client: Client) -> None:
    assert shown(client.get("/metrics"))["alertmend_alerts_unmatched_total"] == 0


def test_refused_notifications_are_counted_by_code_and_outlive_the_process(own_ledger: SqlLedger) -> None:
    app = application(own_ledger)
    first = Client(app)
    for sent in ("no JSON", "{}", "x" * 5000):
        first.post(PATH, content=sent)
    first.post(PATH, json=body(ALERT), headers={"origin": "http://evil"})
    # Who looks waits for nobody who writes: a database that is locked takes seconds to say so.
    assert not [name for name in shown(first.get("/metrics")) if "notifications" in name and "code" in name]
    app.state.refused.write()
    found = shown(Client(application(own_ledger)).get("/metrics"))
    assert {name: value for name, value in found.items() if "notifications" in name} == {
        'alertmend_notifications_total{code="400"}': 2,
        'alertmend_notifications_total{code="403"}': 1,
        'alertmend_notifications_total{code="413"}': 1,
    }


def test_what_could_not_be_written_down_is_kept_until_it_can(own_ledger: SqlLedger) -> None:
    app = application(own_ledger)
    file = Path(str(own_ledger.engine.url.database))

    async def refuse() -> None:
        app.state.refused.count(400, "no JSON")

    asyncio.run(refuse())
    own_ledger.engine.dispose()
    hidden = file.with_suffix(".away")
    file.rename(hidden)
    file.mkdir()
    app.state.refused.write()
    own_ledger.engine.dispose()
    file.rmdir()
    hidden.rename(file)
    app.state.refused.write()
    assert sum(own_ledger.tally().counts.values()) == 1


def test_what_could_not_be_written_down_is_tried_again_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("webhook.web.metrics._LATER_SECONDS", 0.01)
    tried: list[Counts] = []

    def add(counts: Counts) -> None:
        tried.append(counts)
        if len(tried) < 3:
            raise Unavailable("the audit database", "locked")

    async def refuse() -> None:
        refused = Refused(add=add)
        refused.count(400, "no JSON")
        while len(tried) < 3:
            await asyncio.sleep(0.01)

    asyncio.run(asyncio.wait_for(refuse(), 60))
    assert [list(counts.values()) for counts in tried] == [[1], [1], [1]]
