"""Pages: complete without JavaScript, live with it, for whom they are meant, and never obeying what they show."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import bcrypt
import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Route

from tests.flow.scene import Scene, alert, rule
from tests.web.conftest import Client
from tests.web.test_receiver import ALERT, body
from webhook.core.rule import Breaker, Guards, Mode
from webhook.core.run import RunState, TaskResult, TaskStatus
from webhook.edge.ledger import SqlLedger, open_engine
from webhook.edge.migration import migrate
from webhook.edge.webconfig import Role, WebConfig
from webhook.errors import Unavailable
from webhook.ports import Batch
from webhook.rehearsal.memory import MemoryLedger
from webhook.web.answers import endpoint
from webhook.web.auth import Authenticator
from webhook.web.pages import page
from webhook.web.pages.bar import Bar
from webhook.web.pages.forms import COOKIE
from webhook.web.pages.render import POLICY
from webhook.web.pages.source import MOST_BYTES, read_source
from webhook.web.pages.tasks import branches_of

SCRIPT = "<script>alert(1)</script>"
HOSTILE = [
    SCRIPT,
    '"><img src=x onerror=alert(1)>',
    "javascript:alert(1)",
    "{{ 7 * 7 }}",
    "{% raw %}",
    "</pre></textarea>",
]
TOKEN = "t" * 43
TASK = TaskResult(
    name="", host="web1", status=TaskStatus.OK, started_at=datetime(2026, 1, 31, tzinfo=UTC), duration_seconds=0.1
)
BREAKER = Breaker(failures=3, window=timedelta(hours=1), open_for=timedelta(hours=1))
PAGES = ["/", "/incidents", "/runs", "/approvals", "/rules", "/audit", "/audit/verify", "/explain", "/pauses"]


@dataclass
class Both(MemoryLedger):
    """What is written goes to the database, too, from which pages are read."""

    sql: Any = None

    def append(self, batch: Batch) -> bool:
        self.sql.append(batch)
        return super().append(batch)


@dataclass
class Elements(HTMLParser):
    """Every element of a page with its attributes."""

    found: list[tuple[str, dict[str, str | None]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[SqlLedger]:
    engine = open_engine(f"sqlite:///{tmp_path / 'alertmend.db'}")
    migrate(engine)
    yield SqlLedger(engine=engine)
    engine.dispose()


@pytest.fixture
def scene(ledger: SqlLedger) -> Scene:
    """A run that helped, one that waits for people, and an alert about nobody."""
    scene = Scene(
        rules=(rule(name="ask", match="alertname=Slow", mode=Mode.APPROVE), rule(guards=Guards(breaker=BREAKER))),
        ledger=Both(sql=ledger),
    )
    scene.delivers(alert())
    scene.work()
    scene.delivers(alert("web2", name="Slow"))
    scene.delivers(alert("all"))
    return scene


@pytest.fixture(scope="module")
def users() -> WebConfig:
    hashed = {name: bcrypt.hashpw(name.encode(), bcrypt.gensalt(4)).decode() for name in ("alice", "bob")}
    return WebConfig(users=hashed, roles={Role.OPERATOR: frozenset({"alice"}), Role.VIEWER: frozenset({"bob"})})


def named(name: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{name}:{name}".encode()).decode()}


def elements(answer: httpx.Response) -> list[tuple[str, dict[str, str | None]]]:
    parser = Elements()
    parser.feed(answer.text)
    return parser.found


def every_page(scene: Scene) -> list[str]:
    incidents, runs = scene.incidents, scene.runs
    ones = [*(f"/incidents/{one.id}" for one in incidents), *(f"/runs/{run.id}" for run in runs), "/rules/ask"]
    return [*PAGES, *ones, *(f"/audit/{seq}" for seq in range(1, 6))]


def send(client: Client, path: str, *, token: str | None = TOKEN, **fields: str) -> httpx.Response:
    sent = {**fields, **({"token": token} if token is not None else {})}
    return client.post(path, data=sent, headers={"Cookie": f"{COOKIE}={TOKEN}"})


def test_every_page_is_there_and_keeps_strangers_scripts_out(client: Client, scene: Scene) -> None:
    for path in every_page(scene):
        answer = client.get(path)
        assert answer.status_code == 200, f"{path}: {answer.text[:300]}"
        assert answer.headers["content-security-policy"] == POLICY, path
        assert answer.headers["x-content-type-options"] == "nosniff"


def test_no_page_holds_a_script_or_a_style_of_its_own(client: Client, scene: Scene) -> None:
    for path in every_page(scene):
        for tag, attributes in elements(client.get(path)):
            assert tag != "style" and "style" not in attributes, path
            assert not any(name.startswith("on") for name in attributes), path
            assert tag != "script" or (attributes.get("src") or "").startswith("/static/"), path


@pytest.mark.parametrize("text", HOSTILE)
def test_what_a_label_says_is_shown_and_not_obeyed(client: Client, scene: Scene, text: str) -> None:
    scene.delivers(alert("web3", evil=text))
    scene.delivers(alert(text))
    for path in [*every_page(scene), *(f"/audit/{seq}" for seq in range(6, 20))]:
        answer = client.get(path)
        if answer.status_code == 404:
            continue
        scripts = [attributes for tag, attributes in elements(answer) if tag == "script"]
        assert len(scripts) == 1, path
        assert not any("onerror" in attributes for _, attributes in elements(answer)), path
        assert SCRIPT not in answer.text


def test_a_page_is_kept_from_who_is_not_known_and_from_who_may_not_look(
    client_with: Callable[..., Client], users: WebConfig, scene: Scene
) -> None:
    client = client_with(users)
    for path in every_page(scene):
        assert client.get(path, headers={"Accept": "text/html"}).status_code in (303, 401), path
        assert client.get(path, headers=named("bob")).status_code == 200, path


def test_who_may_only_look_sees_no_form_that_acts_and_can_send_none(
    client_with: Callable[..., Client], users: WebConfig, scene: Scene
) -> None:
    client, run = client_with(users), scene.runs[-1].id
    assert "<button>Approve" not in client.get("/approvals", headers=named("bob")).text
    assert "Approve</button>" in client.get("/approvals", headers=named("alice")).text
    for path in (f"/runs/{run}/approve", f"/runs/{run}/reject", f"/runs/{run}/cancel", "/pauses"):
        headers = {**named("bob"), "Cookie": f"{COOKIE}={TOKEN}"}
        answer = client.post(path, data={"token": TOKEN, "comment": "x", "for": "1h"}, headers=headers)
        assert answer.status_code == 403, path


def test_a_form_of_another_site_is_refused(client: Client, scene: Scene) -> None:
    path, run = f"/runs/{scene.runs[-1].id}/approve", scene.runs[-1].id
    assert send(client, path, token=None, comment="x").status_code == 403
    assert send(client, path, token="u" * 43, comment="x").status_code == 403
    assert client.post(path, data={"token": TOKEN, "comment": "x"}).status_code == 403
    headers = {"Cookie": f"{COOKIE}={TOKEN}", "Origin": "http://evil.example"}
    assert client.post(path, data={"token": TOKEN, "comment": "x"}, headers=headers).status_code == 403
    assert scene.store.records[("run", run)].approvals == ()


def test_an_approval_on_the_page_lets_the_run_go_under_a_name(client: Client, scene: Scene) -> None:
    run = scene.runs[-1].id
    answer = send(client, f"/runs/{run}/approve", comment="because")
    assert (answer.status_code, answer.headers["location"]) == (303, f"/runs/{run}")
    scene.keep_up()
    scene.work()
    assert [(word.by, word.comment) for word in scene.ledger.runs[run].approvals] == [("anonymous", "because")]


def test_a_comment_is_asked_for(client: Client, scene: Scene) -> None:
    assert send(client, f"/runs/{scene.runs[-1].id}/reject", comment=" ").status_code == 400


def test_a_pause_is_made_and_ended(client: Client, scene: Scene) -> None:
    assert send(client, "/pauses", matchers='job="web"', comment="maintenance", **{"for": "2h"}).status_code == 303
    [pause] = scene.people.pauses()
    assert "maintenance" in client.get("/").text
    assert send(client, f"/pauses/{pause.id}/resume", comment="done").status_code == 303
    assert scene.people.pauses() == ()


def test_everything_is_paused_only_by_who_says_so(client: Client, scene: Scene) -> None:
    asked = {"matchers": "", "comment": "stop", "for": "1h"}
    assert send(client, "/pauses", **asked).status_code == 400
    assert send(client, "/pauses", **asked, everything="yes").status_code == 303
    assert len(scene.people.pauses()) == 1


@pytest.mark.parametrize(
    "asked", ["alertname=Down\ninstance=web3", '{"labels": {"alertname": "Down", "instance": "web3"}}']
)
def test_explain_says_what_would_be_decided(client: Client, scene: Scene, asked: str) -> None:
    answer = send(client, "/explain", asked=asked)
    assert answer.status_code == 200
    assert "checks" in answer.text


def test_what_cannot_be_explained_stays_in_the_form_with_the_reason(client: Client, scene: Scene) -> None:
    answer = send(client, "/explain", asked="nothing like it")
    assert answer.status_code == 400
    assert ">nothing like it</textarea>" in answer.text
    assert "write labels as name=value" in answer.text


def test_a_notification_of_many_alerts_can_be_explained(client: Client, scene: Scene) -> None:
    alerts = [{**ALERT, "labels": {"alertname": "Down", "instance": f"web{i}", "x": "%" * 900}} for i in range(50)]
    answer = send(client, "/explain", asked=json.dumps(body(*alerts)))
    assert answer.status_code == 200, answer.text[:300]
    assert send(client, "/explain", asked="a" * 1_100_000).status_code == 413


def test_the_stream_of_a_page_is_the_part_that_the_page_was_built_from(client: Client, scene: Scene) -> None:
    path = f"/incidents/{scene.incidents[0].id}"
    part = first_part(client.app, path)
    assert "Run ended" in part
    page = re.sub(r">[^<>]* ago<", "><", client.get(path).text)
    assert re.sub(r">[^<>]* ago<", "><", part) in page


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n"])
def test_a_label_cannot_speak_for_the_stream(client: Client, scene: Scene, end: str) -> None:
    scene.delivers(alert("web3", evil=f"before{end}event: over{end}{end}after"))
    lines = first_part(client.app, f"/incidents/{scene.incidents[-1].id}").splitlines()
    assert "event: over" in lines
    assert any(line.startswith("after") for line in lines)


def test_a_run_that_waits_for_people_says_which_alert_it_is_for(client: Client, scene: Scene) -> None:
    text = client.get(f"/runs/{scene.runs[-1].id}").text
    assert "Why it would run" in text
    assert "Because of <strong>Slow</strong>" in text


def test_a_run_says_when_its_worker_is_not_heard_of(client: Client, scene: Scene) -> None:
    run = replace(scene.runs[0], id="r1", state=RunState.RUNNING, outcome=None, finished_at=None, owner="w1:1")
    scene.ledger.append(Batch(id="b1", at=run.created_at, events=(), runs=(run,)))
    assert "w1:1, <strong>not heard of</strong>" in client.get("/runs/r1").text
    scene.store.renew(["r1"], owner="w1:1", lease=timedelta(seconds=8))
    assert "not heard of" not in client.get("/runs/r1").text


def test_the_hash_of_a_playbook_is_that_of_the_whole_file(scene: Scene, tmp_path: Path) -> None:
    content = b"# long\n" * MOST_BYTES
    (tmp_path / scene.runs[0].playbook).write_bytes(content)
    desk = SimpleNamespace(current=SimpleNamespace(config=SimpleNamespace(playbooks=tmp_path)))
    found = read_source(lambda: desk, scene.runs[0])  # type: ignore[arg-type, return-value]
    assert found is not None
    assert found.hash == hashlib.sha256(content).hexdigest()
    assert len(found.text) == MOST_BYTES
    assert "as it lies there now" in found.note.lower()
    told = {found.hash: "As it was when this was decided.", "0" * 64: "it was another one, 0000000000000000…"}
    for then, words in told.items():
        again = read_source(lambda: desk, scene.runs[0], then=then)  # type: ignore[arg-type, return-value]
        assert again is not None and words in again.note


def test_the_tasks_of_a_role_hang_together() -> None:
    names = ["Look", "restart : Preflight", "restart : Act", "Say", "verify : Look"]
    results = [replace(TASK, name=name) for name in names]
    found = [(branch.role, [(task.number, task.name) for task in branch.tasks]) for branch in branches_of(results)]
    assert found == [
        ("", [(1, "Look")]),
        ("restart", [(2, "Preflight"), (3, "Act")]),
        ("", [(4, "Say")]),
        ("verify", [(5, "Look")]),
    ]


def test_filters_stand_in_the_address(client: Client, scene: Scene) -> None:
    answer = client.get("/audit?event=decision&decision=run")
    assert answer.status_code == 200
    assert "/api/v1/audit.csv?event=decision&amp;decision=run" in answer.text
    assert client.get("/audit?nonsense=1").status_code == 400


def test_every_label_that_is_asked_for_counts(client: Client, scene: Scene) -> None:
    found = client.get("/audit?event=decision&label=alertname=Slow&label=instance=web2")
    assert "ask" in found.text and "label=alertname%3DSlow&amp;label=instance%3Dweb2" in found.text
    assert [a["value"] for tag, a in elements(found) if tag == "input" and a.get("name") == "label"] == [
        "alertname=Slow",
        "instance=web2",
        "",
    ]
    nobody = client.get("/audit?event=decision&label=alertname=Slow&label=instance=web1")
    assert "Nothing is found by that." in nobody.text


def test_a_page_that_is_kept_open_is_made_anew_when_something_went_on_the_record(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(page, "LOOK_SECONDS", 0.001)
    monkeypatch.setattr(page, "ANEW_LOOKS", 1000)
    heads, loads = iter([1, 1, 1, 2, 2, 2, 2]), 0

    async def load(_: object) -> dict[str, object]:
        nonlocal loads
        loads += 1
        return {}

    looks = count()
    site = page.Site(
        authenticator=Authenticator(None), bar=Bar, head=lambda: next(heads), is_ending=lambda: next(looks) >= 7
    )
    kept = page.Page(site=site, template="pauses.html", load=load)
    answer = Client(Starlette(routes=[Route("/", endpoint(kept))])).get("/", headers={"Accept": "text/event-stream"})
    assert loads == 2
    assert answer.text.count("event: part") == 1
    assert site.open == 0


def test_an_incident_can_be_taken_along_as_markdown(client: Client, scene: Scene) -> None:
    answer = client.get(f"/incidents/{scene.incidents[0].id}.md")
    assert answer.headers["content-type"].startswith("text/markdown")
    assert answer.text.startswith("# ")
    assert "Run ended" in answer.text


def test_what_is_not_there_is_said_on_a_page(client: Client, scene: Scene) -> None:
    for path in ("/incidents/nope", "/runs/nope", "/rules/nope", "/audit/999999", "/audit/x", "/static/nope"):
        assert client.get(path).status_code == 404, path


def test_static_files_are_kept_by_browsers_until_they_change(client: Client) -> None:
    [sheet] = [a["href"] for tag, a in elements(client.get("/pauses")) if tag == "link" and a["rel"] == "stylesheet"]
    assert sheet is not None
    answer = client.get(sheet)
    assert answer.headers["content-type"].startswith("text/css")
    assert "immutable" in answer.headers["cache-control"]


def test_a_page_is_there_while_redis_is_away(client: Client, scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: object) -> None:
        raise Unavailable("Redis", "connection refused")

    monkeypatch.setattr(type(scene.store), "read", away)
    answer = client.get("/incidents")
    assert answer.status_code == 200
    assert "connection refused" in answer.text


def first_part(app: Starlette, path: str) -> str:
    """What a page that is kept open is sent first."""

    async def ask() -> str:
        sent: list[bytes] = []
        done = asyncio.Event()

        async def receive() -> dict[str, object]:
            await done.wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            sent.append(message.get("body", b""))
            if b"event: part" in b"".join(sent):
                done.set()

        headers = [(b"host", b"alertmend"), (b"accept", b"text/event-stream")]
        scope = {"type": "http", "method": "GET", "path": path, "headers": headers, "scheme": "http"}
        scope |= {"query_string": b"", "root_path": "", "server": ("alertmend", 80), "http_version": "1.1"}
        await app(scope, receive, send)
        text = b"".join(sent).decode().split("event: part\n")[1]
        # As a browser reads it: either character ends a line.
        lines = re.split("\r\n|\r|\n", text)
        return "\n".join(line.removeprefix("data: ") for line in lines if line.startswith("data: "))

    return asyncio.run(asyncio.wait_for(ask(), 20))
