"""A run followed over HTTP: as it goes, afterwards, from anywhere in between, by the slow and by the vanished."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn

from tests.core.test_transcript import FINISHED, NOON, done, printed, transcript
from tests.flow.twin import MemoryFollower, MemoryStore
from tests.web.conftest import Client, application
from webhook.core.run import Run, RunState
from webhook.core.transcript import tell
from webhook.edge.ledger import SqlLedger, open_engine
from webhook.edge.migration import migrate
from webhook.errors import Unavailable
from webhook.ports import Batch
from webhook.web import live

SAID = transcript(printed("PLAY\n"), done("Restart"), printed("RECAP\n")).passages
RUNNING = replace(FINISHED, state=RunState.RUNNING, outcome=None, reason="", proving_at=None, finished_at=None)


@dataclass
class Site:
    """An application, what its follower hears, and what is on the record."""

    client: Client
    store: MemoryStore
    ledger: SqlLedger

    def begins(self, id: str) -> Run:
        run = replace(RUNNING, id=id)
        draft = _draft(self.store)
        draft.put_run(replace(run, state=RunState.QUEUED, started_at=None))
        assert self.store.commit(draft)
        draft = _draft(self.store)
        draft.put_run(run)
        assert self.store.commit(draft)
        self.record(run)
        return run

    def says(self, id: str) -> None:
        self.store.tell(id, [tell(passage) for passage in SAID], left_out=[])

    def ends(self, id: str, *, is_recorded: bool = True) -> None:
        run = replace(FINISHED, id=id)
        for state in (replace(run, state=RunState.PROVING, finished_at=None), run):
            draft = _draft(self.store)
            draft.put_run(state)
            assert self.store.commit(draft)
        if is_recorded:
            self.record(run, SAID)

    def record(self, run: Run, said: Any = ()) -> None:
        transcripts = {run.id: said} if said else {}
        self.ledger.append(Batch(id=f"{run.id}:{run.state}", at=NOON, events=(), runs=(run,), transcripts=transcripts))

    def events(self, id: str, **headers: str) -> list[dict[str, Any]]:
        answer = self.client.get(
            f"/api/v1/runs/{id}/events", headers={n.replace("_", "-"): v for n, v in headers.items()}
        )
        assert answer.status_code == 200, answer.text
        return parsed(answer.text)


def _draft(store: MemoryStore) -> Any:
    from webhook.core.state import Draft, Keys

    return Draft.of(store.read(Keys()))


def parsed(text: str) -> list[dict[str, Any]]:
    """The events of a stream that has ended."""
    found = []
    for block in text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
        if "id" in fields:
            found.append({**fields, "data": json.loads(fields["data"])})
    return found


def ids(events: list[dict[str, Any]]) -> list[str]:
    return [event["id"] for event in events]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    ledger, follower = SqlLedger(engine=open_engine(f"sqlite:///{tmp_path / 'alertmend.db'}")), MemoryFollower()
    migrate(ledger.engine)
    yield Site(client=Client(application(ledger, follower=follower)), store=follower.store, ledger=ledger)
    ledger.engine.dispose()


WHOLE = ["0-2", "0-3", "1-1", "1-2", "1-3", "2-1", "5-1"]


# ---------------------------------------------------------------------------------------------------------------------
# One account of a run


def test_a_run_that_ends_meanwhile_is_told_to_its_end(site: Site) -> None:
    site.begins("r1")
    heard: list[Any] = []
    listener = threading.Thread(target=lambda: heard.extend(site.events("r1")))
    listener.start()
    site.says("r1")
    site.ends("r1")
    listener.join()
    assert ids(heard) == WHOLE
    assert [event["event"] for event in heard] == ["state", "state", "output", "task", "output", "state", "end"]
    assert heard[2]["data"]["text"] == "PLAY\n"
    assert heard[3]["data"]["task"]["status"] == "ok"
    assert heard[-1]["data"] == {
        "at": "2026-01-31T12:03:00Z",
        "state": "finished",
        "outcome": "fixed",
        "reason": "status 200",
    }


def test_afterwards_it_is_told_from_the_record_word_for_word(site: Site) -> None:
    site.begins("r1")
    site.says("r1")
    site.ends("r1", is_recorded=False)
    live_text = site.client.get("/api/v1/runs/r1/events").text
    site.record(replace(FINISHED, id="r1"), SAID)
    site.store.streams.clear()
    assert parsed(site.client.get("/api/v1/runs/r1/events").text) == parsed(live_text)


@pytest.mark.parametrize("is_recorded", [False, True])
def test_one_goes_on_after_any_event_without_gap_or_repeat(site: Site, is_recorded: bool) -> None:
    site.begins("r1")
    site.says("r1")
    site.ends("r1", is_recorded=is_recorded)
    for place, last in enumerate(WHOLE[:-1]):
        assert ids(site.events("r1", last_event_id=last)) == WHOLE[place + 1 :]
        assert ids(parsed(site.client.get(f"/api/v1/runs/r1/events?after={last}").text)) == WHOLE[place + 1 :]


def test_who_has_the_end_is_told_to_stop_asking(site: Site) -> None:
    site.begins("r1")
    site.ends("r1")
    answer = site.client.get("/api/v1/runs/r1/events", headers={"Last-Event-ID": "5-1"})
    assert (answer.status_code, answer.content) == (204, b"")


def test_a_gap_is_told(site: Site) -> None:
    site.begins("r1")
    late = [replace(passage, number=passage.number + 6) for passage in SAID]
    site.store.tell("r1", [tell(passage) for passage in late], left_out=[])
    site.ends("r1", is_recorded=False)
    found = site.events("r1", last_event_id="1-2")
    assert [(event["id"], event["event"]) for event in found][:2] == [("1-6", "gap"), ("1-7", "output")]
    assert found[0]["data"] == {"left_out": 4}


def test_a_run_whose_stream_was_lost_is_told_from_the_record_once_it_has_ended(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "HEARTBEAT_SECONDS", 0.05)
    monkeypatch.setattr(live, "LOOK_UP_SECONDS", 0.01)
    site.begins("r1")
    site.store.streams.clear()
    heard: list[Any] = []
    listener = threading.Thread(target=lambda: heard.extend(site.events("r1")))
    listener.start()
    site.record(replace(FINISHED, id="r1"), SAID)
    listener.join()
    assert ids(heard) == WHOLE


# ---------------------------------------------------------------------------------------------------------------------
# What goes around it


def test_it_is_a_stream_that_no_proxy_keeps_or_holds_back(site: Site) -> None:
    site.begins("r1")
    site.ends("r1", is_recorded=False)
    answer = site.client.get("/api/v1/runs/r1/events")
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-accel-buffering"] == "no"
    assert answer.text.startswith("retry: 1000\n\n")


def test_a_comment_comes_when_nothing_is_said(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "HEARTBEAT_SECONDS", 0.05)
    monkeypatch.setattr(live, "LOOK_UP_SECONDS", 0.01)
    site.begins("r1")
    asked = threading.Event()
    original = live.RunAccount.ended

    async def ended(self: Any, id: str) -> Any:
        # Asked at the beginning, and again after each silence.
        silences.append(id)
        if len(silences) > 3:
            asked.set()
        return await original(self, id)

    silences: list[str] = []
    monkeypatch.setattr(live.RunAccount, "ended", ended)
    answers: list[httpx.Response] = []
    listener = threading.Thread(target=lambda: answers.append(site.client.get("/api/v1/runs/r1/events")))
    listener.start()
    assert asked.wait(20)
    site.ends("r1", is_recorded=False)
    listener.join()
    assert ": nothing new\n\n" in answers[0].text
    assert ids(parsed(answers[0].text)) == ["0-2", "0-3", "2-1", "5-1"]


@pytest.mark.parametrize("id", ["1", "abc", "1-1-1", "-1", "1-99999999999999999999", "x" * 1000])
def test_an_id_that_no_event_has_is_refused_in_words(site: Site, id: str) -> None:
    site.begins("r1")
    answer = site.client.get("/api/v1/runs/r1/events", headers={"Last-Event-ID": id})
    assert answer.status_code == 400
    assert "they look like 1-42" in answer.json()["error"] and len(answer.json()["error"]) < 200


def test_a_run_that_nobody_knows_is_a_404(site: Site) -> None:
    for path in ("", "/events", "/output.txt"):
        assert site.client.get(f"/api/v1/runs/nope{path}").status_code == 404


def test_a_run_that_is_not_on_the_record_yet_can_be_followed(site: Site) -> None:
    run = replace(RUNNING, id="r1")
    draft = _draft(site.store)
    draft.put_run(run)
    assert site.store.commit(draft)
    site.says("r1")
    assert site.client.get("/api/v1/runs/r1/output.txt").text == "PLAY\nRECAP\n"


def test_a_head_of_it_ends_at_once(site: Site) -> None:
    site.begins("r1")
    answer = site.client.request("HEAD", "/api/v1/runs/r1/events")
    assert (answer.status_code, answer.content) == (200, b"")


def test_a_redis_that_is_away_is_said_and_what_is_on_the_record_is_told_all_the_same(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def since(self: Any, run: str, after: Any) -> Any:
        raise Unavailable("Redis", "connection refused")

    site.begins("r1")
    site.begins("r2")
    site.ends("r2")
    monkeypatch.setattr(MemoryFollower, "since", since)
    assert ids(site.events("r2")) == WHOLE
    monkeypatch.setattr(MemoryFollower, "said", lambda self, run: since(self, run, None))
    answer = site.client.get("/api/v1/runs/r1/output.txt")
    assert (answer.status_code, answer.json()["error"]) == (503, "Redis is not available: connection refused")
    shown = site.client.get("/api/v1/runs/r1").json()
    assert (shown["state"], shown["output"]) == ("running", "")


# ---------------------------------------------------------------------------------------------------------------------
# The whole of a run


def test_a_run_is_shown_with_what_it_said_so_far_and_in_the_end(site: Site) -> None:
    site.begins("r1")
    site.says("r1")
    shown = site.client.get("/api/v1/runs/r1").json()
    assert (shown["state"], shown["output"]) == ("running", "PLAY\nRECAP\n")
    assert [task["name"] for task in shown["task_results"]] == ["Restart"]
    site.ends("r1")
    shown = site.client.get("/api/v1/runs/r1").json()
    assert (shown["state"], shown["outcome"], shown["output"]) == ("finished", "fixed", "PLAY\nRECAP\n")
    assert site.client.get("/api/v1/runs/r1/output.txt").text == "PLAY\nRECAP\n"


# ---------------------------------------------------------------------------------------------------------------------
# Over a real connection


@contextmanager
def serving(client: Client) -> Iterator[int]:
    """The application on a port of its own."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        config = uvicorn.Config(client.app, log_config=None, lifespan="off", loop="asyncio", http="httptools")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join()


