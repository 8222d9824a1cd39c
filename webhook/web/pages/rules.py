"""Rules and what became of them; and what would be decided, and why not."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from webhook.core.alert import Alert
from webhook.edge.payload import parse
from webhook.edge.webconfig import Role
from webhook.errors import NotFound, PayloadError, WebhookError
from webhook.explaining import shown as explained
from webhook.web.explain import alert_of
from webhook.web.pages.forms import sent, token_of, with_token
from webhook.web.pages.page import HEADERS, Page, refusal
from webhook.web.pages.render import render
from webhook.web.rules import shown
from webhook.wiring.clock import now

if TYPE_CHECKING:
    from webhook.wiring.desk import Desk

#: Of a payload with more alerts the first are explained.
MOST_ALERTS = 20
#: As a form a notification takes more than it does as JSON.
MOST_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleList:
    """Every rule, in file order."""

    desk: Callable[[], Desk]

    async def __call__(self, _: Request) -> Mapping[str, Any]:
        return await run_in_threadpool(self._read)

    def _read(self) -> Mapping[str, Any]:
        desk = self.desk()
        outcomes = desk.ledger.outcomes()
        rules = [shown(desk, rule, outcomes.get(rule.name, [])) for rule in desk.current.rulebook.rules]
        return {"rules": [{**rule, "sum": summed(rule["outcomes"])} for rule in rules]}


@dataclass(frozen=True, slots=True, kw_only=True)
class OneRule:
    """A rule, host by host."""

    desk: Callable[[], Desk]

    async def __call__(self, request: Request) -> Mapping[str, Any]:
        return await run_in_threadpool(self._read, request.path_params["name"])

    def _read(self, name: str) -> Mapping[str, Any]:
        desk = self.desk()
        rule = desk.current.rulebook.rule(name)
        if rule is None:
            raise NotFound(f"there is no rule {name[:80]!r}")
        found = shown(desk, rule, desk.ledger.outcomes(rule=name).get(name, []))
        return {"rule": {**found, "sum": summed(found["outcomes"])}}


@dataclass(frozen=True, slots=True, kw_only=True)
class Explain:
    """A form for labels or a payload, and under it what would be decided."""

    page: Page
    desk: Callable[[], Desk]

    async def __call__(self, request: Request) -> Response:
        if request.method != "POST":
            return await self.page(request)
        try:
            identity = await self.page.site.authenticator.allow(request, Role.VIEWER)
            asked = (await sent(request, limit_bytes=MOST_BYTES)).get("asked", "")
            said = await self._said(asked)
            token = token_of(request)
            context = {**await self.page.context(request, identity, token), "asked": asked, **said}
        except WebhookError as error:
            return refusal(self.page.site, request, error)
        status = 400 if said["words"] else 200
        return with_token(request, HTMLResponse(render(self.page.template, context), status, HEADERS), token)

    async def _said(self, asked: str) -> Mapping[str, Any]:
        """What would be decided; or why that cannot be told, above the form as it was sent."""
        try:
            return {"found": await run_in_threadpool(self._explain, asked), "words": ""}
        except PayloadError as error:
            return {"found": [], "words": str(error)}

    def _explain(self, asked: str) -> list[Mapping[str, Any]]:
        explaining = self.desk().explaining
        return [explained(explaining.explain(alert)) for alert in read_alerts(asked)]


def read_alerts(asked: str) -> list[Alert]:
    """The alerts of a payload, or one with labels as `name=value`, one to a line.

    Raises:
        PayloadError: it is neither.
    """
    text = asked.strip()
    if not text.startswith("{"):
        pairs = [line.partition("=") for line in text.splitlines() if line.strip()]
        if not pairs or not all(equals for _, equals, _ in pairs):
            raise PayloadError("write labels as name=value, one to a line, or paste a notification or {'labels': …}")
        return [alert_of({name.strip(): value.strip().strip('"') for name, _, value in pairs}, {})]
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        raise PayloadError("this begins like JSON and is none") from None
    if "alerts" in found:
        return list(parse(text, id="explain", received_at=now()).alerts)[:MOST_ALERTS]
    labels = found.get("labels", found)
    if not isinstance(labels, dict) or not all(isinstance(value, str) for value in labels.values()):
        raise PayloadError("labels must be an object of texts")
    return [alert_of(labels, {})]


def summed(outcomes: list[Mapping[str, Any]]) -> Mapping[str, Any]:
    """What became of a rule on all hosts."""
    runs: dict[str, int] = {}
    for row in outcomes:
        for outcome, count in row["runs"].items():
            runs[outcome] = runs.get(outcome, 0) + count
    return {
        "incidents": sum(row["incidents"] for row in outcomes),
        "came_back": sum(row["came_back"] for row in outcomes),
        "cleared_by_itself": sum(row["cleared_by_itself"] for row in outcomes),
        "runs": runs,
        "with_us": _mean(outcomes, "mean_seconds_with_us", "cleared_with_us"),
        "by_itself": _mean(outcomes, "mean_seconds_by_itself", "cleared_by_itself"),
    }


def _mean(outcomes: list[Mapping[str, Any]], seconds: str, count: str) -> float | None:
    """Over all hosts, each with as much weight as it had incidents."""
    known = [row for row in outcomes if row[seconds] is not None and row[count]]
    return sum(row[seconds] * row[count] for row in known) / sum(row[count] for row in known) if known else None
