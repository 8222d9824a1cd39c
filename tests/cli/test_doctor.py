"""`alertmend doctor` against what is really there: each thing that it looks at is broken once."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import redis
from sqlalchemy import text

from tests.cli.conftest import Result
from tests.edge.conftest import start_postgres
from tests.journey.harness import Processes, free_port
from webhook.edge.ledger import open_engine
from webhook.edge.migration import migrate
from webhook.edge.store.watch import RedisWatch
from webhook.edge.valkey import EmbeddedValkey
from webhook.signs import Pulse

Run = Callable[..., Result]


@pytest.fixture
def examined(alertmend: Run, site: Path) -> Callable[..., tuple[int, dict[str, list[dict[str, Any]]]]]:
    """`alertmend doctor` on the site: its exit status, and what it found of each check."""

    def run(*words: object) -> tuple[int, dict[str, list[dict[str, Any]]]]:
        files = (f"--config.file={site / 'alertmend.yml'}", f"--storage.path={site / 'data'}")
        answer = alertmend("doctor", *files, "--output=json", *words)
        found: dict[str, list[dict[str, Any]]] = {}
        for row in json.loads(answer.out):
            found.setdefault(row["check"], []).append(row)
        return answer.status, found

    return run


Examined = Callable[..., tuple[int, dict[str, list[dict[str, Any]]]]]


def _add(site: Path, text: str) -> None:
    with (site / "alertmend.yml").open("a") as config:
        config.write(text)


def test_a_sound_site_has_no_problem_and_nothing_is_made(examined: Examined, site: Path) -> None:
    status, found = examined()
    assert status == 0
    wanted = {"configuration", "inventory", "secrets", "writers", "storage", "ansible", "playbooks", "redis"}
    assert found.keys() == wanted | {"database", "alertmanager", "clock"}
    bad = [row for rows in found.values() for row in rows if row["state"] not in ("ok", "warning")]
    assert bad == []
    assert not (site / "data").exists()


def test_a_configuration_that_cannot_be_used_ends_with_2_and_what_needs_none_is_looked_at(
    examined: Examined, site: Path
) -> None:
    _add(site, "modus: auto\n")
    status, found = examined()
    assert status == 2
    assert "alertmend.yml:3:1: unknown key 'modus'" in found["configuration"][0]["words"]
    assert found["inventory"][0]["state"] == found["ansible"][0]["state"] == "ok"
    assert "redis" not in found


def test_an_inventory_that_ansible_cannot_read_is_named(examined: Examined, site: Path) -> None:
    (site / "inventory.ini").write_text("[web\n")
    status, found = examined()
    assert status == 2
    assert found["inventory"][0]["state"] == "unusable"


def _examine_as(user: int, site: Path) -> list[dict[str, Any]]:
    command = ["unshare", "--user", f"--map-user={user}", sys.executable, "-m", "webhook.cli", "doctor"]
    files = [f"--config.file={site / 'alertmend.yml'}", f"--storage.path={site / 'data'}", "--output=json"]
    answer = subprocess.run([*command, *files], capture_output=True, text=True, check=False)
    found: list[dict[str, Any]] = json.loads(answer.stdout)
    return found


@pytest.mark.parametrize(
    ("user", "words"),
    [(54321, "the user 54321 has no name"), (65534, "/nonexistent, the home of this user, cannot be written to")],
)
def test_a_user_for_whom_neither_ssh_nor_ansible_works_is_found(site: Path, user: int, words: str) -> None:
    found = [row for row in _examine_as(user, site) if row["check"] == "ansible" and words in row["words"]]
    assert [row["state"] for row in found] == ["warning"]


def test_secrets_that_only_root_may_look_for_are_reported_to_others(site: Path) -> None:
    (site / "secrets").mkdir()
    (site / "secrets/db-url").touch()
    (site / "secrets").chmod(0)
    _add(site, "database: {url_file: secrets/db-url}\n")
    found = {row["check"]: row for row in _examine_as(54321, site)}
    assert "cannot be read: Permission denied" in found["configuration"]["words"]
    assert "0 are named" in found["secrets"]["words"]


def test_a_playbook_that_ansible_does_not_understand_is_named(examined: Examined, site: Path) -> None:
    (site / "playbooks/restart.yml").write_text("- hosts: all\n  tasks:\n    - no.such.module: {}\n")
    status, found = examined()
    assert status == 1
    assert "restart.yml" in found["playbooks"][0]["words"] and "no.such.module" in found["playbooks"][0]["words"]
    assert "--syntax-check" in found["playbooks"][0]["hint"]


def test_a_secret_that_others_may_read_is_named_with_its_mode(examined: Examined, site: Path) -> None:
    for name, mode in (("db-url", 0o644), ("am-pass", 0o640), ("token", 0o604)):
        (site / name).write_text(f"sqlite:///{site}/x.db" if name == "db-url" else "secret")
        (site / name).chmod(mode)
    (site / "web.yml").write_text("receiver_tokens_files: [token]\n")
    server = "{url: 'http://127.0.0.1:1', http_config: {authorization: {credentials_file: am-pass}}}"
    _add(site, f"database: {{url_file: db-url}}\nalertmanagers: [{server}]\n")
    _, found = examined(f"--web.config.file={site / 'web.yml'}")
    assert [row["words"].split()[0].rpartition("/")[2] for row in found["secrets"]] == ["db-url", "token"]
    assert "its mode is 0644" in found["secrets"][0]["words"]
    assert found["secrets"][0]["hint"] == f"chmod 0600 {site / 'db-url'}"


@pytest.mark.parametrize("name", ["playbooks/restart.yml", "RULES", "RULES/..", "group_vars/all.yml"])
def test_what_anyone_may_write_is_named(examined: Examined, site: Path, name: str) -> None:
    (site / "group_vars").mkdir()
    (site / "group_vars/all.yml").write_text("{}\n")
    [rules] = [file for file in site.rglob("*.yml") if file.read_text().startswith("rules:")]
    file = (rules.parent if name.endswith("..") else rules) if name.startswith("RULES") else site / name
    file.chmod(0o777)
    status, found = examined()
    assert status == 1
    assert "may write" in found["writers"][0]["words"] and str(file) in found["writers"][0]["words"]


def test_a_storage_path_that_others_may_look_into_is_a_warning(examined: Examined, site: Path) -> None:
    (site / "data").mkdir(mode=0o755)
    status, found = examined()
    assert status == 0
    assert found["storage"][0]["state"] == "warning" and "chmod 0700" in found["storage"][0]["hint"]


def test_a_redis_that_is_away_ends_with_3(examined: Examined, site: Path) -> None:
    _add(site, f"redis: {{url: 'redis://127.0.0.1:{free_port()}/0'}}\n")
    status, found = examined()
    assert status == 3
    assert found["redis"][0]["state"] == "unreachable" and "takes no writes" in found["redis"][0]["words"]


def test_a_redis_that_forgets_is_told_what_to_set(examined: Examined, site: Path, tmp_path: Path) -> None:

    processes, port = Processes(tmp_path), free_port()
    try:
        processes.redis(port)
        _add(site, f"redis: {{url: 'redis://127.0.0.1:{port}/0'}}\n")
        assert examined()[1]["redis"][0]["state"] == "ok"
        with redis.Redis(port=port) as client:
            client.config_set("appendonly", "no")
            client.config_set("maxmemory-policy", "allkeys-lru")
            status, found = examined()
            assert status == 1
            hints = {row["hint"] for row in found["redis"]}
            assert hints == {"set appendonly yes", "set maxmemory-policy noeviction"}
            client.config_set("maxmemory-policy", "noeviction")
            client.config_set("maxmemory", "1")
            status, found = examined()
            assert status == 3 and "maxmemory" in found["redis"][0]["words"]
    finally:
        processes.end()


def test_the_embedded_valkey_is_asked_where_it_runs(examined: Examined, site: Path) -> None:
    server = EmbeddedValkey(storage=site / "data")
    server.start()
    try:
        assert examined()[1]["redis"][0]["words"] == "it takes writes and keeps them"
    finally:
        server.stop()


def test_a_worker_that_hangs_is_missed_and_a_site_that_is_not_served_is_no_problem(
    examined: Examined, site: Path
) -> None:
    valkey = EmbeddedValkey(storage=site / "data")
    valkey.start()
    try:
        with redis.Redis.from_url(valkey.url) as client:
            watch, at = RedisWatch(client=client), datetime.now(UTC)
            status, found = examined()
            assert (status, found["workers"][0]["state"]) == (0, "warning")
            for role, state in (("intake", "problem"), ("runs", "ok")):
                pulse = Pulse(role=role, owner=f"host:{role}", at=at, started_at=at, revision="r")
                watch.pulse(pulse, lease=timedelta(minutes=5))
                assert examined()[1]["workers"][0]["state"] == state
    finally:
        valkey.stop()


def test_a_full_disk_is_a_problem_of_the_record_and_of_the_storage_path(examined: Examined, site: Path) -> None:
    storage = site / "data"
    storage.mkdir(mode=0o700)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m,mode=0700", "tmpfs", storage], check=True)
    try:
        migrate(open_engine(f"sqlite:///{storage / 'alertmend.db'}"))
        with suppress(OSError), (storage / "filler").open("wb", buffering=0) as file:
            while True:
                file.write(b"x" * 4096)
        status, found = examined()
    finally:
        subprocess.run(["umount", "--lazy", storage], check=True)
    assert (status, found["storage"][0]["state"]) == (3, "problem")
    assert "database or disk is full" in found["database"][0]["words"]


def test_a_database_that_a_newer_alertmend_wrote_is_refused(examined: Examined, site: Path) -> None:
    (site / "data").mkdir(mode=0o700)
    engine = open_engine(f"sqlite:///{site / 'data/alertmend.db'}")
    migrate(engine)
    assert examined()[1]["schema"][0]["state"] == "ok"
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    engine.dispose()
    status, found = examined()
    assert status == 1 and "9999" in found["schema"][0]["words"]


def test_a_database_that_is_away_ends_with_3(examined: Examined, site: Path) -> None:
    _add(site, f"database: {{url: 'postgresql://alertmend@127.0.0.1:{free_port()}/alertmend'}}\n")
    status, found = examined()
    assert status == 3 and found["database"][0]["state"] == "unreachable"


def test_a_postgresql_that_may_only_be_read_is_a_problem(
    examined: Examined, site: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:

    with tempfile.TemporaryDirectory(prefix="alertmend-pg-", ignore_cleanup_errors=True) as name:
        server = start_postgres(Path(name))
        try:
            url = f"postgresql://postgres@/postgres?host={name}"
            _add(site, f"database: {{url: '{url}'}}\n")
            assert examined()[1]["database"][0]["state"] == "ok"
            engine = open_engine(url)
            with engine.begin() as connection:
                connection.execute(text("ALTER ROLE postgres SET default_transaction_read_only = on"))
            engine.dispose()
            status, found = examined()
            assert status == 1 and "may only be read" in found["database"][0]["words"]
        finally:
            server.send_signal(signal.SIGQUIT)
            server.wait(60)


def test_an_alertmanager_that_is_away_ends_with_3_and_is_named(examined: Examined, site: Path) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    _add(site, f"alertmanagers: [{{url: '{url}'}}]\n")
    status, found = examined()
    assert status == 3 and found["alertmanager"][0]["words"].startswith(url)


def test_a_clock_that_differs_from_that_of_redis_is_a_warning(examined: Examined, site: Path) -> None:
    # Given a Redis that lives in 2001
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        threading.Thread(target=_old_redis, args=(server,), daemon=True).start()
        _add(site, f"redis: {{url: 'redis://127.0.0.1:{server.getsockname()[1]}/0?protocol=2'}}\n")
        _, found = examined()
    assert any("that of Redis differs from ours" in row["words"] for row in found["clock"])


def _old_redis(server: socket.socket) -> None:
    with suppress(OSError):
        while True:
            connection, _ = server.accept()
            with connection:
                while received := connection.recv(4096):
                    connection.sendall(_answer(received))


def _answer(received: bytes) -> bytes:
    answers = {
        b"PING": b"+PONG\r\n",
        b"CONFIG": b"-NOPERM\r\n",
        b"SMEMBERS": b"*0\r\n",
        b"TIME": b"*2\r\n$9\r\n978307200\r\n$1\r\n0\r\n",
    }
    return next((said for name, said in answers.items() if name in received), b"+OK\r\n" * received.count(b"*"))


def test_without_ssh_it_says_what_to_install(
    examined: Examined, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    status, found = examined()
    assert status == 0
    assert found["ansible"][-1]["hint"] == "apt-get install openssh-client"


def test_the_table_is_for_people(alertmend: Run, site: Path) -> None:
    answer = alertmend("doctor", f"--config.file={site / 'alertmend.yml'}", f"--storage.path={site / 'data'}")
    assert answer.out.startswith("CHECK ")
    assert "checks" in answer.err
