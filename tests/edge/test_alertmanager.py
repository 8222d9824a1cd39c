"""What fires, asked of real Alertmanagers, of dead ones, and of servers that only look like one."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.edge.stub import Says, http, stub
from tests.journey.harness import Processes, free_port, post_alerts, until
from webhook.core.alert import AlertStatus
from webhook.core.httpconfig import HttpConfig, Server
from webhook.edge.alertmanager import AlertmanagerClient
from webhook.world import Alertmanager, Alertmanagers, KnownAlert, KnownState

NOBODY = "http://127.0.0.1:9/"
INHIBIT = (
    "inhibit_rules: [{source_matchers: ['severity=page'], target_matchers: ['severity=info'], equal: [instance]}]\n"
)


def client(*urls: str, seconds: float = 5, receiver: str = "alertmend", **config: Any) -> Alertmanagers:
    config = {"http_config": HttpConfig(**config)}
    found = [Alertmanager(server=Server(url=url, **config), receiver=receiver) for url in urls]
    return AlertmanagerClient(alertmanagers=found, seconds=seconds)


# ---------------------------------------------------------------------------------------------------------------------
# Real ones


@pytest.fixture(scope="module")
def alertmanager(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a real one, to be shared by tests that each use instances of their own."""
    processes = Processes(tmp_path_factory.mktemp("alertmanager"))
    try:
        yield processes.alertmanager("one", NOBODY, more=INHIBIT)
    finally:
        processes.end()


def state_of(url: str, instance: str, **labels: str) -> KnownAlert | None:
    """What is known of one alert."""
    wanted = [f'{name}="{value}"' for name, value in {"instance": instance, **labels}.items()]
    return next(iter(client(url).alerts(matchers=wanted).alerts.values()), None)


def becomes(url: str, state: KnownState, instance: str, **labels: str) -> KnownAlert:
    def look() -> KnownAlert | None:
        known = state_of(url, instance, **labels)
        return known if known and known.state is state else None

    return until(look, f"{instance} is {state}")  # type: ignore[no-any-return]


def test_an_alert_that_fires_is_active(alertmanager: str) -> None:
    post_alerts(alertmanager, "web1:9100", summary="é\u202e\x1b")
    known = becomes(alertmanager, KnownState.ACTIVE, "web1:9100")
    assert (known.suppressed_by, known.receivers, known.is_ours) == ((), ("alertmend",), True)
    assert known.alert.status is AlertStatus.FIRING and known.alert.ends_at is None
    assert known.alert.labels == {"alertname": "Down", "instance": "web1:9100", "summary": "é"}
    assert abs(datetime.now(UTC) - known.alert.starts_at) < timedelta(minutes=5)
    assert len(known.alert.fingerprint) == 16


def test_one_that_is_routed_to_others_only_is_not_ours(alertmanager: str) -> None:
    post_alerts(alertmanager, "web2:9100")
    found = client(alertmanager, receiver="somebody-else").alerts(matchers=['instance="web2:9100"'])
    assert [known.is_ours for known in found.alerts.values()] == [False]


def test_a_silence_suppresses_and_is_named(alertmanager: str) -> None:
    post_alerts(alertmanager, "web3:9100")
    becomes(alertmanager, KnownState.ACTIVE, "web3:9100")
    now = datetime.now(UTC)
    body = {
        "matchers": [{"name": "instance", "value": "web3:9100", "isRegex": False, "isEqual": True}],
        "startsAt": now.isoformat(),
        "endsAt": (now + timedelta(hours=1)).isoformat(),
        "createdBy": "test",
        "comment": "test",
    }
    answer = httpx.post(f"{alertmanager}/api/v2/silences", json=body).raise_for_status()
    known = becomes(alertmanager, KnownState.SUPPRESSED, "web3:9100")
    assert known.suppressed_by == (f"silence {answer.json()['silenceID']}",)


def test_an_inhibition_suppresses_and_is_named(alertmanager: str) -> None:
    post_alerts(alertmanager, "web4:9100", severity="page")
    source = becomes(alertmanager, KnownState.ACTIVE, "web4:9100", severity="page")
    post_alerts(alertmanager, "web4:9100", severity="info")
    known = becomes(alertmanager, KnownState.SUPPRESSED, "web4:9100", severity="info")
    assert known.suppressed_by == (f"inhibited by {source.alert.fingerprint}",)


def test_what_we_post_fires_until_we_say_that_it_is_over(alertmanager: str) -> None:
    now = datetime.now(UTC)
    alert = {"labels": {"alertname": "RemediationFailed", "instance": "web5"}, "startsAt": now.isoformat()}
    assert client(alertmanager).post([alert]).taken_by == (alertmanager,)
    becomes(alertmanager, KnownState.ACTIVE, "web5", alertname="RemediationFailed")
    ended = {**alert, "endsAt": datetime.now(UTC).isoformat()}
    assert client(alertmanager).post([ended]).failures == {}
    until(lambda: state_of(alertmanager, "web5") is None, "it is over")


