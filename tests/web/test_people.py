"""What people may do over HTTP: works, denies, rejects."""

from __future__ import annotations

import base64
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import bcrypt
import httpx
import pytest

from tests.flow.scene import Scene, alert, rule
from tests.web.conftest import Client
from webhook.core.rule import Mode
from webhook.edge.webconfig import Role, WebConfig

VERBS = ("approve", "reject", "cancel")
SAID = {"comment": "because"}


@pytest.fixture(scope="module")
def users() -> WebConfig:
    """alice is an operator, bob a viewer, eve nothing."""
    hashed = {name: bcrypt.hashpw(name.encode(), bcrypt.gensalt(4)).decode() for name in ("alice", "bob", "eve")}
    roles = {Role.OPERATOR: frozenset({"alice"}), Role.VIEWER: frozenset({"bob"})}
    return WebConfig(users=hashed, roles=roles)


@pytest.fixture
def asks(scene: Scene) -> str:
    """The id of a run that awaits approval."""
    scene.rules = (rule(mode=Mode.APPROVE),)
    scene.delivers(alert())
    return scene.runs[0].id


def named(name: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{name}:{name}".encode()).decode()}


def routes(run: str) -> list[tuple[str, str, dict[str, Any]]]:
    said = [("POST", f"/api/v1/runs/{run}/{verb}", SAID) for verb in VERBS]
    return [
        *said,
        ("POST", "/api/v1/incidents/i1/take-over", SAID),
        ("POST", "/api/v1/pauses", {**SAID, "for": "1h"}),
        ("DELETE", "/api/v1/pauses/p1", {}),
    ]


def test_an_approval_lets_the_run_go_under_a_name(
    client_with: Callable[..., Client], users: WebConfig, scene: Scene, asks: str
) -> None:
    client = client_with(users)
    answer = client.post(f"/api/v1/runs/{asks}/approve", json=SAID, headers=named("alice"))
    assert answer.status_code == 200
    assert [(word["by"], word["comment"]) for word in answer.json()["approvals"]] == [("alice", "because")]
    scene.keep_up()
    scene.work()
    assert scene.runs[0].outcome == "unproved"


def test_who_was_slower_is_told_so(client: Client, asks: str) -> None:
    assert client.post(f"/api/v1/runs/{asks}/reject", json=SAID).status_code == 200
    for verb in VERBS:
        answer = client.post(f"/api/v1/runs/{asks}/{verb}", json=SAID)
        assert answer.status_code == 409
        assert "finished by now: rejected by anonymous: because" in answer.json()["error"]


@pytest.mark.parametrize("verb", VERBS)
def test_a_run_that_is_not_there_is_not_found(client: Client, verb: str) -> None:
    assert client.post(f"/api/v1/runs/nothing/{verb}", json=SAID).status_code == 404


def test_only_operators_change_anything(client_with: Callable[..., Client], users: WebConfig, asks: str) -> None:
    client = client_with(users)
    for method, path, body in routes(asks):
        assert client.request(method, path, json=body).status_code == 401
        for name in ("bob", "eve"):
            answer = client.request(method, path, json=body, headers=named(name))
            assert (method, path, answer.status_code) == (method, path, 403)


def test_a_viewer_sees_what_is_paused_and_a_stranger_does_not(
    client_with: Callable[..., Client], users: WebConfig
) -> None:
    client = client_with(users)
    for path in ("/api/v1/pauses", "/api/v1/rules", "/api/v1/alerts"):
        assert client.get(path, headers=named("bob")).status_code == 200
        assert client.get(path, headers=named("eve")).status_code == 403
        assert client.get(path).status_code == 401


@pytest.mark.parametrize("said", [None, {}, {"comment": ""}, {"comment": " "}, {"comment": 1}, {"comment": "x" * 1001}])
def test_a_word_without_a_comment_is_refused(client: Client, asks: str, said: Any) -> None:
    for method, path, body in routes(asks)[:5]:
        sent = {**{name: value for name, value in body.items() if name != "comment"}, **(said or {})}
        answer = client.request(method, path, json=sent)
        assert (path, answer.status_code) == (path, 400)
        assert "comment" in answer.json()["error"]


@pytest.mark.parametrize("body", [b"[]", b"nonsense", b"1", b"[" * 50_000, b'{"comment": "x", "comments": 1}', b"\xff"])
def test_a_body_that_is_no_object_of_ours_is_refused(client: Client, asks: str, body: bytes) -> None:
    assert client.post(f"/api/v1/runs/{asks}/approve", content=body).status_code == 400


def test_a_body_that_is_too_large_is_refused(client: Client, asks: str) -> None:
    assert client.post(f"/api/v1/runs/{asks}/approve", content=b" " * 70_000).status_code == 413


def test_a_page_of_another_site_changes_nothing(client: Client, asks: str) -> None:
    for method, path, body in routes(asks):
        answer = client.request(method, path, json=body, headers={"Origin": "http://evil.example"})
        assert (path, answer.status_code) == (path, 403)
    own = client.post(f"/api/v1/runs/{asks}/approve", json=SAID, headers={"Origin": "http://alertmend"})
    assert own.status_code == 200


def test_a_pause_is_made_listed_and_ended(client: Client, scene: Scene) -> None:
    asked = {"matchers": ['job="web"', "target=web1"], "for": "2h", "comment": "a release"}
    made = client.post("/api/v1/pauses", json=asked)
    assert made.status_code == 201
    pause = made.json()
    assert pause["matchers"] == ['job="web"', 'target="web1"']
    assert (pause["comment"], pause["created_by"]) == ("a release", "anonymous")
    scene.clock.now = scene.people.pauses()[0].until - timedelta(hours=1)
    assert client.get("/api/v1/pauses").json()["items"] == [pause]
    ended: httpx.Response = client.request("DELETE", f"/api/v1/pauses/{pause['id']}", json={"comment": "done"})
    assert ended.status_code == 200
    assert client.get("/api/v1/pauses").json()["items"] == []
    assert client.request("DELETE", f"/api/v1/pauses/{pause['id']}").status_code == 404


@pytest.mark.parametrize(
    "wrong",
    [
        {"for": "soon"},
        {"for": "0s"},
        {"for": "32d"},
        {"for": 60},
        {"matchers": "job=web"},
        {"matchers": ["job=="]},
        {"matchers": [1]},
        {"cancel_running": "yes"},
        {"until": "2026-01-01"},
    ],
)
def test_a_pause_without_a_sound_end_or_matchers_is_refused(client: Client, wrong: dict[str, Any]) -> None:
    assert client.post("/api/v1/pauses", json={"for": "1h", "comment": "x", **wrong}).status_code == 400


def test_the_rules_say_how_they_stand(client: Client, scene: Scene) -> None:
    [found] = client.get("/api/v1/rules").json()["items"]
    assert (found["name"], found["mode"], found["steps"], found["breaker"]) == (
        "restart-web",
        "auto",
        ["restart.yml"],
        None,
    )
    assert client.get("/api/v1/rules/restart-web").json() == found
    assert client.get("/api/v1/rules/restart-we").status_code == 404


def test_the_alerts_behind_open_incidents_are_listed(client: Client, scene: Scene) -> None:
    scene.delivers(alert("web1"), alert("web2", team="a"))
    found = client.get("/api/v1/alerts").json()["items"]
    assert {(row["target"], row["labels"].get("team")) for row in found} == {("web1", None), ("web2", "a")}
