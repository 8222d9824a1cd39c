"""What is asked and answered as JSON, as JSON Schema: for the description of the API, and for tests of its answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from pydantic import TypeAdapter

from webhook.core.audit import Event
from webhook.core.rule import Mode
from webhook.core.run import Run
from webhook.core.verdict import Decision

Schema = Mapping[str, Any]

TEXT: Final[Schema] = {"type": "string"}
NUMBER: Final[Schema] = {"type": "integer"}
TIME: Final[Schema] = {"type": "string", "format": "date-time"}
ANYTHING: Final[Schema] = {"type": "object"}
TEXTS: Final[Schema] = {"type": "object", "additionalProperties": TEXT}


def _or_null(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "null"}]}


def _list_of(schema: Schema) -> Schema:
    return {"type": "array", "items": schema}


def _object(**properties: Schema) -> Schema:
    """An object that has all of these; more may be added in later versions."""
    return {"type": "object", "required": list(properties), "properties": properties}


def _some(**properties: Schema) -> Schema:
    """An object that may have these, and has no others."""
    return {"type": "object", "properties": properties, "additionalProperties": False}


def _named(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _page(name: str) -> Schema:
    return _object(items=_list_of(_named(name)), next=_or_null(TEXT))


_NULLABLE: Final = _or_null(TEXT)

SCHEMAS: Final[Mapping[str, Schema]] = {
    "Error": {**_object(error=TEXT), "properties": {"error": TEXT, "unsealed": TEXT}},
    "Status": _object(status=TEXT),
    "Health": _object(
        status={"enum": ["ok", "failing"]},
        checks=_list_of(_object(name=TEXT, ok={"type": "boolean"}, detail=TEXT, latency_seconds={"type": "number"})),
    ),
    "Reloaded": _object(rules=NUMBER, revision=TEXT),
    "Document": ANYTHING,
    "Notification": {
        **_object(
            version={"const": "4"}, alerts=_list_of(_object(status={"enum": ["firing", "resolved"]}, labels=TEXTS))
        ),
        "description": "Alertmanager's webhook, version 4; unknown fields are ignored.",
    },
    "Taken": _object(notification=TEXT, alerts=NUMBER),
    "Comment": {**_some(comment=TEXT), "required": ["comment"]},
    "Remark": _some(comment=TEXT),
    "TakenOver": _object(incident=TEXT, taken_over_by=TEXT),
    "Labels": {**_some(labels=TEXTS, annotations=TEXTS), "required": ["labels"]},
    "NewPause": {
        **_some(matchers=_list_of(TEXT), **{"for": TEXT}, comment=TEXT, cancel_running={"type": "boolean"}),
        "required": ["for", "comment"],
    },
    "Pause": _object(id=TEXT, matchers=_list_of(TEXT), until=TIME, created_at=TIME, created_by=TEXT, comment=TEXT),
    "PausePage": _page("Pause"),
    "Rule": _object(
        name=TEXT,
        mode={"enum": [mode.value for mode in Mode]},
        match=_list_of(TEXT),
        target=TEXT,
        steps=_list_of(TEXT),
        cooldown=TEXT,
        breaker=_NULLABLE,
        running=NUMBER,
        revision=TEXT,
        outcomes=_list_of(ANYTHING),
    ),
    "RulePage": _page("Rule"),
    "Alert": _object(
        fingerprint=TEXT,
        labels=TEXTS,
        annotations=TEXTS,
        starts_at=TIME,
        received_at=TIME,
        rule=TEXT,
        target=TEXT,
        incident=_NULLABLE,
        suppressed_by=_NULLABLE,
    ),
    "AlertPage": _page("Alert"),
    "Explanation": _object(
        labels=TEXTS,
        passed_by={"type": "object", "additionalProperties": _list_of(TEXT)},
        rule=_NULLABLE,
        target=_NULLABLE,
        playbook=_NULLABLE,
        decision=_NULLABLE,
        guard=_NULLABLE,
        reason=TEXT,
        retry_at=_NULLABLE,
        checks=_list_of(_named("Check")),
    ),
    "Incident": _object(
        id=TEXT,
        rule=TEXT,
        target=TEXT,
        state={"enum": ["open", "resolved"]},
        opened_at=TIME,
        resolved_at=_or_null(TIME),
        resolved_by=_or_null({"enum": ["remediation", "itself", "unknown"]}),
        alerts=_list_of(TEXT),
        runs=_list_of(TEXT),
        decision=_or_null(_named("Decision")),
    ),
    "IncidentPage": _page("Incident"),
    "RunPage": _page("Run"),
    "RunWithOutput": {"allOf": [_named("Run"), _object(output=TEXT)]},
    "Entry": _object(
        seq=NUMBER,
        at=TIME,
        event={"enum": [event.value for event in Event]},
        actor=TEXT,
        incident=_NULLABLE,
        run=_NULLABLE,
        rule=_NULLABLE,
        target=_NULLABLE,
        alertname=_NULLABLE,
        decision=_NULLABLE,
        outcome=_NULLABLE,
        body=ANYTHING,
        previous_hash=TEXT,
        hash=TEXT,
    ),
    "EntryPage": _page("Entry"),
    "Facets": _object(
        facets={"type": "object", "additionalProperties": _list_of(_object(value=TEXT, count=NUMBER))},
        counted=NUMBER,
        complete={"type": "boolean"},
    ),
    "Checkpoint": _object(seq=NUMBER, hash=TEXT, at=TEXT),
    "CheckpointPage": _page("Checkpoint"),
    "Verified": _object(
        ok={"type": "boolean"}, entries=NUMBER, head=TEXT, first_bad=_or_null(_object(seq=NUMBER, words=TEXT))
    ),
}


def record_schemas() -> Mapping[str, Schema]:
    """Runs and decisions, as their own types say it."""
    found: dict[str, Schema] = {}
    for kind in (Run, Decision):
        adapter: TypeAdapter[Any] = TypeAdapter(kind)
        schema = adapter.json_schema(mode="serialization", ref_template="#/components/schemas/{model}")
        found |= schema.pop("$defs", {})
        found[kind.__name__] = schema
    return found
