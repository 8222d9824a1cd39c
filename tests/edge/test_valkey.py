"""The embedded server: started, adopted, killed, and always with what it had acknowledged."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import redis

from webhook.edge.valkey import MAX_SOCKET_PATH_BYTES, EmbeddedValkey, socket_path
from webhook.errors import Unavailable

STARTER = """
import sys
from pathlib import Path
from webhook.edge.valkey import EmbeddedValkey
print(EmbeddedValkey(storage=Path(sys.argv[1])).start(), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EmbeddedValkey]:
    found = EmbeddedValkey(storage=tmp_path / "data")
    yield found
    end(found)


def end(server: EmbeddedValkey) -> None:
    """Stopped, whoever started it."""
    with suppress(redis.RedisError):
        pid = process_id(server)
        server.stop()
        wait_for_end(pid)


def process_id(server: EmbeddedValkey) -> int:
    with redis.Redis.from_url(server.url) as client:
        return int(client.info("server")["process_id"])


def wait_for_end(pid: int) -> None:
    while Path(f"/proc/{pid}/stat").exists() and Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z":
        time.sleep(0.005)


def test_it_starts_on_a_socket_that_is_nobody_elses_and_is_started_once(server: EmbeddedValkey) -> None:
    assert not server.answers()
    assert server.start()
    assert server.answers()
    assert not server.start()
    assert socket_path(server.storage).stat().st_mode & 0o077 == 0
    assert server.storage.stat().st_mode & 0o077 == 0
    with redis.Redis.from_url(server.url) as client:
        settings = client.config_get("*")
    expected = {"appendonly": "yes", "appendfsync": "always", "maxmemory-policy": "noeviction", "port": "0", "save": ""}
    assert {name: settings[name] for name in expected} == expected


def test_it_ends_when_it_is_told_to_and_starts_with_what_it_had(server: EmbeddedValkey) -> None:
    server.start()
    with redis.Redis.from_url(server.url) as client:
        client.set("kept", "yes")
    server.stop()
    assert not server.answers()
    server.stop()
    assert server.start()
    with redis.Redis.from_url(server.url) as client:
        assert client.get("kept") == b"yes"


def test_what_was_acknowledged_is_there_after_a_kill(server: EmbeddedValkey) -> None:
    server.start()
    with redis.Redis.from_url(server.url) as client:
        for number in range(50):
            client.lpush("kept", number)
        pid = client.info("server")["process_id"]
        # Given a write that is acknowledged, when the server is killed at once
        os.kill(pid, signal.SIGKILL)
    wait_for_end(pid)
    # Then its socket, which is still there, is in nobody's way
    assert server.start()
    with redis.Redis.from_url(server.url) as client:
        assert client.llen("kept") == 50


def test_one_that_outlives_its_starter_is_adopted(server: EmbeddedValkey) -> None:
    command = [sys.executable, "-c", STARTER, str(server.storage)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as starter:
        assert starter.stdout is not None and starter.stdout.readline() == b"True\n"
        pid = process_id(server)
        starter.kill()
        starter.wait()
    assert not server.start()
    assert process_id(server) == pid


def test_of_many_starters_at_once_one_starts_it(server: EmbeddedValkey) -> None:
    command = [sys.executable, "-c", STARTER, str(server.storage)]
    starters = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) for _ in range(4)]
    answers = [starter.communicate()[0] for starter in starters]
    assert sorted(answers) == [b"False\n"] * 3 + [b"True\n"]
    assert len(list(servers_of(server.storage))) == 1


def servers_of(storage: Path) -> Iterator[int]:
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            words = (folder / "cmdline").read_bytes().split(b"\0")
            # It calls itself by its name and its socket once it runs.
            if b"valkey-server" in words[0] and str(storage).encode() in b" ".join(words):
                yield int(folder.name)


def test_one_that_is_slow_to_answer_is_waited_for_and_not_doubled(server: EmbeddedValkey) -> None:
    server.start()
    pid = process_id(server)
    # Given a server that does not answer at all for longer than a question waits
    os.kill(pid, signal.SIGSTOP)
    wakes = threading.Timer(5.2, os.kill, [pid, signal.SIGCONT])
    wakes.start()
    assert not EmbeddedValkey(storage=server.storage).start()
    wakes.join()
    assert process_id(server) == pid


def test_a_long_storage_path_gets_a_short_socket_of_its_own(tmp_path: Path) -> None:
    storage = tmp_path / ("long" * 20) / ("longer" * 20)
    other = EmbeddedValkey(storage=storage / "other")
    server = EmbeddedValkey(storage=storage)
    assert len(os.fsencode(socket_path(storage))) <= MAX_SOCKET_PATH_BYTES
    assert socket_path(storage) != socket_path(other.storage)
    try:
        assert server.start()
        assert not other.answers()
        with redis.Redis.from_url(server.url) as client:
            client.set("kept", "yes")
        assert (storage / "appendonlydir").is_dir()
        assert socket_path(storage).parent.stat().st_mode & 0o077 == 0
    finally:
        end(server)
    # Then nothing of it is left
    assert not socket_path(storage).parent.exists()


def test_a_folder_that_someone_else_laid_out_for_the_socket_is_refused(tmp_path: Path) -> None:
    storage = tmp_path / ("long" * 20) / ("longer" * 20)
    folder = socket_path(storage).parent
    folder.mkdir()
    try:
        os.chown(folder, 12345, 12345)
        with pytest.raises(Unavailable, match="someone else"):
            EmbeddedValkey(storage=storage).start()
    finally:
        folder.rmdir()


def test_a_storage_path_that_belongs_to_someone_else_and_can_be_written_to_is_used(server: EmbeddedValkey) -> None:
    """Kubernetes hands out volumes that belong to root, with the process's group."""
    server.storage.mkdir()
    os.chown(server.storage, 12345, 12345)
    assert server.start()


def test_one_that_cannot_start_says_where_to_read_why(server: EmbeddedValkey) -> None:
    server.storage.mkdir()
    (server.storage / "appendonlydir").write_text("in the way")
    with pytest.raises(Unavailable, match=r"valkey\.log"):
        server.start()
    assert (server.storage / "valkey.log").read_text()
