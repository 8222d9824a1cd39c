"""Kubernetes' probes, which need no credentials and tell little, and the health of every part, which tells all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from webhook.checking import Checked, Checks
from webhook.edge.webconfig import Role
from webhook.web.auth import Authenticator
from webhook.web.patience import look

if TYPE_CHECKING:
    from webhook.wiring.gauges import Gauges

#: Redis answers or fails within seconds; what has waited for so long is never answered.
STALLED_SECONDS: Final = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """What is looked at by those who look whether all is well."""

    checks: Callable[[], Checks]
    gauges: Callable[[], Gauges]
    #: For how long the oldest notification that is being stored has waited for that.
    stalled_seconds: Callable[[], float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Alive:
    """200 while the process answers and goes on storing; it asks nobody, so that no dependency's fault restarts it."""

    stalled_seconds: Callable[[], float]

    async def __call__(self, _: Request) -> Response:
        stalled = self.stalled_seconds()
        if stalled > STALLED_SECONDS:
            return JSONResponse({"error": f"a notification has waited for {stalled:.0f}s to be stored"}, 503)
        return JSONResponse({"status": "ok"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """200 while all that is needed to take notifications is well, else 503 with what is not."""

    checks: Callable[[], Checks]

    async def __call__(self, _: Request) -> Response:
        return _answer("ready", await look(self._asked))

    def _asked(self) -> Sequence[Checked]:
        checks = self.checks()
        return checks.ask(checks.needed)


@dataclass(slots=True, kw_only=True)
class Started:
    """As `Ready`, until it was well once: after that 200, whatever happens."""

    checks: Callable[[], Checks]
    _has_started: bool = False

    async def __call__(self, _: Request) -> Response:
        checked = () if self._has_started else await look(self._asked)
        self._has_started = all(found.ok for found in checked)
        return _answer("started", checked)

    def _asked(self) -> Sequence[Checked]:
        checks = self.checks()
        return checks.ask(checks.starting)


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """`GET /health`: every check, asked side by side; 503 when one of them fails."""

    authenticator: Authenticator
    checks: Callable[[], Checks]

    async def __call__(self, request: Request) -> Response:
        await self.authenticator.allow(request, Role.VIEWER)
        checked = await look(lambda: self.checks().ask())
        is_well = all(found.ok for found in checked)
        shown = [
            {
                "name": found.name,
                "ok": found.ok,
                "detail": found.words,
                "latency_seconds": round(found.latency_seconds, 6),
            }
            for found in checked
        ]
        body = {"status": "ok" if is_well else "failing", "checks": shown}
        return JSONResponse(body, status_code=200 if is_well else 503)


def _answer(status: str, checked: Sequence[Checked]) -> Response:
    failed = [f"{found.name}: {found.words}" for found in checked if not found.ok]
    if failed:
        return JSONResponse({"error": "; ".join(failed)}, status_code=503)
    return JSONResponse({"status": status})
