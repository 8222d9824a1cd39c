"""Logs: one line for each thing that happens, as logfmt or JSON, to standard error."""

from __future__ import annotations

import logging
import logging.config
import sys
from typing import Any

import structlog

from webhook import tracing

FORMATS = ("logfmt", "json")
LEVELS = ("debug", "info", "warning", "error")


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
