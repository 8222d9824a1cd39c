"""What the proxies in front of this server say: whether the browser's connection is encrypted, and who sits there."""

from __future__ import annotations

from typing import Final

from starlette.datastructures import Headers
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Scope, Send

from webhook.core.access import Identity, Proxy, granted
from webhook.errors import NotAuthenticated
from webhook.text import one_line

_SCHEMES: Final = ("http", "https")
_NAME_LIMIT: Final = 200


class Forwarded:
    """An application whose requests have the scheme that the browser sees, where a trusted proxy says which."""

    def __init__(self, app: ASGIApp, proxy: Proxy) -> None:
        self._app = app
        self._proxy = proxy

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes it on."""
        if scope["type"] == "http" and _comes_from(scope, self._proxy):
            said = Headers(scope=scope).get("x-forwarded-proto", "").strip().lower()
            scope = {**scope, "scheme": said} if said in _SCHEMES else scope
        await self._app(scope, receive, send)


def vouched_for(request: HTTPConnection, proxy: Proxy | None) -> Identity | None:
    """Who a trusted proxy says is asking; None when none says so. What anyone else says of themselves is not read.

    Raises:
        NotAuthenticated: it says so more than once, so that one of them came through it from outside.
    """
    if proxy is None or proxy.user_header is None or not _comes_from(request.scope, proxy):
        return None
    user = one_line(_only(request, proxy.user_header), limit=_NAME_LIMIT)
    if not user:
        return None
    names = [user]
    if proxy.groups_header is not None:
        names = [name.strip() for name in _only(request, proxy.groups_header).split(",")]
    return Identity(name=f"proxy:{user}", roles=granted(proxy.roles, names))


def _only(request: HTTPConnection, header: str) -> str:
    found = request.headers.getlist(header)
    if len(found) > 1:
        raise NotAuthenticated(f"the proxy passes {header} on from outside: it must replace it")
    return found[0] if found else ""


def _comes_from(scope: Scope, proxy: Proxy) -> bool:
    client = scope.get("client")
    return client is not None and proxy.is_trusted(client[0])
