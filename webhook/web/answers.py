"""Rows and errors as the JSON that the API promises, and the one place where errors become HTTP statuses."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from webhook.errors import (
    AccessDenied,
    ConfigError,
    NotAuthenticated,
    NotFound,
    PayloadError,
    PayloadTooLarge,
    StateConflict,
    Unavailable,
    Unsealed,
    WebhookError,
)

#: The first that fits counts.
STATUS: tuple[tuple[type[WebhookError], int], ...] = (
    (NotAuthenticated, 401),
    (AccessDenied, 403),
    (NotFound, 404),
    (StateConflict, 409),
    (PayloadTooLarge, 413),
    (PayloadError, 400),
    (ConfigError, 400),
    (Unavailable, 503),
)


Endpoint = Callable[[Request], Awaitable[Response]]


def endpoint(answer: Endpoint) -> Endpoint:
    """An object that answers, as Starlette takes it: one that can be called it would take for a whole application."""

    async def ask(request: Request) -> Response:
        return await answer(request)

    return ask


def status_of(error: WebhookError) -> int:
    """The HTTP status of an error."""
    return next((status for kind, status in STATUS if isinstance(error, kind)), 500)


def error_answer(_: Request, error: Exception) -> Response:
    """What went wrong, in words; Alertmanager writes them to its log."""
    assert isinstance(error, WebhookError)
    status = status_of(error)
    headers = {"WWW-Authenticate": 'Basic realm="alertmend", Bearer'} if status == 401 else {}
    why = {"unsealed": error.words} if isinstance(error, Unsealed) else {}
    return JSONResponse({"error": str(error), **why}, status_code=status, headers=headers)


def incident(row: Mapping[str, Any]) -> dict[str, Any]:
    """An incident as the API shows it."""
    decoded = {name: json.loads(row[name]) if row[name] else None for name in ("alerts", "runs", "decision")}
    whole = json.loads(row["body"]) if row["body"] else {}
    more = {
        name: whole.get(name) for name in ("firing", "hold", "request", "handed_over", "came_back_after", "traceparent")
    }
    columns = {name: value for name, value in row.items() if name not in ("number", "body", "came_back", "seconds")}
    return {**columns, **decoded, **more}


def run(row: Mapping[str, Any]) -> dict[str, Any]:
    """A run as the API shows it."""
    found: dict[str, Any] = json.loads(row["body"])
    return found


def audit(row: Mapping[str, Any]) -> dict[str, Any]:
    """An audit entry as the API shows it; its body is the JSON that was sealed."""
    return {**row, "body": json.loads(row["body"])}


SHOWN = {"incidents": incident, "runs": run, "audit": audit}
