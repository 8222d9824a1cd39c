"""The database is away, locked, full or not to be written: it is said, nothing is half done, and it goes on later."""

from __future__ import annotations

import multiprocessing
import resource
import signal
import sqlite3
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, text

from tests.edge.conftest import START_SECONDS, start_postgres
from tests.edge.test_ledger import batch, entry
from webhook.core.audit import GENESIS
from webhook.core.search import Query
from webhook.edge.ledger import LISTINGS, SqlLedger, database, open_engine
from webhook.edge.migration import migrate
from webhook.errors import Unavailable

CONTEXT = multiprocessing.get_context("spawn")

CALLS: Mapping[str, Any] = {
    "append": lambda ledger: ledger.append(batch("b", entry(1))),
    "head": lambda ledger: ledger.head(),
    "entries": lambda ledger: list(ledger.entries()),
    "verify": lambda ledger: ledger.verify(),
    "unfinished_runs": lambda ledger: ledger.unfinished_runs(),
    "pauses": lambda ledger: ledger.pauses(),
    "page": lambda ledger: ledger.page(LISTINGS["runs"], Query(), limit=1),
    "facets": lambda ledger: ledger.facets(LISTINGS["runs"], Query()),
    "one": lambda ledger: ledger.one(LISTINGS["runs"], "r1"),
    "ready": lambda ledger: ledger.ready(),
    "ping": lambda ledger: ledger.ping(),
    "migrate": lambda ledger: migrate(ledger.engine),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
@pytest.mark.parametrize("url", ["sqlite:////FOLDER/gone/alertmend.db", "postgresql://postgres@/x?host=/FOLDER"])
def test_every_call_says_when_the_database_is_away(tmp_path: Path, call: Any, url: str) -> None:
    engine = open_engine(url.replace("/FOLDER", str(tmp_path)))
    with pytest.raises(Unavailable, match="the audit database"):
        call(SqlLedger(engine=engine))
    engine.dispose()


def test_a_locked_sqlite_is_unavailable_and_takes_it_later(tmp_path: Path) -> None:
    engine = open_engine(f"sqlite:///{tmp_path / 'alertmend.db'}")

    @event.listens_for(engine, "connect")
    def hurry(connection: Any, _: object) -> None:
        connection.execute("PRAGMA busy_timeout=20")

    migrate(engine)
    ledger = SqlLedger(engine=engine)
    other = sqlite3.connect(tmp_path / "alertmend.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(Unavailable, match="locked"):
        ledger.append(batch("b1", entry(1)))
    with pytest.raises(Unavailable, match="locked"):
        ledger.ready()
    assert ledger.head() == (0, GENESIS), "whoever reads is not locked out"
    other.execute("ROLLBACK")
    other.close()
    ledger.append(batch("b1", entry(1)))
    assert ledger.verify() is None
    engine.dispose()


def test_a_postgresql_that_ended_the_connection_is_connected_to_again(postgres_url: str) -> None:
    engine = open_engine(postgres_url)
    migrate(engine)
    ledger = SqlLedger(engine=engine)
    ledger.append(batch("b1", entry(1)))
    other = open_engine(postgres_url)
    with other.connect() as connection:
        connection.execute(text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid != pg_backend_pid()"))
    other.dispose()
    ledger.append(batch("b2", entry(2)))
    assert ledger.verify() is None and ledger.head()[0] == 2
    engine.dispose()


def test_a_postgresql_whose_tables_someone_locks_is_unavailable_and_not_waited_for(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("_APPENDING", "_LOOKING"):
        monkeypatch.setattr(database, name, text("SELECT set_config('lock_timeout', '200ms', true)"))
    engine = open_engine(postgres_url)
    migrate(engine)
    ledger, other = SqlLedger(engine=engine), open_engine(postgres_url)
    with other.connect() as connection:
        # So that who would wait for it fails here, and does not hang.
        connection.execute(text("SET idle_in_transaction_session_timeout = '60s'"))
        connection.execute(text("LOCK TABLE audit, counts, runs IN ACCESS EXCLUSIVE MODE"))
        for look in (ledger.tally, ledger.unfinished_runs, ledger.ready):
            with pytest.raises(Unavailable, match="lock timeout"):
                look()
    other.dispose()
    assert ledger.tally().seq == 0
    engine.dispose()


def test_a_sqlite_that_may_only_be_read_is_read(tmp_path: Path) -> None:
    writable = open_engine(f"sqlite:///{tmp_path / 'alertmend.db'}")
    migrate(writable)
    SqlLedger(engine=writable).append(batch("b1", entry(1)))
    engine = open_engine(f"sqlite:///file:{tmp_path / 'alertmend.db'}?mode=ro&uri=true")
    ledger = SqlLedger(engine=engine)
    for write in (lambda: ledger.append(batch("b2", entry(2))), ledger.ready):
        with pytest.raises(Unavailable, match="readonly"):
            write()
    assert ledger.verify() is None and ledger.head()[0] == 1
    engine.dispose()
    writable.dispose()


def write_to_a_full_disk(file: Path, answers: Any) -> None:
    """What a process sees whose files may not grow, and then may again."""
    engine = open_engine(f"sqlite:///{file}")
    migrate(engine)
    ledger = SqlLedger(engine=engine)
    ledger.append(batch("b1", entry(1)))
    resource.setrlimit(resource.RLIMIT_FSIZE, (1, resource.RLIM_INFINITY))
    for write in (lambda: ledger.append(batch("b2", entry(2), entry(3))), ledger.ready):
        try:
            write()
        except Unavailable as error:
            answers.put(str(error))
    answers.put((ledger.verify(), ledger.head()[0]))
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    ledger.ready()
    ledger.append(batch("b2", entry(2), entry(3)))
    answers.put((ledger.verify(), ledger.head()[0]))
    engine.dispose()


def test_a_full_disk_is_said_leaves_nothing_half_done_and_is_got_over(tmp_path: Path) -> None:
    answers = CONTEXT.Queue()
    process = CONTEXT.Process(target=write_to_a_full_disk, args=(tmp_path / "alertmend.db", answers))
    process.start()
    for _ in range(2):
        assert "the audit database is not available: " in answers.get(timeout=60)
    assert answers.get(timeout=60) == (None, 1)
    assert answers.get(timeout=60) == (None, 3)
    process.join()
    answers.close()
    answers.join_thread()


@pytest.fixture
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A PostgreSQL of its own, which can be stopped and started again."""
    import tempfile

    with tempfile.TemporaryDirectory(prefix="alertmend-pg-", ignore_cleanup_errors=True) as name:
        servers = [start_postgres(Path(name))]

        def stop() -> None:
            servers[-1].send_signal(signal.SIGQUIT)
            servers[-1].wait(START_SECONDS)

        def start() -> None:
            servers.append(start_postgres(Path(name)))

        yield f"postgresql://postgres@/postgres?host={name}", stop, start
        if servers[-1].poll() is None:
            stop()


def test_a_postgresql_that_was_stopped_is_said_and_gone_on_with(cluster: Any) -> None:
    url, stop, start = cluster
    engine = open_engine(url)
    migrate(engine)
    ledger = SqlLedger(engine=engine)
    ledger.append(batch("b1", entry(1)))
    stop()
    for ask in (lambda: ledger.append(batch("b2", entry(2))), ledger.ready, ledger.head):
        with pytest.raises(Unavailable, match="the audit database"):
            ask()
    start()
    ledger.append(batch("b2", entry(2)))
    assert ledger.verify() is None and ledger.head()[0] == 2
    engine.dispose()


def test_an_appender_that_was_frozen_does_not_hold_up_the_others_for_ever(postgres_url: str, monkeypatch: Any) -> None:
    from webhook.edge.ledger import database

    hurried = str(database._APPENDING.text).replace("10s", "100ms").replace("60s", "300ms")
    monkeypatch.setattr(database, "_APPENDING", text(hurried))
    engine, other = open_engine(postgres_url), open_engine(postgres_url)
    migrate(engine)
    ledger = SqlLedger(engine=engine)
    # Given someone who has the lock and does nothing more
    frozen = database.writing(other)
    frozen.__enter__()
    with pytest.raises(Unavailable, match="lock"):
        ledger.append(batch("b1", entry(1)))
    while True:
        try:
            ledger.append(batch("b1", entry(1)))
            break
        except Unavailable:
            continue
    assert ledger.head()[0] == 1
    with pytest.raises(Unavailable):
        frozen.__exit__(None, None, None)
    engine.dispose()
    other.dispose()


def test_a_machine_starts_while_another_one_appends(postgres_url: str) -> None:
    engine, other = open_engine(postgres_url), open_engine(postgres_url)
    migrate(engine)
    appending = threading.Thread(target=SqlLedger(engine=other).append, args=(batch("b1", entry(1)),))

    # Given an entry that comes just when it was seen that all there are have been dealt with
    @event.listens_for(engine, "after_cursor_execute")
    def append(_: Any, __: Any, statement: str, *___: object) -> None:
        if "max(audit_cards" in statement:
            appending.start()
            # It has to wait, or it is there at once.
            appending.join(1)

    migrate(engine)
    appending.join()
    ledger = SqlLedger(engine=engine)
    assert ledger.head()[0] == 1 and ledger.verify() is None
    engine.dispose()
    other.dispose()
