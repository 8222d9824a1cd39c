"""Real dependencies, started once and emptied for each test: a Valkey, a SQLite file, a PostgreSQL."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import redis
from sqlalchemy import Engine, create_engine, text

from tests.edge.tampering import without_triggers
from webhook.edge.ledger import SqlLedger, metadata, open_engine
from webhook.edge.migration import migrate
from webhook.edge.valkey import EmbeddedValkey

START_SECONDS = 60
_names = count(1)


@pytest.fixture(scope="session")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedValkey]:
    """A server for the whole session."""
    server = EmbeddedValkey(storage=tmp_path_factory.mktemp("valkey"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def client(valkey: EmbeddedValkey) -> Iterator[Any]:
    """A connection to an empty server."""
    with redis.Redis.from_url(valkey.url) as connection:
        connection.flushall()
        yield connection


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The URL of a cluster of our own, without its database: it listens on a unix socket only."""
    with tempfile.TemporaryDirectory(prefix="alertmend-pg-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        server = start_postgres(folder)
        try:
            yield f"postgresql://postgres@/DATABASE?host={folder}"
        finally:
            # Ends it at once; whoever is still connected is not waited for.
            server.send_signal(signal.SIGQUIT)
            server.wait(START_SECONDS)


@pytest.fixture(scope="session")
def migrated_postgres(postgres: str) -> Iterator[Engine]:
    """A ledger's database that tests share, since making one is slow."""
    engine = open_engine(_new_database(postgres))
    migrate(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def postgres_url(postgres: str) -> str:
    """A database of its own, without any table."""
    return _new_database(postgres)


def _new_database(postgres: str) -> str:
    name = f"test{next(_names)}"
    engine = create_engine(
        postgres.replace("postgresql:", "postgresql+psycopg:").replace("DATABASE", "postgres"),
        isolation_level="AUTOCOMMIT",
    )
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    engine.dispose()
    return postgres.replace("DATABASE", name)


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'alertmend.db'}"
    return str(request.getfixturevalue("postgres_url"))


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    """A connection to an empty database of each kind."""
    found = open_engine(database_url)
    yield found
    found.dispose()


@pytest.fixture
def fresh_ledger(engine: Engine) -> SqlLedger:
    """An empty ledger in a database of its own, of each kind."""
    migrate(engine)
    return SqlLedger(engine=engine)


@pytest.fixture(params=["sqlite", "postgresql"])
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SqlLedger]:
    """An empty ledger of each kind."""
    if request.param == "sqlite":
        engine = open_engine(f"sqlite:///{tmp_path / 'alertmend.db'}")
        migrate(engine)
        yield SqlLedger(engine=engine)
        engine.dispose()
        return
    shared: Engine = request.getfixturevalue("migrated_postgres")
    with without_triggers(shared) as connection:
        connection.execute(text("TRUNCATE " + ", ".join(table.name for table in metadata.sorted_tables)))
    yield SqlLedger(engine=shared)


NewLedger = Callable[[], AbstractContextManager[SqlLedger]]


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file with every table and no row."""
    file = tmp_path_factory.mktemp("migrated") / "alertmend.db"
    engine = open_engine(f"sqlite:///{file}")
    migrate(engine)
    engine.dispose()
    return file


@pytest.fixture
def new_ledger(migrated_file: Path, tmp_path: Path) -> NewLedger:
    """Makes empty ledgers, quickly: for tests that need many."""

    @contextmanager
    def make() -> Iterator[SqlLedger]:
        file = shutil.copy(migrated_file, tmp_path / f"{next(_names)}.db")
        engine = open_engine(f"sqlite:///{file}")
        yield SqlLedger(engine=engine)
        engine.dispose()

    return make


def start_postgres(folder: Path, *, listen: str = "") -> subprocess.Popen[bytes]:
    """A cluster in a folder, the one that was there before if there was one; on an address, too, if one is given."""
    programs, data = _postgres_programs(), folder / "data"
    # The server refuses to run as root.
    owner = pwd.getpwnam("postgres") if os.getuid() == 0 else None
    user: dict[str, Any] = {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": []} if owner else {}
    if owner:
        os.chown(folder, owner.pw_uid, owner.pw_gid)
    initdb: list[str | Path] = [
        programs / "initdb",
        "-D",
        data,
        "-U",
        "postgres",
        "-A",
        "trust",
        "-E",
        "UTF8",
        "--locale=C",
        "--no-sync",
    ]
    if not data.exists():
        subprocess.run(initdb, check=True, capture_output=True, cwd=folder, **user)
        with (data / "pg_hba.conf").open("a") as access:
            access.write("host all all samenet trust\n")
    settings: dict[str, object] = {
        "listen_addresses": listen,
        "unix_socket_directories": folder,
        "fsync": "off",
        "max_connections": 50,
    }
    options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
    with (folder / "log").open("ab") as log:
        server = subprocess.Popen(
            [programs / "postgres", "-D", data, *options], stdout=log, stderr=log, cwd=folder, **user
        )
    while subprocess.run([programs / "pg_isready", "-q", "-h", folder], check=False).returncode:
        if server.poll() is not None:
            pytest.fail(f"PostgreSQL does not start: {(folder / 'log').read_text(errors='replace')}")
        time.sleep(0.02)
    return server


def _postgres_programs() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not found:
        pytest.fail("PostgreSQL is missing: apt-get install postgresql")
    return found[-1].parent
