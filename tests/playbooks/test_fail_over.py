"""fail_over.yml: a real PostgreSQL primary is lost while it is written to, and a real BIND leads to its standby."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from tests.playbooks.bind import RECORD, ZONE, Bind, bind
from tests.playbooks.debian import find
from tests.playbooks.postgresql import Server, pair, programs, writing
from tests.playbooks.stage import PlayEnd, Stage, wait_until

MARK = Path("/var/lib/alertmend/fail_over/test")
BEFORE = "the primary is as it was, the standby is no primary"
PROMOTED = "the standby is the primary, clients are led to the old one, which is fenced and down"
SWITCHED = "the standby is the primary, clients are led there"


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """A primary at 127.0.0.1, its standby at 127.0.0.2, and a name for the one that serves."""

    primary: Server
    standby: Server
    names: Bind
    stage: Stage

    def play(self, *options: str, **variables: object) -> PlayEnd:
        return self.stage.play("fail_over.yml", self.variables(**variables), *options)

    def variables(self, **variables: object) -> dict[str, object]:
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
            "cluster": "test",
            "standby": "db2",
            "service": self.primary.unit,
            "data_folder": str(self.primary.data),
            "bin_folder": str(programs()),
            "port": self.primary.port,
            "socket_folder": str(self.primary.socket_folder),
            "standby_socket_folder": str(self.standby.socket_folder),
            "switch": "dns",
            "dns": dns,
            "promote_timeout": 20,
        }
        return {**sound, **variables}

    def rows(self, server: Server) -> set[int]:
        with server.connect() as connection:
            return {int(str(row[0])) for row in connection.execute("SELECT number FROM entry")}


@pytest.fixture
def cluster(stage: Stage, tmp_path: Path) -> Iterator[Cluster]:
    stage.hosts["db2"] = {"ansible_python_interpreter": sys.executable}
    MARK.unlink(missing_ok=True)
    with ExitStack() as stack:
        primary, standby = stack.enter_context(pair())
        names = stack.enter_context(bind(tmp_path, "127.0.0.1"))
        yield Cluster(primary=primary, standby=standby, names=names, stage=stage)
    MARK.unlink(missing_ok=True)


def test_no_committed_row_is_lost_when_the_primary_dies_and_clients_are_led_to_the_standby(cluster: Cluster) -> None:
    with writing(cluster.primary) as writer:
        cluster.primary.kill()

    end = cluster.play()
    second = cluster.play()

    assert end.return_code == 0, end.output
    assert end.result == {"cluster": "test", "primary": "db2", "state": SWITCHED}
    assert cluster.standby.takes_writes()
    assert cluster.names.address() == ["127.0.0.2"]
    assert len(writer.committed) > 50
    assert set(writer.committed) - cluster.rows(cluster.standby) == set()
    assert not MARK.exists()
    assert (second.return_code, second.changed) == (0, 0), second.output

    # Whoever starts the old one gets no second primary.
    cluster.primary.start()
    wait_until(lambda: cluster.primary.ask("SELECT 1") == 1)
    assert not cluster.primary.takes_writes()


def test_a_primary_that_answers_is_left_alone_and_check_mode_changes_nothing(cluster: Cluster) -> None:
    refused = cluster.play()
    checked = cluster.play("--check", force=True)

    assert (refused.return_code, refused.changed) == (2, 0), refused.output
    assert "the primary answers and takes writes" in refused.output
    assert (checked.return_code, checked.changed) == (0, 1), checked.output
    assert cluster.primary.takes_writes()
    assert not cluster.standby.takes_writes()
    assert cluster.names.address() == ["127.0.0.1"]


def test_a_primary_that_did_not_wait_for_the_standby_is_not_replaced(cluster: Cluster) -> None:
    cluster.primary.ask("ALTER SYSTEM SET synchronous_standby_names = 'db2, db3'")
    cluster.primary.kill()

    end = cluster.play()

    assert (end.return_code, end.changed) == (2, 0), end.output
    assert "the primary does not wait for db2 at each commit" in end.output
    assert not cluster.standby.takes_writes()


def test_when_the_standby_cannot_be_promoted_the_primary_gets_back_what_was_taken(cluster: Cluster) -> None:
    # A standby that has paused replays nothing, so that it never has all that it got.
    cluster.standby.ask("SELECT pg_wal_replay_pause()")
    cluster.primary.ask("INSERT INTO entry VALUES (1)")

    end = cluster.play(force=True, promote_timeout=1)

    assert end.return_code == 2, end.output
    assert end.result == {"cluster": "test", "primary": "web1", "state": BEFORE}
    assert f"test was not failed over; {BEFORE}" in end.output
    assert cluster.primary.takes_writes()
    assert not cluster.standby.takes_writes()
    assert cluster.names.address() == ["127.0.0.1"]
    assert not MARK.exists()


def test_when_the_name_server_fails_after_the_promotion_that_is_said_and_the_next_run_goes_on(
    cluster: Cluster, tmp_path: Path
) -> None:
    stranger = tmp_path / "stranger.key"
    stranger.write_text(cluster.names.key_file.read_text().replace('secret "', 'secret "AAAA'))
    variables = cluster.variables()
    cluster.primary.kill()

    failed = cluster.play(dns={**variables["dns"], "key_file": str(stranger)})  # type: ignore[dict-item]
    led_to, marked = cluster.names.address(), MARK.exists()
    again = cluster.play()

    assert failed.return_code == 2, failed.output
    assert failed.result == {"cluster": "test", "primary": "db2", "state": PROMOTED}
    assert (led_to, marked) == (["127.0.0.1"], True)
    assert not cluster.primary.takes_writes()
    assert again.return_code == 0, again.output
    assert again.result["state"] == SWITCHED
    assert cluster.names.address() == ["127.0.0.2"]


def test_a_run_that_is_killed_after_the_promotion_is_taken_up(cluster: Cluster) -> None:
    cluster.primary.kill()
    cluster.stage.play_until(cluster.standby.takes_writes, "fail_over.yml", cluster.variables())

    end = cluster.play()

    assert end.return_code == 0, end.output
    assert cluster.names.address() == ["127.0.0.2"]


def test_a_standby_that_somebody_promoted_is_left_to_them(cluster: Cluster) -> None:
    cluster.primary.kill()
    cluster.standby.ask("SELECT pg_promote()")

    end = cluster.play()

    assert (end.return_code, end.changed) == (2, 0), end.output
    assert "somebody is at work on it" in end.output
    assert cluster.names.address() == ["127.0.0.1"]


@pytest.fixture
def interface() -> Iterator[str]:
    """A network interface of one's own, which leads nowhere."""
    name = "alertmend0"
    subprocess.run(["ip", "link", "add", name, "type", "bridge"], check=True)
    subprocess.run(["ip", "link", "set", name, "up"], check=True)
    yield name
    subprocess.run(["ip", "link", "delete", name], check=True)


