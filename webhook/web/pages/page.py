"""One page: loaded, rendered, and again as a stream for whoever keeps it open."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlencode

import structlog
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from webhook.edge.webconfig import Role
from webhook.errors import NotAuthenticated, Unavailable, WebhookError
from webhook.web.answers import status_of
from webhook.web.auth import CHALLENGE, Authenticator, Identity
from webhook.web.live import EventStream
from webhook.web.pages.bar import Bar, read_bar
from webhook.web.pages.forms import token_of, with_token
from webhook.web.pages.render import POLICY, render, render_live
from webhook.web.patience import within
from webhook.wiring.clock import now

log = structlog.get_logger()

#: How often a page that is kept open looks whether anything went on the record; after how many looks it is made anew
#: all the same, since times go on, and after how many it says that it is still there.
LOOK_SECONDS: Final = 1.0
ANEW_LOOKS, HEARTBEAT_LOOKS = 10, 15
#: As many may keep a page open in one process.
MAX_OPEN: Final = 100
HEADERS: Final[Mapping[str, str]] = {
    "Content-Security-Policy": POLICY,
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}

#: What a page shows, from its request and who asks; raises what the API raises.
Load = Callable[[Request], Awaitable[Mapping[str, Any]]]


@dataclass(slots=True, kw_only=True)
class Site:
    """What all pages share."""

    authenticator: Authenticator
    bar: Callable[[], Bar]
    #: Changes with whatever goes on the record.
    head: Callable[[], object]
    is_ending: Callable[[], bool]
    #: Pages that are kept open now.
    open: int = field(default=0, init=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A page at one path."""

    site: Site
    template: str
    load: Load
    #: It changes while one looks at it.
    is_live: bool = True
    #: It shows what is on no record yet: what a run says while it goes.
    is_told: bool = False

    async def __call__(self, request: Request) -> Response:
        try:
            identity = await self.site.authenticator.allow(request, Role.VIEWER)
            if self.is_live and "text/event-stream" in request.headers.get("accept", ""):
                return self._stream(request, identity)
            token = token_of(request)
            context = await within(self.context(request, identity, token))
            return with_token(request, HTMLResponse(render(self.template, context), headers=HEADERS), token)
        except WebhookError as error:
            return refusal(self.site, request, error)

    async def context(self, request: Request, identity: Identity, token: str) -> Mapping[str, Any]:
        """What its template shows."""
        return {
            "now": now(),
            "path": request.url.path,
            "identity": identity,
            "may_act": Role.OPERATOR in identity.roles,
            "has_session": self.site.authenticator.has_session(request),
            "token": token,
            "bar": await read_bar(self.site.bar),
            "is_live": self.is_live,
            **await self.load(request),
        }

    def _stream(self, request: Request, identity: Identity) -> Response:
        if self.site.open >= MAX_OPEN:
            raise Unavailable("keeping pages open", f"{MAX_OPEN} are open already; reload instead")
        return EventStream(self._parts(request, identity, token_of(request)))

    async def _parts(self, request: Request, identity: Identity, token: str) -> AsyncGenerator[bytes, None]:
        self.site.open += 1
        last, quiet, age, head = "", 0, 0, None
        try:
            yield b"retry: 2000\n\n"
            while not self.site.is_ending():
                # Whoever signs out elsewhere, or whose time is over, sees nothing new.
                await self.site.authenticator.allow(request, Role.VIEWER)
                known, head = head, await self._head()
                is_due = self.is_told or head is None or head != known or age >= ANEW_LOOKS
                part = await self._part(request, identity, token) if is_due else ""
                age = 0 if is_due else age + 1
                if part and part != last:
                    yield b"event: part\n" + _data(part) + b"\n"
                    last, quiet = part, 0
                elif (quiet := quiet + 1) >= HEARTBEAT_LOOKS:
                    yield b": nothing new\n\n"
                    quiet = 0
                await asyncio.sleep(LOOK_SECONDS)
        finally:
            self.site.open -= 1

    async def _head(self) -> object:
        """None while it cannot be told."""
        try:
            return await run_in_threadpool(self.site.head)
        except WebhookError:
            return None

    async def _part(self, request: Request, identity: Identity, token: str) -> str:
        try:
            return render_live(self.template, await self.context(request, identity, token))
        except WebhookError as error:
            log.info("a page is refreshed later", action="page", path=request.url.path, error=str(error))
            return ""


def refusal(site: Site, request: Request, error: WebhookError) -> Response:
    """What went wrong, as a page; who is not known yet is asked who they are."""
    is_unknown = isinstance(error, NotAuthenticated)
    can_sign_in = is_unknown and site.authenticator.has_login
    if can_sign_in and request.method == "GET" and "text/html" in request.headers.get("accept", ""):
        path = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        # Whoever fails at signing in is told why, and not sent there again.
        if not path.startswith("/login"):
            return RedirectResponse(f"/login?{urlencode({'next': path})}", status_code=303)
    headers = {**HEADERS, "WWW-Authenticate": CHALLENGE} if is_unknown and not can_sign_in else HEADERS
    status = status_of(error)
    context = {
        "now": now(),
        "path": request.url.path,
        "status": status,
        "words": str(error),
        "can_sign_in": site.authenticator.has_login and status in (401, 403),
    }
    return HTMLResponse(render("refused.html", context), status_code=status, headers=headers)


def _data(text: str) -> bytes:
    # A carriage return ends a line of the stream, too: what follows it in a label would be a field of its own.
    return b"".join(b"data: %s\n" % line.encode() for line in re.split("\r\n|\r|\n", text))
