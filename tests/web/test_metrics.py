"""`GET /metrics`: who may, what it says, and that refused notifications are counted for good."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx
import pytest

from tests.web.conftest import Client, application
from tests.web.test_receiver import ALERT, PATH, body
from webhook.edge.ledger import SqlLedger, open_engine
from webhook.edge.migration import migrate


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
    first = Client(application(own_ledger))
    for sent in ("no JSON", "{}", "x" * 5000):
        first.post(PATH, content=sent)
    first.post(PATH, json=body(ALERT), headers={"origin": "http://evil"})
    # Written by whoever is scraped, and shown by any other process.
    first.get("/metrics")
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
        app.state.refused.count(400)

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
