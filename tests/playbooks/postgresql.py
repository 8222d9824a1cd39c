"""A real PostgreSQL primary with a standby, both services of this machine, and a writer that counts its commits."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psycopg

from tests.playbooks.stage import control, free_port, wait_until

SCRIPT = """#!/bin/sh
### BEGIN INIT INFO
# Provides: {name}
# Required-Start:
# Required-Stop:
# Default-Start:
# Default-Stop:
### END INIT INFO
tell() {{ runuser -u postgres -- {bin}/pg_ctl -D {data} -s "$@" >/dev/null 2>&1; }}
case "$1" in
start) tell -w -l {data}.log start ;;
stop) tell -m fast -w stop ;;
status) tell status && echo running || {{ echo stopped; exit 3; }} ;;
esac
"""


def programs() -> Path:
    """Where PostgreSQL's programs lie."""
    newest = max(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parents[1].name))
    return newest.parent


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """One server, which is an init script of this machine as well."""

    name: str
    folder: Path
    address: str
    port: int

    @property
    def data(self) -> Path:
        return self.folder / self.name

    @property
    def socket_folder(self) -> Path:
        return self.folder / f"{self.name}-socket"

    @property
    def unit(self) -> str:
        return f"alertmend-{self.name}"

    @property
    def script(self) -> Path:
        return Path("/etc/init.d") / self.unit

    def install(self) -> None:
        """Write the init script, and what this server has for itself in its configuration."""
        self.script.write_text(SCRIPT.format(name=self.unit, bin=programs(), data=self.data))
        self.script.chmod(0o755)
        self.socket_folder.mkdir()
        shutil.chown(self.socket_folder, "postgres", "postgres")
        with (self.data / "postgresql.conf").open("a") as configuration:
            configuration.write(
                f"listen_addresses = '{self.address}'\nport = {self.port}\n"
                f"unix_socket_directories = '{self.socket_folder}'\n"
            )

    def start(self) -> None:
        control(self.unit, "start")

    def kill(self) -> None:
        """End it as a power cut would."""
        leader = int((self.data / "postmaster.pid").read_text().split()[0])
        for line in subprocess.run(
            ["ps", "-o", "pid=", "--ppid", str(leader)], capture_output=True, text=True, check=False
        ).stdout.split():
            _kill(int(line))
        _kill(leader)
        wait_until(lambda: not Path(f"/proc/{leader}/cmdline").exists() or _is_zombie(leader))

    def connect(self, *, timeout: int = 5) -> psycopg.Connection[tuple[object, ...]]:
        """A connection over the socket, as its owner."""
        return psycopg.connect(
            host=str(self.socket_folder),
            port=self.port,
            user="postgres",
            dbname="postgres",
            autocommit=True,
            connect_timeout=timeout,
        )

    def ask(self, question: str) -> object:
        """The one value that is the answer; None when nobody answers."""
        try:
            with self.connect() as connection:
                cursor = connection.execute(question.encode())
                row = cursor.fetchone() if cursor.description else None
                return row[0] if row else None
        except psycopg.OperationalError:
            return None

    def takes_writes(self) -> bool:
        return self.ask("SELECT pg_is_in_recovery()") is False


def _kill(pid: int) -> None:
    try:
        os.kill(pid, 9)
    except ProcessLookupError:
        return


def _is_zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes() == b""
    except OSError:
        return True


@contextmanager
def pair() -> Iterator[tuple[Server, Server]]:
    """A primary that waits for its standby at each commit, with a table `entry (number bigint)`."""
    # Not below pytest's folders, which nobody else may enter.
    with tempfile.TemporaryDirectory(prefix="alertmend-pg-", ignore_cleanup_errors=True) as name:
        folder, port = Path(name), free_port()
        shutil.chown(folder, "postgres", "postgres")
        folder.chmod(0o755)
        primary = Server(name="primary", folder=folder, address="127.0.0.1", port=port)
        standby = Server(name="standby", folder=folder, address="127.0.0.2", port=port)
        try:
            _make_primary(primary)
            _make_standby(standby, of=primary)
            yield primary, standby
        finally:
            for server in (primary, standby):
                control(server.unit, "stop")
                server.script.unlink(missing_ok=True)


def _make_primary(primary: Server) -> None:
    _run(str(programs() / "initdb"), "-D", str(primary.data), "-A", "trust", "-U", "postgres", "--no-sync")
    with (primary.data / "postgresql.conf").open("a") as configuration:
        configuration.write("fsync = off\nshared_buffers = 16MB\nmax_connections = 20\n")
    primary.install()
    primary.start()
    primary.ask("CREATE TABLE entry (number bigint)")


def _make_standby(standby: Server, *, of: Server) -> None:
    _run(
        *(str(programs() / "pg_basebackup"), "-D", str(standby.data), "-R", "-X", "stream", "-c", "fast"),
        *("-d", f"host={of.socket_folder} port={of.port} user=postgres application_name=db2"),
    )
    standby.install()
    standby.start()
    wait_until(lambda: of.ask("SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'") == 1)
    of.ask("ALTER SYSTEM SET synchronous_standby_names = 'db2'")
    of.ask("SELECT pg_reload_conf()")
    wait_until(lambda: of.ask("SELECT sync_state FROM pg_stat_replication") == "sync")


def _run(*words: str) -> None:
    subprocess.run(["runuser", "-u", "postgres", "--", *words], check=True, capture_output=True, cwd="/")


@dataclass(slots=True)
class Writer:
    """Commits one number after the other until it cannot any more."""

    server: Server
    #: Those whose commit was acknowledged.
    committed: list[int] = field(default_factory=list)

    def run(self) -> None:
        """Until the server is gone."""
        try:
            with self.server.connect() as connection:
                for number in range(1_000_000):
                    connection.execute("INSERT INTO entry VALUES (%s)", (number,))
                    self.committed.append(number)
        except psycopg.OperationalError:
            return


@contextmanager
def writing(server: Server) -> Iterator[Writer]:
    """A writer that has begun; it ends with its server."""
    writer = Writer(server)
    thread = threading.Thread(target=writer.run)
    thread.start()
    wait_until(lambda: len(writer.committed) > 50)
    yield writer
    thread.join(60)
    assert not thread.is_alive()