def _asks(port: int, id: str) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port))
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.sendall(f"GET /api/v1/runs/{id}/events HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    return connection


def _status(port: int, id: str) -> int:
    with httpx.stream("GET", f"http://127.0.0.1:{port}/api/v1/runs/{id}/events", timeout=20) as answer:
        return answer.status_code


def _until(question: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not question():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


def test_more_than_there_is_room_for_are_told_to_come_again(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "MAX_FOLLOWERS", 2)
    site.begins("r1")
    with serving(site.client) as port, closing(_asks(port, "r1")) as first, closing(_asks(port, "r1")) as second:
        assert first.recv(12) == second.recv(12) == b"HTTP/1.1 200"
        assert _status(port, "r1") == 503
        # A place is free as soon as one vanishes
        first.close()
        _until(lambda: _status(port, "r1") == 200)
        site.ends("r1")


def test_one_who_takes_nothing_is_let_go(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "MAX_FOLLOWERS", 1)
    monkeypatch.setattr(live, "SEND_SECONDS", 0.2)
    site.begins("r1")
    site.begins("r2")
    loud = [replace(printed("x" * 60_000), number=number) for number in range(1, 200)]
    with serving(site.client) as port, closing(_asks(port, "r1")):
        # It reads nothing, and far more is said than all buffers hold
        site.store.tell("r1", [tell(passage) for passage in loud], left_out=[])
        _until(lambda: _status(port, "r2") == 200)
        site.ends("r2")
