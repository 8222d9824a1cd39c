"""Without credentials, only who means this machine is answered: a page on the web can have a name of its own lead here.

A browser takes such a page and this server for one site, and lets the page read and post. It still says the name.
"""

from __future__ import annotations

import ipaddress
import re

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from webhook.errors import AccessDenied
from webhook.text import clean
from webhook.web.answers import error_answer

_HOST = re.compile(r"\[([^\[\]]*)\](?::[0-9]*)?|([^:]*)(?::[0-9]*)?")


class LocalOnly:
    """An application that answers to `localhost` and addresses of loopback; who names no host at all is no browser."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes it on, or answers 403 with words that say what to do."""
        host = Headers(scope=scope).get("host") if scope["type"] == "http" else None
        if not host or is_local(host):
            return await self._app(scope, receive, send)
        words = (
            f"without a --web.config.file only 127.0.0.1, [::1] and localhost are answered, and this asks for"
            f" {clean(host[:100])!r}: use one of them, give a --web.config.file, or say --web.insecure"
        )
        answer = error_answer(Request(scope, receive), AccessDenied(words))
        return await answer(scope, receive, send)


def is_local(host: str) -> bool:
    """Whether a `Host` header, with a port or without, means this machine whoever resolves it."""
    found = _HOST.fullmatch(host)
    name = (found[1] or found[2] or "") if found else ""
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name.lower() == "localhost"