def test_what_it_refuses_is_told_in_its_own_words(alertmanager: str) -> None:
    posted = client(alertmanager).post([{"labels": {}}])
    assert posted.taken_by == ()
    assert posted.failures[alertmanager].startswith("status 400: ")


def test_a_matcher_that_it_cannot_read_is_no_answer(alertmanager: str) -> None:
    answer = client(alertmanager).alerts(matchers=["="])
    assert answer.answered == () and answer.silent[alertmanager].startswith("status 400: ")


def test_one_dead_peer_changes_nothing_but_is_told(alertmanager: str) -> None:
    post_alerts(alertmanager, "web6:9100")
    dead = f"http://127.0.0.1:{free_port()}"
    both = client(dead, alertmanager)
    answer = until(lambda: (a := both.alerts(matchers=['instance="web6:9100"'])).alerts and a, "it fires")
    assert (answer.answered, answer.silent) == ((alertmanager,), {dead: "connection refused"})
    posted = both.post([{"labels": {"alertname": "Ours", "instance": "web6"}}])
    assert (posted.taken_by, posted.failures) == ((alertmanager,), {dead: "connection refused"})


def test_it_says_since_when_it_is_there_and_the_dead_say_nothing(alertmanager: str) -> None:
    started = client(alertmanager, NOBODY).started_at()
    assert started is not None
    assert timedelta(0) < datetime.now(UTC) - started < timedelta(hours=1)
    assert client(NOBODY, seconds=1).started_at() is None


def test_with_all_of_them_dead_nothing_is_known() -> None:
    dead = f"http://127.0.0.1:{free_port()}"
    answer = client(dead).alerts()
    assert (answer.alerts, answer.answered, answer.silent) == ({}, (), {dead: "connection refused"})
    assert client().alerts().answered == ()


# ---------------------------------------------------------------------------------------------------------------------
# What two of them say


def wire(fingerprint: str = "f1", state: str = "active", **status: list[str]) -> dict[str, Any]:
    return {
        "labels": {"alertname": "Down"},
        "annotations": {},
        "startsAt": "2026-01-31T12:00:00.123456789Z",
        "updatedAt": "2026-01-31T12:00:00Z",
        "endsAt": "2026-01-31T12:05:00Z",
        "fingerprint": fingerprint,
        "receivers": [{"name": "alertmend"}],
        "status": {"state": state, "silencedBy": [], "inhibitedBy": [], **status},
        "generatorURL": "",
        "new": {"field": [1]},
    }


def says(*alerts: Mapping[str, Any]) -> Says:
    return http(json.dumps(alerts).encode())


@pytest.mark.parametrize(
    ("first", "second", "state"),
    [
        ("suppressed", "active", KnownState.ACTIVE),
        ("active", "suppressed", KnownState.ACTIVE),
        ("unprocessed", "suppressed", KnownState.SUPPRESSED),
        ("unprocessed", "active", KnownState.ACTIVE),
        ("unprocessed", "unprocessed", KnownState.UNPROCESSED),
    ],
)
def test_active_for_one_counts_for_more_than_suppressed_for_another(first: str, second: str, state: KnownState) -> None:
    with stub(says(wire(state=first))) as one, stub(says(wire(state=second), wire("f2"))) as two:
        answer = client(one.url, two.url).alerts()
    assert {name: known.state for name, known in answer.alerts.items()} == {"f1": state, "f2": KnownState.ACTIVE}
    assert answer.answered == (one.url, two.url)


def test_every_cause_is_named() -> None:
    causes = {"silencedBy": ["s1", "s2"], "inhibitedBy": ["i1"], "mutedBy": ["free\nze"]}
    with stub(says(wire(state="suppressed", **causes))) as server:
        (known,) = client(server.url).alerts().alerts.values()
    assert known.suppressed_by == ("silence s1", "silence s2", "inhibited by i1", "muted by free ze")


def test_all_matchers_are_asked_for_and_nothing_is_left_out() -> None:
    with stub(says()) as server:
        client(f"{server.url}/prefix").alerts(matchers=['a="b&c"', "d=~é"])
    line = server.asked[0].splitlines()[0].decode()
    assert line == (
        "GET /prefix/api/v2/alerts?active=true&silenced=true&inhibited=true&unprocessed=true"
        "&filter=a%3D%22b%26c%22&filter=d%3D~%C3%A9 HTTP/1.1"
    )


def test_a_password_is_read_anew_for_each_request(tmp_path: Path) -> None:
    file = tmp_path / "password"
    with stub(says()) as server:
        both = client(server.url, username="me", password_file=str(file))
        for secret in ("old", "new"):
            file.write_text(f"{secret}\n")
            assert both.alerts().silent == {}
        file.unlink()
        assert "No such file" in both.alerts().silent[server.url]
    sent = [
        line for request in server.asked for line in request.splitlines() if line.lower().startswith(b"authorization")
    ]
    assert [base64.b64decode(line.split()[-1]) for line in sent] == [b"me:old", b"me:new"]


