"""Kubernetes' probes: is the process alive, can it take notifications. They need no credentials and tell nothing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import JSONResponse, Response


async def alive(_: Request) -> Response:
    """200 while the process answers at all; it asks nobody, so that no dependency's fault restarts it."""
    return JSONResponse({"status": "ok"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """200 when a notification could be stored now.

    Raises:
        Unavailable: it could not; the dependency is named.
    """

    ping: Callable[[], Awaitable[None]]

    async def __call__(self, _: Request) -> Response:
        await self.ping()
        return JSONResponse({"status": "ready"})
