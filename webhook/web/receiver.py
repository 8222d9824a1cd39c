"""Takes notifications from Alertmanager: who sends, what it is, into the inbox, 202. Nothing else happens here."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from webhook import tracing
from webhook.edge.payload import check_size, count_alerts
from webhook.edge.webconfig import Role
from webhook.errors import AccessDenied, PayloadError, WebhookError
from webhook.ports import Envelope
from webhook.web.answers import status_of
from webhook.web.auth import Authenticator
from webhook.wiring.clock import new_id, now

#: A longer number is no length; what is really sent is measured all the same.
_LENGTH = re.compile(r"[0-9]{1,18}")

_REQUEST: Final = {"http.request.method": "POST", "http.route": "/api/v1/alertmanager"}

Put = Callable[[str, Envelope], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Receiver:
    """The endpoint that Alertmanager posts to."""

    authenticator: Authenticator
    put: Put
    max_body_bytes: Callable[[], int]
    #: Counts a status that was answered instead of 202, and says why.
    refused: Callable[[int, str], None]

    async def __call__(self, request: Request) -> Response:
        """202 once the notification lies in the inbox.

        Raises:
            AccessDenied: the sender may not deliver, or is a browser.
            PayloadError: no retry can mend the body.
            Unavailable: it could not be stored; Alertmanager tries again.
        """
        parent = request.headers.get("traceparent", "")
        with tracing.span("receive", _REQUEST, parent=parent, kind="server"):
            try:
                return await self._take(request)
            except WebhookError as error:
                status = status_of(error)
                tracing.describe({"http.response.status_code": status})
                self.refused(status, str(error))
                raise

    async def _take(self, request: Request) -> Response:
        _refuse_browser(request)
        sender = await self.authenticator.allow(request, Role.RECEIVER)
        body = await _body(request, limit=self.max_body_bytes())
        alerts, id = count_alerts(body), new_id()
        tracing.describe({"alertmend.notification": id, "alertmend.alerts": alerts, "http.response.status_code": 202})
        traceparent = tracing.traceparent()
        await self.put(id, Envelope(received_at=now(), sender=sender.name, body=body.decode(), traceparent=traceparent))
        return JSONResponse({"notification": id, "alerts": alerts}, status_code=202)


def _refuse_browser(request: Request) -> None:
    # Any page on the web can have a browser post here, from where the browser is and with what it knows. It says so.
    if "origin" in request.headers:
        raise AccessDenied("a browser may not deliver notifications; Alertmanager sends no Origin header")


async def _body(request: Request, *, limit: int) -> bytes:
    announced = request.headers.get("content-length", "")
    if _LENGTH.fullmatch(announced):
        check_size(int(announced), limit=limit)
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            check_size(len(body), limit=limit)
    except ClientDisconnect:
        raise PayloadError("the sender hung up before the body was whole") from None
    return bytes(body)