def test_a_primary_whose_host_is_gone_is_fenced_by_a_command_and_its_address_taken_over(
    cluster: Cluster, interface: str, tmp_path: Path
) -> None:
    find(program="arping", package="iputils-arping")
    cluster.primary.kill()
    fenced = tmp_path / "fenced"
    away = {
        "fence": "command",
        "fence_command": ["touch", str(fenced)],
        "switch": "address",
        "virtual_address": {"address": "192.0.2.7/24", "interface": interface},
    }

    unproved = cluster.play(**away)
    untouched = not fenced.exists()
    with listening() as told:
        end = cluster.play(**away, data_loss="accept", notify=f"http://127.0.0.1:{told.port}/hook")

    assert (unproved.return_code, unproved.changed, untouched) == (2, 0, True), unproved.output
    assert "nobody knows whether it waited" in unproved.output
    assert end.return_code == 0, end.output
    assert fenced.exists()
    assert cluster.standby.takes_writes()
    assert b"192.0.2.7/24" in subprocess.run(["ip", "address", "show", interface], capture_output=True).stdout
    assert told.bodies == [{"cluster": "test", "primary": "web1", "standby": "db2", "state": SWITCHED}]


@dataclass(kw_only=True)
class Told:
    """What was posted."""

    port: int = 0
    bodies: list[object] = field(default_factory=list)


@contextmanager
def listening() -> Iterator[Told]:
    """A server that takes what is posted."""
    told = Told()

    class Take(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            told.bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Take)
    told.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield told
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_values_that_cannot_be_are_refused(stage: Stage) -> None:
    stage.hosts["db2"] = {"ansible_python_interpreter": sys.executable}
    dns: dict[str, object] = {
        "server": "127.0.0.1",
        "zone": ZONE,
        "name": RECORD,
        "from": "127.0.0.1",
        "to": "127.0.0.2",
        "key_file": "/etc/bind/update.key",
    }
    sound: dict[str, object] = {
        "cluster": "test",
        "standby": "db2",
        "service": "postgresql",
        "data_folder": "/nowhere/data",
        "bin_folder": "/nowhere/bin",
        "socket_folder": "/nowhere/socket",
        "standby_socket_folder": "/nowhere/socket",
        "switch": "dns",
        "dns": dns,
    }
    wrong: dict[str, list[object]] = {
        "cluster": ["../x", "", None, "a b"],
        "standby": ["nowhere", None, "-x"],
        "fence": ["hope", "command"],
        "service": [None, "-x", "a;b"],
        "data_folder": [None, "data", "/srv/../x"],
        "bin_folder": [None, "bin"],
        "system_user": ["-u", "Root"],
        "switch": [None, "address", "luck"],
        "dns": [
            None,
            {**dns, "server": "localhost"},
            {**dns, "name": "a b"},
            {**dns, "name": "x\nupdate delete shop.example"},
            {**dns, "to": "127.0.0.2\nsend"},
            {**dns, "key_file": "update.key"},
            {**dns, "port": 0},
        ],
        "promote_timeout": [0],
        "data_loss": ["perhaps"],
        "notify": ["file:///etc/passwd"],
    }

    cases = [{**sound, name: value} for name, values in wrong.items() for value in values]
    stage.refusals("fail_over.yml", cases)
