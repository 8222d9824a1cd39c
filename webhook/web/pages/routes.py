"""Which pages there are, and where."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from webhook.edge.webconfig import Role
from webhook.errors import NotFound, WebhookError
from webhook.web.answers import endpoint
from webhook.web.api import Verified
from webhook.web.auth import Authenticator
from webhook.web.live import RunAccount
from webhook.web.pages.bar import bar_of
from webhook.web.pages.login import Elsewhere, Login, Logout
from webhook.web.pages.overview import Overview
from webhook.web.pages.page import HEADERS, Load, Page, Site, refusal
from webhook.web.pages.people import Act, Approvals, Deeds, nothing
from webhook.web.pages.record import AuditLog, Listing, OneEntry, OneIncident, OneRun
from webhook.web.pages.render import STATIC, static_text
from webhook.web.pages.rules import Explain, OneRule, RuleList
from webhook.web.pages.timeline import as_markdown

if TYPE_CHECKING:
    from webhook.edge.ledger import SqlLedger
    from webhook.wiring.desk import Desk


def page_routes(
    *,
    authenticator: Authenticator,
    ledger: SqlLedger,
    account: RunAccount,
    desk: Callable[[], Desk],
    is_ending: Callable[[], bool],
) -> list[Route]:
    """Every page, and every form on one."""
    site = Site(authenticator=authenticator, bar=lambda: bar_of(desk()), head=ledger.head, is_ending=is_ending)
    deeds = Deeds(people=lambda: desk().people)
    incident = OneIncident(ledger=ledger)

    def page(path: str, template: str, load: Load, **how: bool) -> Route:
        return Route(path, endpoint(Page(site=site, template=template, load=load, **how)))

    def form(path: str, deed: object) -> Route:
        return Route(path, endpoint(Act(site=site, deed=deed)), methods=["POST"])  # type: ignore[arg-type]

    explain = Explain(page=Page(site=site, template="explain.html", load=_unasked, is_live=False), desk=desk)
    login, elsewhere = endpoint(Login(site=site)), Elsewhere(site=site)
    return [
        Route("/static/{name}", _static),
        Route("/login", login, methods=["GET", "POST"]),
        Route("/logout", endpoint(Logout(site=site)), methods=["POST"]),
        Route("/login/oidc", elsewhere.leave),
        Route("/login/oidc/callback", elsewhere.come_back),
        Route("/incidents/{id}.md", endpoint(Markdown(site=site, incident=incident))),
        page("/", "overview.html", Overview(ledger=ledger, desk=desk)),
        page("/incidents", "incidents.html", Listing(kind="incidents", ledger=ledger)),
        page("/incidents/{id}", "incident.html", incident),
        page("/runs", "runs.html", Listing(kind="runs", ledger=ledger)),
        page("/runs/{id}", "run.html", OneRun(ledger=ledger, account=account, desk=desk), is_told=True),
        page("/approvals", "approvals.html", Approvals(ledger=ledger, desk=desk)),
        page("/rules", "rules.html", RuleList(desk=desk)),
        page("/rules/{name}", "rule.html", OneRule(desk=desk)),
        page("/audit", "audit.html", AuditLog(listing=Listing(kind="audit", ledger=ledger))),
        page("/audit/verify", "verified.html", _verified(ledger, authenticator), is_live=False),
        page("/audit/{id}", "entry.html", OneEntry(ledger=ledger), is_live=False),
        page("/pauses", "pauses.html", nothing),
        Route("/explain", endpoint(explain), methods=["GET", "POST"]),
        form("/pauses", deeds.pause),
        form("/pauses/{id}/resume", deeds.resume),
        form("/incidents/{id}/take-over", deeds.take_over),
        *(form(f"/runs/{{id}}/{verb}", deeds.say(verb)) for verb in ("approve", "reject", "cancel")),
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Markdown:
    """An incident's timeline for the post-mortem."""

    site: Site
    incident: OneIncident

    async def __call__(self, request: Request) -> Response:
        try:
            await self.site.authenticator.allow(request, Role.VIEWER)
            found = await run_in_threadpool(self.incident.read, request.path_params["id"])
        except WebhookError as error:
            return refusal(self.site, request, error)
        text = as_markdown(found["incident"], found["steps"])
        headers = {**HEADERS, "Content-Disposition": f'inline; filename="incident-{found["incident"]["id"]}.md"'}
        return PlainTextResponse(text, media_type="text/markdown; charset=utf-8", headers=headers)


async def _static(request: Request) -> Response:
    name = request.path_params["name"]
    if name not in STATIC:
        raise NotFound(f"there is no file {name[:80]!r}")
    keep = "public, max-age=31536000, immutable" if request.query_params.get("v") else "no-cache"
    return Response(static_text(name), headers={"Cache-Control": keep}, media_type=STATIC[name])


async def _unasked(_: Request) -> dict[str, object]:
    return {"asked": "", "found": [], "words": ""}


def _verified(ledger: SqlLedger, authenticator: Authenticator) -> Load:
    verified = Verified(ledger=ledger, authenticator=authenticator)

    async def load(_: Request) -> dict[str, object]:
        return await run_in_threadpool(verified.answer)

    return load
