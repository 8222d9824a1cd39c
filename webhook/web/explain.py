"""What would be decided, said over HTTP."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from webhook.core.alert import Alert, AlertStatus, fingerprint_of
from webhook.edge.webconfig import Role
from webhook.errors import PayloadError
from webhook.explaining import shown
from webhook.text import clean
from webhook.web.ask import document
from webhook.web.auth import Authenticator
from webhook.wiring.clock import now

if TYPE_CHECKING:
    from webhook.wiring.desk import Desk


@dataclass(frozen=True, slots=True, kw_only=True)
class Explained:
    """`POST /api/v1/explain` with `{"labels", "annotations"}`: what would be decided on such an alert."""

    desk: Callable[[], Desk]
    authenticator: Authenticator

    async def __call__(self, request: Request) -> Response:
        await self.authenticator.allow(request, Role.VIEWER)
        asked = await document(request, known=("labels", "annotations"), required=("labels",))
        alert = alert_of(_texts(asked, "labels"), _texts(asked, "annotations"))
        return JSONResponse(await run_in_threadpool(self._explain, alert))

    def _explain(self, alert: Alert) -> Mapping[str, Any]:
        return shown(self.desk().explaining.explain(alert))


def alert_of(labels: Mapping[str, str], annotations: Mapping[str, str]) -> Alert:
    """An alert with these labels that begins to fire now."""
    return Alert(
        status=AlertStatus.FIRING,
        labels=labels,
        annotations=annotations,
        starts_at=now(),
        ends_at=None,
        fingerprint=fingerprint_of(labels),
    )


def _texts(asked: Mapping[str, Any], name: str) -> dict[str, str]:
    found = asked.get(name, {})
    if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
        raise PayloadError(f"{name!r} must be an object of texts")
    return {clean(key): clean(value) for key, value in found.items()}
