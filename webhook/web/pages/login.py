"""Signing in to the pages, with a password or through an OpenID Connect provider, and out again."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final
from urllib.parse import urlsplit

import structlog
from anyio import CapacityLimiter, to_thread
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from webhook.core.access import Provider
from webhook.errors import NotAuthenticated, NotFound, WebhookError
from webhook.text import one_line
from webhook.web.answers import status_of
from webhook.web.pages.forms import back_of, sent, token_of, with_token
from webhook.web.pages.page import HEADERS, Site, refusal
from webhook.web.pages.render import render
from webhook.web.session import cookie, give_cookie, read_signed, sign, take_cookie

log = structlog.get_logger()

ERRAND_COOKIE: Final = "alertmend_errand"
#: In which someone who was sent to the provider has to be back.
ERRAND_LASTS: Final = timedelta(minutes=10)
#: Strangers who sign in while the provider is slow keep nobody else waiting.
_AT_ONCE: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """`GET /login`, and `POST` with the form on it."""

    site: Site

    async def __call__(self, request: Request) -> Response:
        if not self.site.authenticator.has_login:
            return RedirectResponse("/", status_code=303)
        if request.method != "POST":
            return self._form(request, onward=back_of(request.query_params.get("next", "")))
        try:
            return await self._signed_in(request)
        except WebhookError as error:
            return refusal(self.site, request, error)

    async def _signed_in(self, request: Request) -> Response:
        fields = await sent(request)
        name, onward = fields.get("user", ""), back_of(fields.get("next", ""))
        answer = RedirectResponse(onward, status_code=303)
        try:
            await self.site.authenticator.sign_in(answer, request, name=name, password=fields.get("password", ""))
        except NotAuthenticated as error:
            log.warning("a sign-in was refused", action="login", user=one_line(name, limit=100))
            return self._form(request, onward=onward, name=name, error=error)
        log.info("signed in", action="login", user=name)
        return answer

    def _form(self, request: Request, *, onward: str, name: str = "", error: WebhookError | None = None) -> Response:
        provider, token = self.site.authenticator.provider, token_of(request)
        context = {
            "token": token,
            "next": onward,
            "name": name,
            "words": str(error) if error else "",
            "has_users": self.site.authenticator.has_users,
            "provider": urlsplit(provider.issuer).hostname if provider else "",
        }
        status = status_of(error) if error else 200
        return with_token(request, HTMLResponse(render("login.html", context), status, HEADERS), token)


@dataclass(frozen=True, slots=True, kw_only=True)
class Logout:
    """`POST /logout`: the session is over."""

    site: Site

    async def __call__(self, request: Request) -> Response:
        try:
            await sent(request)
        except WebhookError as error:
            return refusal(self.site, request, error)
        answer = RedirectResponse("/login" if self.site.authenticator.has_login else "/", status_code=303)
        self.site.authenticator.sign_out(answer, request)
        return answer


@dataclass(slots=True, kw_only=True)
class Elsewhere:
    """`GET /login/oidc` sends someone to the OpenID Connect provider, `/login/oidc/callback` has them back."""

    site: Site
    _client: Any = None
    _limit: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(_AT_ONCE))

    async def leave(self, request: Request) -> Response:
        """Off to the provider, with an errand that only this browser has."""
        from webhook.edge.oidc import Errand

        sessions = self.site.authenticator.sessions
        try:
            client, errand = self._provider(), Errand.new()
            address = await to_thread.run_sync(client.address, errand, limiter=self._limit)
        except WebhookError as error:
            return refusal(self.site, request, error)
        answer = RedirectResponse(address, status_code=303, headers={"Cache-Control": "no-store"})
        kept = {
            "state": errand.state,
            "nonce": errand.nonce,
            "verifier": errand.verifier,
            "next": back_of(request.query_params.get("next", "")),
            "until": (sessions.now() + ERRAND_LASTS).timestamp(),
        }
        signed = sign(kept, key=sessions.key, purpose="errand")
        give_cookie(answer, request, ERRAND_COOKIE, signed, lasts=ERRAND_LASTS)
        return answer

    async def come_back(self, request: Request) -> Response:
        """Signed in as whom the provider says, and on to the page that was asked for."""
        try:
            answer = await self._welcomed(request)
        except WebhookError as error:
            log.warning("a sign-in was refused", action="login", error=str(error))
            answer = refusal(self.site, request, error)
        take_cookie(answer, request, ERRAND_COOKIE)
        return answer

    async def _welcomed(self, request: Request) -> Response:
        from webhook.edge.oidc import Errand

        client, sessions = self._provider(), self.site.authenticator.sessions
        kept = read_signed(cookie(request, ERRAND_COOKIE), key=sessions.key, purpose="errand")
        if kept is None or kept["until"] <= sessions.now().timestamp():
            raise NotAuthenticated("this sign-in took too long, or began in another browser: begin again")
        errand = Errand(state=kept["state"], nonce=kept["nonce"], verifier=kept["verifier"])
        person = await to_thread.run_sync(client.person, dict(request.query_params), errand, limiter=self._limit)
        answer = RedirectResponse(kept["next"], status_code=303)
        self.site.authenticator.welcome(answer, request, person)
        log.info("signed in", action="login", user=f"oidc:{person.name}")
        return answer

    def _provider(self) -> Any:
        provider: Provider | None = self.site.authenticator.provider
        if provider is None:
            raise NotFound("no OpenID Connect provider is configured: the key 'oidc' of the web.config.file names one")
        if self._client is None or self._client.provider != provider:
            # Imported when someone signs in: a receiver that only receives does without.
            from webhook.edge.oidc import OidcClient

            self._client = OidcClient(provider=provider, now=self.site.authenticator.sessions.now)
        return self._client
