"""`POST /-/reload`: the files are looked at, and taken over by every process of this site if they are sound."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from webhook.edge.webconfig import Role
from webhook.errors import ConfigError
from webhook.web.ask import refuse_other_sites
from webhook.web.auth import Authenticator

#: From who asks to how many rules there are now, and their revision.
TakeOver = Callable[[str], Awaitable[tuple[int, str]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reloaded:
    """200 once what stands in the files is what is decided by; 400 with every problem, and the old stays."""

    authenticator: Authenticator
    take_over: TakeOver
    _one_at_a_time: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def __call__(self, request: Request) -> Response:
        identity = await self.authenticator.allow(request, Role.OPERATOR)
        refuse_other_sites(request)
        try:
            async with self._one_at_a_time:
                rules, revision = await self.take_over(identity.name)
        except ConfigError as error:
            problems = [str(problem) for problem in error.problems]
            words = "the configuration is kept as it was: " + "; ".join(problems)
            return JSONResponse({"error": words, "problems": problems}, status_code=400)
        return JSONResponse({"rules": rules, "revision": revision})
