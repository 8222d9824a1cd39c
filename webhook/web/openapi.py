"""The API in the words of OpenAPI 3.1: what can be asked, by whom, and what is answered."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from webhook import __version__
from webhook.core.search import NAMES
from webhook.edge.webconfig import Role
from webhook.web.answers import STATUS
from webhook.web.auth import Authenticator
from webhook.web.schemas import SCHEMAS, record_schemas

Schema = Mapping[str, Any]

#: Who may, as tags: the roles of `web.config.file`.
EVERYONE, RECEIVER, VIEWER, OPERATOR = "everyone", "receiver", "viewer", "operator"
JSON, CSV, LINES, TEXT, EVENTS = (
    *("application/json", "text/csv", "application/x-ndjson", "text/plain"),
    "text/event-stream",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One thing that can be asked."""

    method: str = "get"
    path: str
    who: str = VIEWER
    summary: str
    status: int = 200
    answers: str = JSON
    #: The name of what is answered among the schemas.
    schema: str = ""
    #: The name of the body that is asked with.
    body: str = ""
    query: tuple[Schema, ...] = field(default=())


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """`GET /openapi.json`."""

    authenticator: Authenticator

    async def __call__(self, request: Request) -> Response:
        await self.authenticator.allow(request, Role.VIEWER)
        return JSONResponse(describe())


@cache
def describe() -> Schema:
    """The whole document."""
    paths: dict[str, dict[str, Schema]] = {}
    for operation in operations():
        paths.setdefault(operation.path, {})[operation.method] = _operation(operation)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "alertmend",
            "version": __version__,
            "summary": "Alert-driven auto-remediation: what Alertmanager delivers, what was decided, what was done.",
        },
        "paths": paths,
        "components": {
            "schemas": {**SCHEMAS, **record_schemas()},
            "securitySchemes": {
                "basic": {"type": "http", "scheme": "basic", "description": "a user of web.config.file"},
                "bearer": {"type": "http", "scheme": "bearer", "description": "a receiver's token"},
            },
        },
    }


def operations() -> Iterator[Operation]:
    """All that the API is asked, in the order of the documentation."""
    yield Operation(
        method="post",
        path="/api/v1/alertmanager",
        who=RECEIVER,
        summary="Take a notification of Alertmanager's webhook, version 4; answered once it is stored.",
        status=202,
        schema="Taken",
        body="Notification",
    )
    for path, summary in (
        ("/healthz", "Whether the process answers."),
        ("/readyz", "Whether notifications can be taken, and dealt with."),
        ("/startupz", "Whether it has started."),
    ):
        yield Operation(path=path, who=EVERYONE, summary=summary, schema="Status")
    yield Operation(path="/health", summary="What every check says, asked side by side.", schema="Health")
    for kind, one in (("incidents", "Incident"), ("runs", "Run"), ("audit", "Entry")):
        yield from _listing(kind, one)
    yield from _run()
    yield from _people()
    yield from _live()
    yield from _log()
    yield Operation(
        method="post",
        path="/-/reload",
        who=OPERATOR,
        summary="Take over what stands in the files; 400 with every problem, and the old stays.",
        schema="Reloaded",
    )
    yield Operation(path="/metrics", summary="Metrics, as Prometheus reads them.", answers=TEXT)
    yield Operation(path="/openapi.json", summary="This document.", schema="Document")


def _listing(kind: str, one: str) -> Iterator[Operation]:
    base, filters = f"/api/v1/{kind}", _filters(kind)
    yield Operation(
        path=base, summary="A page of them, newest first.", schema=f"{one}Page", query=(*filters, _LIMIT, _CURSOR)
    )
    for ending, media in ((".csv", CSV), (".jsonl", LINES)):
        yield Operation(
            path=base + ending,
            summary="All that the filters leave, newest first.",
            answers=media,
            query=(*filters, _LIMIT, _CURSOR),
        )
    yield Operation(
        path=f"{base}/facets",
        summary="How often each value stands in what the filters leave.",
        schema="Facets",
        query=filters,
    )
    yield Operation(path=base + "/{id}", summary="One, whole.", schema="RunWithOutput" if kind == "runs" else one)


def _run() -> Iterator[Operation]:
    after = _query("after", "The id of the last event that is known; `Last-Event-ID` says the same.")
    yield Operation(
        path="/api/v1/runs/{id}/events", summary="What happens in it, as it happens.", answers=EVENTS, query=(after,)
    )
    yield Operation(path="/api/v1/runs/{id}/output.txt", summary="What its playbook printed so far.", answers=TEXT)


