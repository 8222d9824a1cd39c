"""Looks at the database of the record: does it answer, can it be written to, is its schema ours."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from webhook.edge.configfile import Config
from webhook.edge.ledger import SqlLedger, open_engine
from webhook.edge.ledger.database import refuses_writes, writing
from webhook.edge.migration import Schema, schema_of
from webhook.errors import Unavailable
from webhook.wiring.connection import database_url
from webhook.wiring.examination.finding import Finding, ok, problem, unreachable


def look_at_database(config: Config, storage: Path) -> Iterator[Finding]:
    """How it stands with it; a SQLite file that is not there yet is not made."""
    url = database_url(config, storage)
    file = url.removeprefix("sqlite:///")
    if file != url and not Path(file).exists():
        yield ok("database", f"there is none yet; `alertmend serve` makes {file}")
        return
    engine = open_engine(url)
    try:
        schema = schema_of(engine)
        with writing(engine) as connection:
            is_read_only = refuses_writes(connection)
        # In one that is empty there is no log yet that someone could hold.
        if schema.found and not is_read_only:
            SqlLedger(engine=engine).ready()
    except Unavailable as error:
        hint = "see that it runs and is not held by anyone, that this machine may reach it, and that it has room"
        yield unreachable("database", str(error), hint)
        return
    finally:
        engine.dispose()
    if is_read_only:
        yield problem("database", "it may only be read from", "name the primary, and a user who may write")
    else:
        yield ok("database", "it can be written to")
    yield _schema(schema)


def _schema(schema: Schema) -> Finding:
    if schema.is_too_new:
        hint = "install that version, or give this one another database"
        return problem("schema", f"a newer alertmend was here: {schema.found} is not known", hint)
    if schema.found != schema.newest:
        return ok("schema", f"{schema.found or 'empty'}; `alertmend serve` brings it to {schema.newest}")
    return ok("schema", f"{schema.found} is the newest that is known")
