"""What people do on pages, as over the API: approve, reject, cancel, take over, pause, resume."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from webhook.core.run import RunState, Word
from webhook.edge.webconfig import Role
from webhook.errors import PayloadError, WebhookError
from webhook.people import People
from webhook.web.pages.forms import comment_of, sent
from webhook.web.pages.page import Site, refusal
from webhook.web.people import read_matchers, read_span
from webhook.wiring.clock import now

if TYPE_CHECKING:
    from webhook.edge.ledger import SqlLedger
    from webhook.wiring.desk import Desk

#: What a person does, from the form that was sent; where they are led then.
Deed = Callable[[Request, Mapping[str, str], Word], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """A form of ours that changes something: done by an operator, with a comment, then on to a page."""

    site: Site
    deed: Deed

    async def __call__(self, request: Request) -> Response:
        try:
            identity = await self.site.authenticator.allow(request, Role.OPERATOR)
            fields = await sent(request)
            word = Word(by=identity.name, at=now(), comment=comment_of(fields))
            onward = await run_in_threadpool(self.deed, request, fields, word)
        except WebhookError as error:
            return refusal(self.site, request, error)
        return RedirectResponse(onward, status_code=303)


@dataclass(frozen=True, slots=True, kw_only=True)
class Deeds:
    """What can be done."""

    people: Callable[[], People]

    def say(self, verb: str) -> Deed:
        """Approve, reject or cancel the run in the path."""

        def deed(request: Request, _: Mapping[str, str], word: Word) -> str:
            id = request.path_params["id"]
            getattr(self.people(), verb)(id, word)
            return f"/runs/{id}"

        return deed

    def take_over(self, request: Request, _: Mapping[str, str], word: Word) -> str:
        """The escalation of an incident ends."""
        id = request.path_params["id"]
        self.people().take_over(id, word)
        return f"/incidents/{id}"

    def pause(self, _: Request, fields: Mapping[str, str], word: Word) -> str:
        """A new pause."""
        matchers = read_matchers([line.strip() for line in fields.get("matchers", "").splitlines() if line.strip()])
        if not matchers and fields.get("everything") != "yes":
            raise PayloadError("give matchers, or say that everything is meant")
        until = word.at + read_span(fields.get("for", ""))
        self.people().pause(matchers, until=until, word=word, cancel_running=fields.get("cancel_running") == "yes")
        return "/pauses"

    def resume(self, request: Request, _: Mapping[str, str], word: Word) -> str:
        """A pause ends."""
        self.people().resume(request.path_params["id"], word)
        return "/pauses"


@dataclass(frozen=True, slots=True, kw_only=True)
class Approvals:
    """Every run that waits for people, with its plan and how far it would reach."""

    ledger: SqlLedger
    desk: Callable[[], Desk]

    async def __call__(self, _: Request) -> Mapping[str, Any]:
        return await run_in_threadpool(self._read)

    def _read(self) -> Mapping[str, Any]:
        runs = self.ledger.runs_in(RunState.AWAITING_APPROVAL)
        return {"plans": [{"run": run, **self._asked(run.rule, run.target)} for run in runs]}

    def _asked(self, name: str, target: str) -> Mapping[str, Any]:
        rulebook = self.desk().current.rulebook
        rule = rulebook.rule(name)
        groups = [group for group, hosts in rulebook.inventory.groups.items() if target in hosts and group not in _ALL]
        return {"count": rule.approval.count if rule else 1, "groups": sorted(groups)}


_ALL = ("all", "ungrouped")


async def nothing(_: Request) -> Mapping[str, Any]:
    """What a page shows that has all it needs on its bar."""
    return {}


Load = Callable[[Request], Awaitable[Mapping[str, Any]]]
