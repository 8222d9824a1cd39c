"""Logs: one line for each thing that happens, as logfmt or JSON, to standard error."""

from __future__ import annotations

import logging
import logging.config
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import structlog

from webhook import tracing

FORMATS = ("logfmt", "json")
LEVELS = ("debug", "info", "warning", "error")
#: A line names so many at most: a notification may be about thousands.
MOST_NAMED = 20


@contextmanager
def speaking_of(**about: str) -> Iterator[None]:
    """Each line of what is done meanwhile says what it is about."""
    before = structlog.contextvars.get_contextvars()
    structlog.contextvars.bind_contextvars(**about)
    try:
        yield
    finally:
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(**before)


def speak_also_of(**ids: str | None) -> None:
    """Each line says this, too, up to the end of what is spoken of; where nothing is, nothing has to be let go of."""
    if structlog.contextvars.get_contextvars():
        structlog.contextvars.bind_contextvars(**{name: id for name, id in ids.items() if id})


def named(**ids: Iterable[str | None]) -> dict[str, str]:
    """What a line is about, each id once: `incident="A B"`, or the first of many and how many more there are."""
    found = {name: list(dict.fromkeys(filter(None, values))) for name, values in ids.items()}
    return {name: _listed(values) for name, values in found.items() if values}


def _listed(ids: list[str]) -> str:
    more = f" and {len(ids) - MOST_NAMED} more" if len(ids) > MOST_NAMED else ""
    return " ".join(ids[:MOST_NAMED]) + more


def configure(*, format: str, level: str, role: str) -> None:
    """Every logger of this process writes through one formatter, with the process's role in each line."""

    def add_role(_: Any, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
        event["role"] = role
        return event

    def add_action(_: Any, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
        # What others write has no word of ours: it is theirs, under the name of their package.
        record = event.get("_record")
        event.setdefault("action", record.name.partition(".")[0] if record is not None else "other")
        return event

    def add_trace(_: Any, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
        if trace := tracing.trace_id():
            event["trace"] = trace
        return event

    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="ts"),
        add_role,
        add_action,
        add_trace,
        structlog.processors.format_exc_info,
    ]
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer()
        if format == "json"
        else structlog.processors.LogfmtRenderer(
            key_order=["ts", "level", "role", "action", "event"], bool_as_flag=False
        )
    )
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(processor=renderer, foreign_pre_chain=shared))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for chatty in ("httpx", "httpcore", "celery.redirected", "alembic", "celery.app.trace", "celery.worker.strategy"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