def _people() -> Iterator[Operation]:
    for verb, summary in (
        ("approve", "Approve what it asks for; the run as it is now."),
        ("reject", "Reject it: it is not run."),
        ("cancel", "End it."),
    ):
        yield Operation(
            method="post",
            path=f"/api/v1/runs/{{id}}/{verb}",
            who=OPERATOR,
            summary=summary,
            schema="Run",
            body="Comment",
        )
    yield Operation(
        method="post",
        path="/api/v1/incidents/{id}/take-over",
        who=OPERATOR,
        summary="Say that a person has it: nobody else is called.",
        schema="TakenOver",
        body="Comment",
    )
    yield Operation(path="/api/v1/pauses", summary="What is paused now.", schema="PausePage")
    yield Operation(
        method="post",
        path="/api/v1/pauses",
        who=OPERATOR,
        summary="Pause what matches, or everything.",
        status=201,
        schema="Pause",
        body="NewPause",
    )
    yield Operation(
        method="delete", path="/api/v1/pauses/{id}", who=OPERATOR, summary="End a pause.", schema="Pause", body="Remark"
    )


def _live() -> Iterator[Operation]:
    yield Operation(path="/api/v1/rules", summary="The rules, and what became of them.", schema="RulePage")
    yield Operation(path="/api/v1/rules/{name}", summary="One rule.", schema="Rule")
    yield Operation(path="/api/v1/alerts", summary="The alerts behind open incidents.", schema="AlertPage")
    yield Operation(
        method="post",
        path="/api/v1/explain",
        summary="What would be decided on such an alert; nothing is done.",
        schema="Explanation",
        body="Labels",
    )


def _log() -> Iterator[Operation]:
    after = _query("after", "The `seq` after which to begin.", kind="integer")
    yield Operation(
        path="/api/v1/audit/export",
        summary="The log itself, oldest entry first, to be verified offline.",
        answers=LINES,
        query=(after, _query("limit", "So many entries at most.", kind="integer")),
    )
    yield Operation(path="/api/v1/audit/checkpoints", summary="Heads of the chain.", schema="CheckpointPage")
    yield Operation(path="/api/v1/audit/verify", summary="Whether the chain holds.", schema="Verified")


def _query(name: str, description: str, *, kind: str = "string", **more: object) -> Schema:
    return {"name": name, "in": "query", "description": description, "schema": {"type": kind, **more}}


def _filters(kind: str) -> tuple[Schema, ...]:
    times = "a time (RFC 3339), or how long ago (`2h`)"
    return (
        *(_query(name, f"Exactly this {name.replace('_', ' ')}.") for name in NAMES[kind]),
        {
            **_query("label", "A label of its alerts, as `name=value`; may be given more than once."),
            "schema": {"type": "array", "items": {"type": "string"}},
        },
        _query("since", f"From then on: {times}."),
        _query("until", f"Before then: {times}."),
        _query("q", "Words of reasons, comments and output; a phrase in double quotes."),
    )


_LIMIT = _query("limit", "So many at most.", kind="integer", minimum=1, maximum=1000)
_CURSOR = _query("cursor", "What an earlier page had in `next`.")


def _operation(operation: Operation) -> Schema:
    described: dict[str, Any] = {
        "summary": operation.summary,
        "tags": [operation.who],
        "security": _security(operation.who),
        "parameters": [*_path_parameters(operation.path), *operation.query],
        "responses": {str(operation.status): _answer(operation), **_refusals(operation)},
    }
    if operation.body:
        described["requestBody"] = {
            "required": operation.body != "Remark",
            "content": {JSON: {"schema": _reference(operation.body)}},
        }
    return described


def _security(who: str) -> list[Schema]:
    if who == EVERYONE:
        return []
    return [{"basic": []}, {"bearer": []}] if who == RECEIVER else [{"basic": []}]


def _path_parameters(path: str) -> list[Schema]:
    names = (part[1:-1] for part in path.split("/") if part.startswith("{"))
    return [{"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in names]


def _answer(operation: Operation) -> Schema:
    schema: Schema = _reference(operation.schema) if operation.schema else {"type": "string"}
    return {"description": operation.summary, "content": {operation.answers: {"schema": schema}}}


def _refusals(operation: Operation) -> Schema:
    statuses = {403, 503} if operation.who == EVERYONE else {status for _, status in STATUS}
    if operation.schema == "Health":
        # What is not well is told in the same form.
        return {**_refusals(replace(operation, schema="")), "503": _answer(operation)}
    refused = {"description": "Words that say what to change.", "content": {JSON: {"schema": _reference("Error")}}}
    return {str(status): refused for status in sorted(statuses)}


def _reference(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}
