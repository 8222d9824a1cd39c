"""What Alertmanager is answered: every status that it acts upon, and words that say what to change."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from tests.web.conftest import LIMIT_BYTES, Client, Inbox
from webhook import tracing
from webhook.edge.webconfig import Role, WebConfig

PATH = "/api/v1/alertmanager"
ALERT = {
    "status": "firing",
    "labels": {"alertname": "Down", "instance": "web1:9100"},
    "annotations": {},
    "startsAt": "2026-01-31T12:00:00Z",
    "endsAt": "0001-01-01T00:00:00Z",
    "generatorURL": "",
    "fingerprint": "5a01f2027af307eb",
}


def body(*alerts: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"version": "4", "receiver": "alertmend", "groupKey": "{}", "alerts": list(alerts), **fields}


async def in_chunks(sent: bytes, *, size: int = 100) -> AsyncIterator[bytes]:
    """Sent so, nobody announces the length."""
    for at in range(0, len(sent), size):
        yield sent[at : at + size]


# ---------------------------------------------------------------------------------------------------------------------
# 202


def test_a_notification_is_acknowledged_with_its_id_and_lies_in_the_inbox_as_it_was_sent(
    client: Client, inbox: Inbox
) -> None:
    sent = json.dumps(body(ALERT, ALERT)).encode() + b"\n"
    answer = client.post(PATH, content=sent, headers={"Content-Type": "application/json"})
    [(id, envelope)] = inbox.taken.items()
    assert (answer.status_code, answer.json()) == (202, {"notification": id, "alerts": 2})
    assert (envelope.sender, envelope.body.encode()) == ("anonymous", sent)


def test_the_same_notification_twice_is_two_receipts(client: Client, inbox: Inbox) -> None:
    # A retry cannot be told from a first try; that one firing gets one run is decided later.
    ids = {client.post(PATH, json=body(ALERT)).json()["notification"] for _ in range(2)}
    assert ids == inbox.taken.keys() and len(ids) == 2


def test_a_notification_without_alerts_is_taken(client: Client) -> None:
    assert client.post(PATH, json=body()).json()["alerts"] == 0


def test_fields_of_newer_alertmanagers_are_taken_and_ignored(client: Client) -> None:
    newer = body({**ALERT, "silencedBy": []}, notification_reason="repeat", routeLabels={"a": "b"})
    assert client.post(PATH, json=newer).status_code == 202


def test_a_body_in_chunks_is_put_together(client: Client, inbox: Inbox) -> None:
    sent = json.dumps(body(ALERT)).encode()
    assert client.post(PATH, content=in_chunks(sent)).status_code == 202
    assert [envelope.body.encode() for envelope in inbox.taken.values()] == [sent]


def test_the_type_of_the_content_is_not_asked_for(client: Client) -> None:
    for kind in ("text/plain", "application/json; charset=utf-8", "", "nonsense"):
        answer = client.post(PATH, content=json.dumps(body(ALERT)), headers={"Content-Type": kind})
        assert answer.status_code == 202


# ---------------------------------------------------------------------------------------------------------------------
# 503


def test_what_cannot_be_stored_is_a_503_that_names_who_is_away_so_that_it_is_sent_again(
    client: Client, inbox: Inbox
) -> None:
    inbox.is_away = True
    answer = client.post(PATH, json=body(ALERT))
    assert (answer.status_code, answer.json()) == (503, {"error": "Redis is not available: connection refused"})
    inbox.is_away = False
    assert client.post(PATH, json=body(ALERT)).status_code == 202


def test_what_breaks_unforeseen_is_a_status_that_makes_alertmanager_try_again(
    client: Client, inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks() -> str:
        raise RuntimeError("out of luck")

    monkeypatch.setattr(inbox, "ask", breaks)
    answer = client.post(PATH, json=body(ALERT))
    assert answer.status_code == 500
    assert "out of luck" not in answer.text


# ---------------------------------------------------------------------------------------------------------------------
# 400


@pytest.mark.parametrize(
    ("sent", "words"),
    [
        (b"", "remove that setting"),
        (b"Down: web1", "payload:"),
        (b'{"text": "Down"}', "payload:"),
        (b"[]", "payload:"),
        (b'{"version": "4"}', "payload:"),
        (b'{"version":"4","alerts":[],"x":"\xff"}', "not JSON"),
        (json.dumps(body(version="5")).encode(), "version '5'"),
        (json.dumps(body({**ALERT, "status": "suppressed"})).encode(), "alerts.0.status"),
        (json.dumps(body({**ALERT, "startsAt": "9999-12-31T23:59:59-23:00"})).encode(), "alerts.0.startsAt"),
    ],
)
def test_what_no_retry_can_mend_is_a_400_that_says_what_to_change(
    client: Client, inbox: Inbox, sent: bytes, words: str
) -> None:
    answer = client.post(PATH, content=sent)
    assert answer.status_code == 400
    assert words in answer.json()["error"]
    assert inbox.taken == {}


def test_a_sender_who_hangs_up_is_no_fault_of_ours(client: Client, inbox: Inbox) -> None:
    parts = iter([{"type": "http.request", "body": b'{"vers', "more_body": True}, {"type": "http.disconnect"}])

    async def receive() -> Any:
        return next(parts)

    async def send(message: Any) -> None:
        """Goes nowhere."""

    scope = {"type": "http", "method": "POST", "path": PATH, "headers": [], "query_string": b""}
    asyncio.run(client.app(scope, receive, send))
    assert inbox.taken == {}


# ---------------------------------------------------------------------------------------------------------------------
# 413


def test_a_body_that_is_announced_as_too_large_is_refused_before_it_is_read(client: Client) -> None:
    async def read() -> AsyncIterator[bytes]:
        pytest.fail("it was read")
        yield b""

    answer = client.post(PATH, content=read(), headers={"Content-Length": str(LIMIT_BYTES + 1)})
    assert answer.status_code == 413
    assert "receive.max_body_bytes" in answer.json()["error"]
    assert "max_alerts" in answer.json()["error"]


def test_a_body_that_grows_too_large_is_refused_as_soon_as_it_is(client: Client, inbox: Inbox) -> None:
    assert client.post(PATH, content=in_chunks(b" " * (LIMIT_BYTES + 1))).status_code == 413
    assert inbox.taken == {}


def test_a_body_of_exactly_the_limit_is_taken(client: Client) -> None:
    sent = json.dumps(body(ALERT)).encode().ljust(LIMIT_BYTES)
    assert client.post(PATH, content=sent).status_code == 202
    assert client.post(PATH, content=sent + b" ").status_code == 413


@pytest.mark.parametrize("length", ["-1", "x", "²", "1" * 5000, ""])
def test_a_length_that_is_none_is_not_believed(client: Client, length: str) -> None:
    answer = client.post(
        PATH, content=in_chunks(json.dumps(body(ALERT)).encode()), headers={b"Content-Length": length.encode("latin-1")}
    )
    assert answer.status_code in (202, 400, 413)


# ---------------------------------------------------------------------------------------------------------------------
# 401, 403


@pytest.mark.parametrize("header", [None, "Bearer wrong", "Basic eDp5", "secret"])
def test_a_stranger_is_a_401_whatever_they_send(guarded: Client, inbox: Inbox, header: str | None) -> None:
    headers = {"Authorization": header} if header else {}
    for sent in (json.dumps(body(ALERT)).encode(), b"nonsense", b" " * (LIMIT_BYTES + 1)):
        answer = guarded.post(PATH, content=sent, headers=headers)
        assert answer.status_code == 401
        assert "authorization.credentials_file" in answer.json()["error"]
        assert "Basic" in answer.headers["WWW-Authenticate"]
    assert inbox.taken == {}


def test_who_delivers_is_kept_with_the_notification(guarded: Client, inbox: Inbox) -> None:
    assert guarded.post(PATH, json=body(ALERT), headers={"Authorization": "Bearer secret"}).status_code == 202
    assert [envelope.sender for envelope in inbox.taken.values()] == ["token:am-token"]


def test_a_viewer_is_known_and_may_not_deliver(client_with: Any, inbox: Inbox) -> None:
    import bcrypt

    hashed = bcrypt.hashpw(b"look", bcrypt.gensalt(4)).decode()
    config = WebConfig(users={"wall": hashed}, roles={Role.VIEWER: frozenset({"wall"})})
    answer = client_with(config).post(PATH, json=body(ALERT), auth=("wall", "look"))
    assert answer.status_code == 403
    assert "operator" in answer.json()["error"] or "receiver" in answer.json()["error"]
    assert inbox.taken == {}


@pytest.mark.parametrize("origin", ["https://evil.example", "http://127.0.0.1:9480", "null"])
def test_no_page_in_a_browser_can_deliver_from_where_the_browser_is(client: Client, inbox: Inbox, origin: str) -> None:
    # What fetch(…, {mode: "no-cors"}) sends without asking first: on loopback there may be no credentials to lack.
    headers = {"Origin": origin, "Content-Type": "text/plain"}
    answer = client.post(PATH, content=json.dumps(body(ALERT)), headers=headers)
    assert (answer.status_code, inbox.taken) == (403, {})
    assert "browser" in answer.json()["error"]


# ---------------------------------------------------------------------------------------------------------------------
# Never 3xx, never 429


def test_the_address_with_a_slash_at_its_end_is_served_and_not_redirected(client: Client) -> None:
    assert client.post(f"{PATH}/", json=body(ALERT)).status_code == 202


@pytest.mark.parametrize("path", ["/", "/api/v1/alertmanagers", "/api/v1//alertmanager", "/alertmanager", f"{PATH}//"])
def test_a_wrong_address_is_a_404_that_names_the_right_one(client: Client, path: str) -> None:
    answer = client.post(path, json=body(ALERT))
    assert answer.status_code in (404, 405)
    if answer.status_code == 404:
        assert PATH in answer.json()["error"]


def test_it_rejects_get(client: Client) -> None:
    answer = client.get(PATH)
    assert (answer.status_code, answer.headers["Allow"]) == (405, "POST")


def test_however_many_come_none_is_sent_away(client: Client, inbox: Inbox) -> None:
    assert {client.post(PATH, json=body(ALERT)).status_code for _ in range(300)} == {202}
    assert len(inbox.taken) == 300


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(sent=st.binary(max_size=200), path=st.sampled_from([PATH, f"{PATH}/", "/x"]), away=st.booleans())
def test_no_answer_is_a_redirect_or_a_429(guarded: Client, inbox: Inbox, sent: bytes, path: str, away: bool) -> None:
    inbox.is_away = away
    for headers in ({}, {"Authorization": "Bearer secret"}):
        assert guarded.post(path, content=sent, headers=headers).status_code in (202, 400, 401, 404, 413, 503)


@pytest.mark.parametrize(
    "header", ["", "00-zz-zz-01", "x" * 3000, "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"]
)
def test_whatever_trace_a_sender_names_the_notification_is_taken(client: Client, inbox: Inbox, header: str) -> None:
    with tracing.given_to(SimpleSpanProcessor(InMemorySpanExporter()), role="web"):
        answer = client.post(PATH, content=json.dumps(body(ALERT)), headers={"traceparent": header})
    assert answer.status_code == 202
    [envelope] = inbox.taken.values()
    assert re.fullmatch("00-[0-9a-f]{32}-[0-9a-f]{16}-0[13]", envelope.traceparent)
    assert (header.split("-")[1:2] == envelope.traceparent.split("-")[1:2]) is (len(header) == 55)
