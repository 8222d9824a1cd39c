"""fail_over_application.yml: a primary is gone, Argo CD syncs its standby, a real BIND leads clients there."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from tests.playbooks.argocd import ArgoCD, argocd
from tests.playbooks.bind import RECORD, ZONE, Bind, bind
from tests.playbooks.stage import PlayEnd, Stage, free_port

MARK = Path("/var/lib/alertmend/fail_over_application/web")
BEFORE = "clients are led to the primary, the standby is not ready"
READY = "clients are led to the primary, the standby is synced and healthy"
SWITCHED = "clients are led to the standby"


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A primary at 127.0.0.1 that does not answer, and a standby at 127.0.0.2 that does."""

    argocd: ArgoCD
    names: Bind
    standby: str
    stage: Stage

    def play(self, *options: str, **variables: object) -> PlayEnd:
        dns = {
            "server": "127.0.0.1",
            "port": self.names.port,
            "zone": ZONE,
            "name": RECORD,
            "from": "127.0.0.1",
            "to": "127.0.0.2",
            "key_file": str(self.names.key_file),
        }
        sound = {
            "timeout": 20,
            "primary_health": f"http://127.0.0.1:{free_port()}/",
            "standby_health": self.standby,
            "dns": dns,
        }
        return self.stage.play("fail_over_application.yml", {**self.argocd.variables, **sound, **variables}, *options)


@pytest.fixture
def pair(stage: Stage, tmp_path: Path) -> Iterator[Pair]:
    MARK.unlink(missing_ok=True)
    with ExitStack() as stack:
        standby = stack.enter_context(answering())
        names = stack.enter_context(bind(tmp_path, "127.0.0.1"))
        yield Pair(argocd=stack.enter_context(argocd(tmp_path)), names=names, standby=standby, stage=stage)
    MARK.unlink(missing_ok=True)


@contextmanager
def answering() -> Iterator[str]:
    """The address of a server that is well."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()

        def log_message(self, *words: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()


def test_the_standby_is_synced_and_clients_are_led_there_and_a_second_run_changes_nothing(pair: Pair) -> None:
    checked = pair.play("--check")
    untouched = (pair.argocd.asked == [], pair.names.address(), MARK.exists())
    first, second = pair.play(), pair.play()

    assert (checked.return_code, checked.changed) == (0, 1), checked.output
    assert untouched == (True, ["127.0.0.1"], False)
    assert first.return_code == 0, first.output
    assert first.result == {"application": "web", "was": "OutOfSync, Degraded", "synced": True, "state": SWITCHED}
    assert (second.return_code, second.changed) == (0, 0), second.output
    assert (pair.names.address(), MARK.exists(), len(pair.argocd.asked)) == (["127.0.0.2"], True, 1)


def test_a_primary_that_is_well_is_not_left(pair: Pair) -> None:
    ended = pair.play(primary_health=pair.standby.replace("/", "/", 1) + "?primary")

    assert "the primary is well; force fails over all the same" in ended.output, ended.output
    assert (pair.argocd.asked, pair.names.address(), MARK.exists()) == ([], ["127.0.0.1"], False)


def test_a_standby_that_does_not_become_healthy_gets_no_client(pair: Pair) -> None:
    pair.argocd.phase = "Failed"

    ended = pair.play()

    assert ended.return_code == 2
    assert ended.result["state"] == BEFORE, ended.output
    assert (pair.names.address(), MARK.exists()) == (["127.0.0.1"], False)


def test_when_the_name_server_takes_no_update_that_is_said_and_the_next_run_goes_on(pair: Pair) -> None:
    key, wrong = pair.names.key_file, pair.names.folder / "wrong.key"
    wrong.write_text(key.read_text().replace('secret "', 'secret "AAAA'))
    kept = key.read_text()
    key.write_text(wrong.read_text())

    ended = pair.play()
    key.write_text(kept)
    again = pair.play()

    assert ended.return_code == 2
    assert ended.result["state"] == READY, ended.output
    assert "Give the record the standby's address" in ended.output
    assert (again.return_code, again.result["state"], pair.names.address()) == (0, SWITCHED, ["127.0.0.2"]), (
        again.output
    )


def test_values_that_cannot_be_are_refused(stage: Stage) -> None:
    dns = {"server": "127.0.0.1", "zone": ZONE, "name": RECORD, "from": "127.0.0.1", "to": "127.0.0.2"}
    sound = {
        "api": "https://127.0.0.1:1",
        "token_file": "/etc/hostname",
        "application": "web",
        "primary_health": "http://127.0.0.1:1/a",
        "standby_health": "http://127.0.0.1:1/b",
        "dns": {**dns, "key_file": "/etc/hostname"},
    }
    impossible: list[dict[str, object]] = [
        {"primary_health": "file:///etc/passwd"},
        {"standby_health": "http://127.0.0.1:1/a"},
        {"notify": "nobody"},
        {"dns": {**dns, "key_file": "/etc/../x"}},
        {"dns": {**dns, "key_file": "/etc/hostname", "name": "x\nsend"}},
        {"dns": {**dns, "key_file": "/etc/hostname", "to": "127.0.0.1"}},
        {"dns": {**dns, "key_file": "/etc/hostname", "to": "x"}},
    ]

    refusals = stage.refusals("fail_over_application.yml", [{**sound, **case} for case in impossible])

    assert all(refusal.startswith("primary_health and standby_health") for refusal in refusals), refusals
