"""The database itself: opened, asked, written to by one at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache
from typing import Any

from sqlalchemy import Connection, Engine, Table, create_engine, event, func, select, text
from sqlalchemy.dialects.postgresql import insert as insert_postgresql
from sqlalchemy.dialects.sqlite import insert as insert_sqlite
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from webhook.errors import RECORD, Unavailable

#: A server that is gone without a word is noticed.
_PATIENCE = {
    "connect_timeout": 5,
    "keepalives_idle": 15,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 15_000,
}
#: An appender waits no longer for another one, and one that was frozen in the middle is put out.
_APPENDING = text(
    "SELECT set_config('lock_timeout', '10s', true), set_config('idle_in_transaction_session_timeout', '60s', true)"
)
#: Whoever looks waits no longer for someone who locks a table, and is told so before they give up.
_LOOKING = text("SELECT set_config('lock_timeout', '3s', true)")
#: Any number; the same in every process that appends to one PostgreSQL.
_APPEND_LOCK = 0x616D656E64


def open_engine(url: str) -> Engine:
    """An engine on a database by SQLAlchemy URL; `postgresql://` is spoken through psycopg.

    SQLite is opened with a write-ahead log and full synchronisation: what was appended survives a power cut.
    """
    if url.startswith(("postgres://", "postgresql://")):
        url = "postgresql+psycopg://" + url.partition("://")[2]
        return create_engine(url, pool_pre_ping=True, connect_args=_PATIENCE)
    engine = create_engine(url, connect_args={"timeout": 10})

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _: object) -> None:
        # SQLAlchemy's "begin" below starts transactions; the driver must not do so on its own.
        connection.isolation_level = None
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get("alertmend_writes", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


@contextmanager
def reading(engine: Engine, *, alone: bool = False) -> Iterator[Connection]:
    """A connection to ask; with each statement `alone` in no transaction. An error of the database is `Unavailable`."""
    options: dict[str, Any] = {"isolation_level": "AUTOCOMMIT"} if alone else {}
    with answering(), engine.connect().execution_options(**options) as connection:
        if is_postgresql(connection) and not alone:
            connection.execute(_LOOKING)
        yield connection


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """A transaction of the one process that writes at this moment; an error of the database is `Unavailable`."""
    with (
        answering(),
        engine.connect().execution_options(alertmend_writes=True) as connection,
        connection.begin(),
    ):
        if is_postgresql(connection):
            connection.execute(_APPENDING)
        keep_others_out(connection)
        yield connection


def keep_others_out(connection: Connection) -> None:
    """Until this transaction ends nobody else appends, or two entries would follow the same one."""
    if is_postgresql(connection):
        connection.execute(select(func.pg_advisory_xact_lock(_APPEND_LOCK)))


@contextmanager
def answering() -> Iterator[None]:
    """An error of the database is `Unavailable`, with its first line of words."""
    try:
        yield
    except (DBAPIError, SQLAlchemyError, OSError) as error:
        cause = getattr(error, "orig", None) or error
        raise Unavailable(RECORD, str(cause).splitlines()[0]) from error


def is_postgresql(connection: Connection) -> bool:
    """Whether it is PostgreSQL; otherwise it is SQLite."""
    return connection.dialect.name == "postgresql"


def refuses_writes(connection: Connection) -> bool:
    """Whether it may only be read from: a standby, or a user who may not write."""
    return is_postgresql(connection) and connection.scalar(text("SHOW transaction_read_only")) == "on"


def time_of(engine: Engine) -> datetime:
    """What its server's clock shows."""
    with reading(engine) as connection:
        if not is_postgresql(connection):
            return datetime.now(UTC)
        there = connection.scalar(text("SELECT clock_timestamp()"))
        assert isinstance(there, datetime)
        return there.astimezone(UTC)


def upserting(table: Table, *, postgresql: bool) -> Any:
    """An INSERT into `table` that such a database's ON CONFLICT clause can be added to."""
    return insert_postgresql(table) if postgresql else insert_sqlite(table)


def upsert(connection: Connection, table: Table, rows: Sequence[dict[str, Any]]) -> None:
    """Insert or replace."""
    if rows:
        connection.execute(_upsertion(table, is_postgresql(connection)), rows)


@cache
def _upsertion(table: Table, postgresql: bool) -> Any:
    statement = upserting(table, postgresql=postgresql)
    keys = [column.name for column in table.primary_key]
    new = {column.name: statement.excluded[column.name] for column in table.columns if column.name not in keys}
    return statement.on_conflict_do_update(index_elements=keys, set_=new)
