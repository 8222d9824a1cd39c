"""The floor of a durable acknowledgement: Starlette, the body parsed, one LPUSH, 202."""

from __future__ import annotations

import json
import sys
from typing import Any

import redis.asyncio
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route


def main() -> None:
    """Serve on a port with the Redis at a URL: `python -m benchmarks.floor PORT URL`."""
    client: Any = redis.asyncio.Redis.from_url(sys.argv[2])

    async def take(request: Request) -> JSONResponse:
        body = await request.body()
        alerts = len(json.loads(body)["alerts"])
        await client.lpush("floor", body)
        return JSONResponse({"alerts": alerts}, status_code=202)

    async def alive(_: Request) -> JSONResponse:
        return JSONResponse({})

    app = Starlette(routes=[Route("/api/v1/alertmanager", take, methods=["POST"]), Route("/healthz", alive)])
    uvicorn.run(app, port=int(sys.argv[1]), loop="uvloop", http="httptools", access_log=False, log_level="error")


if __name__ == "__main__":
    main()
