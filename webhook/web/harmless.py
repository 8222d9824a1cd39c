"""Headers on every answer: no browser takes it for anything else than it says it is, or shows it in another's page."""

from __future__ import annotations

from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

#: Pages have a policy of their own.
_POLICY: Final = (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'")
_NO_SNIFFING: Final = (b"x-content-type-options", b"nosniff")


class Harmless:
    """An application with these headers on each answer that has none of its own."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes it on."""

        async def send_harmless(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = {name for name, _ in message["headers"]}
                missing = [header for header in (_POLICY, _NO_SNIFFING) if header[0] not in given]
                message = {**message, "headers": [*message["headers"], *missing]}
            await send(message)

        await self._app(scope, receive, send_harmless)