# ---------------------------------------------------------------------------------------------------------------------
# What only looks like one


def endless(start: bytes, part: bytes, pause_seconds: float) -> Says:
    def trickle(_: bytes) -> Iterator[bytes]:
        yield start
        while True:
            time.sleep(pause_seconds)
            yield part

    return trickle


OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (http(b"<html>Log in</html>"), "this is no answer of Alertmanager's API: "),
        (http(b'{"status": "success"}'), "this is no answer of Alertmanager's API: "),
        (http(b"[1]"), "this is no answer of Alertmanager's API: 0 "),
        (http(b'[{"labels": {}}]'), "this is no answer of Alertmanager's API: 0."),
        (http(b"[" * 100_000), "this is no answer of Alertmanager's API: "),
        (http(b"\xff\xfe"), "this is no answer of Alertmanager's API: "),
        (http(b""), "this is no answer of Alertmanager's API: "),
        (http(json.dumps([wire(state="happy")]).encode()), "this is no answer of Alertmanager's API: 0.status.state"),
        (http(b"nope\x1b[2J\n", status="503 Gone Fishing"), "status 503: nope [2J"),
        (http(b"", status="401 Who"), "status 401"),
        (http(b"", status="302 Found", headers="Location: /api/v2/alerts\r\n"), "TooManyRedirects"),
        (lambda _: [OK + b"Content-Length: 100\r\n\r\n[]"], "RemoteProtocolError"),
        (lambda _: [b"SSH-2.0-OpenSSH_9.2\r\n"], "RemoteProtocolError"),
        (lambda _: [], "RemoteProtocolError"),
        (endless(OK + b"\r\n[", b" ", 0.05), "timeout after 0.5s"),
        (endless(OK, b"X-A: b\r\n", 0.05), "timeout after 0.5s"),
        (endless(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n", 0.05), "timeout after 0.5s"),
    ],
)
def test_junk_is_no_answer_and_told_in_one_line(answer: Says, words: str) -> None:
    with stub(answer) as server:
        found = client(server.url, seconds=0.5).alerts()
    assert found.alerts == {} and found.answered == ()
    assert found.silent[server.url].startswith(words), found.silent
    assert "\n" not in found.silent[server.url] and len(found.silent[server.url]) <= 200


def test_an_answer_without_end_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("webhook.edge.alertmanager.ANSWER_LIMIT_BYTES", 1024 * 1024)
    with stub(endless(OK + b"\r\n[", b" " * 65536, 0)) as server:
        found = client(server.url).alerts()
    assert found.silent[server.url] == "the answer is longer than 1048576 bytes"


def test_a_slow_one_does_not_hold_up_what_the_others_say() -> None:
    with stub(endless(b"", b"", 0.05)) as slow, stub(says(wire())) as quick:
        answer = client(slow.url, quick.url, seconds=0.5).alerts()
    assert (list(answer.alerts), answer.answered, list(answer.silent)) == (["f1"], (quick.url,), [slow.url])


def test_a_redirect_to_elsewhere_is_followed_without_our_credentials() -> None:
    with ExitStack() as stack:
        target = stack.enter_context(stub(says(wire())))
        moved = http(b"", status="307 Moved", headers=f"Location: {target.url}/api/v2/alerts\r\n")
        first = stack.enter_context(stub(moved))
        answer = client(first.url, credentials="secret").alerts()
    assert list(answer.alerts) == ["f1"]
    assert b"secret" in first.asked[0] and b"secret" not in target.asked[0]


def test_a_redirect_is_the_answer_where_it_is_not_to_be_followed() -> None:
    with stub(http(b"", status="307 Moved", headers="Location: /elsewhere\r\n")) as server:
        assert client(server.url, follow_redirects=False).alerts().silent == {server.url: "status 307"}


def test_a_post_that_a_redirect_would_turn_into_a_get_is_no_success() -> None:
    def moved(request: bytes) -> Iterable[bytes]:
        if request.startswith(b"POST"):
            return http(b"", status="302 Found", headers="Location: /am/api/v2/alerts\r\n")(request)
        return says()(request)

    with stub(moved) as server:
        posted = client(server.url).post([{"labels": {"alertname": "Ours"}}])
    assert posted.taken_by == ()
    assert posted.failures == {server.url: f"it redirects a POST to {server.url}/am/api/v2/alerts; give that URL"}


def test_labels_of_strangers_come_out_harmless_and_bounded() -> None:
    hostile = wire("f" * 1000)
    hostile["labels"] = {"a\x1b": "x" * 100_000, "b": "\u202eevil"}
    with stub(says(hostile)) as server:
        (known,) = client(server.url).alerts().alerts.values()
    assert set(known.alert.labels) == {"a", "b"} and known.alert.labels["b"] == "evil"
    assert len(known.alert.labels["a"]) <= 64 * 1024 and len(known.alert.fingerprint) == 64
