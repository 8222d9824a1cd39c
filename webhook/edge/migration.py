"""Brings the ledger's database to the schema that this version knows, and refuses a newer one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from webhook.edge.ledger.database import answering, keep_others_out
from webhook.edge.ledger.rebuild import catch_up
from webhook.errors import RECORD, Unavailable, WebhookError


class SchemaTooNew(WebhookError):
    """The database was written by a newer alertmend; install that version, or give this one another database."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Schema:
    """Which schema a database has, and which one this version would give it."""

    #: None: no alertmend was here yet.
    found: str | None
    newest: str
    is_too_new: bool


def schema_of(engine: Engine) -> Schema:
    """The schema of a database, which is left as it is.

    Raises:
        Unavailable: the database does not answer.
    """
    scripts = ScriptDirectory.from_config(_settings())
    with answering(), engine.connect() as connection:
        found = MigrationContext.configure(connection).get_current_revision()
    known = {script.revision for script in scripts.walk_revisions()}
    newest = scripts.get_current_head() or ""
    return Schema(found=found, newest=newest, is_too_new=found is not None and found not in known)


def migrate(engine: Engine) -> None:
    """The schema is up to date when this returns; nothing in the log is changed.

    Raises:
        SchemaTooNew: a newer alertmend was here.
        Unavailable: the database does not answer.
    """
    settings = _settings()
    try:
        with engine.connect().execution_options(alertmend_writes=True) as connection, connection.begin():
            # A receiver and a worker that start together must not both create the tables, and what a third one appends
            # meanwhile must not be caught up with as well.
            keep_others_out(connection)
            found = MigrationContext.configure(connection).get_current_revision()
            known = {script.revision for script in ScriptDirectory.from_config(settings).walk_revisions()}
            if found is not None and found not in known:
                raise SchemaTooNew
            settings.attributes["connection"] = connection
            command.upgrade(settings, "head")
            catch_up(connection)
    except SQLAlchemyError as error:
        words = str(getattr(error, "orig", None) or error).splitlines()[0]
        where = f" ({engine.url.database})" if engine.dialect.name == "sqlite" else ""
        raise Unavailable(RECORD, words + where) from error


def _settings() -> Config:
    settings = Config()
    settings.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    return settings
