"""A decision on the record, made again from the record: of a running server, or of its database."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import click
from pydantic_core import to_jsonable_python

from webhook.cli.server import Server
from webhook.core.audit import Event
from webhook.core.evidence import Policy
from webhook.core.rule import Rule
from webhook.core.search import Query, term
from webhook.errors import NotFound, WebhookError
from webhook.recollection import Recollection, recollect, revision_in

#: Entries that are asked for at once.
_PORTION: Final = 50

Row = Mapping[str, Any]
#: A page, from a cursor on, of the entries that say by which rules was decided, newest first; and the next cursor.
Page = Callable[[str | None], tuple[list[Row], str | None]]
#: One entry by its seq, and those pages.
Record = tuple[Callable[[int], Row], Page]


def recollect_entry(seq: int, config_file: Path, storage_path: Path, server: Server | None, *, output: str) -> bool:
    """Whether the decision of an entry is the same when it is made again; says so, and where it is not."""
    one, page = _of_server(server) if server else _of_database(config_file, storage_path)
    entry = one(seq)
    if entry["event"] != Event.DECISION:
        raise WebhookError(f"entry {seq} is no decision but {entry['event']}")
    revision = revision_in(entry["body"])
    rules, policy = _rules(page, revision)
    rule = next((rule for rule in rules if rule.name == entry["rule"]), None)
    if rule is None:
        raise WebhookError(f"there is no rule {entry['rule']!r} in revision {revision}, by which it was decided")
    found = recollect(entry["body"], rule, policy)
    if output == "json":
        click.echo(json.dumps(_as_json(seq, found, revision), indent=2, ensure_ascii=False))
    else:
        _write(seq, entry, found, revision)
    return not found.differences


def _rules(page: Page, revision: str) -> tuple[Sequence[Rule], Policy]:
    from webhook.edge.revision import read_rules

    for row in _every(page):
        if row["body"].get("revision") == revision:
            try:
                return read_rules(row["body"]["rulebook"])
            except ValueError as error:
                words = str(error).splitlines()[0]
                raise WebhookError(f"the rules of revision {revision} cannot be read: {words}") from None
    raise NotFound(f"the rules of revision {revision or 'unknown'}, by which it was decided, are not on the record")


def told_labels(labels: Mapping[str, str]) -> str:
    """Labels as people write them."""
    return ", ".join(f'{name}="{value}"' for name, value in labels.items())


def _every(page: Page) -> Iterator[Row]:
    rows, cursor = page(None)
    yield from rows
    while cursor is not None:
        rows, cursor = page(cursor)
        yield from rows


def _of_server(server: Server) -> Record:
    def page(cursor: str | None) -> tuple[list[Row], str | None]:
        more = [("cursor", cursor)] if cursor else []
        found = server.get("/api/v1/audit", ("event", Event.RELOAD.value), ("limit", str(_PORTION)), *more)
        return found["items"], found["next"]

    return lambda seq: server.get(f"/api/v1/audit/{seq}"), page


def _of_database(config_file: Path, storage_path: Path) -> Record:
    from webhook.edge.ledger import LISTINGS
    from webhook.wiring.connection import open_record

    ledger, listing = open_record(config_file if config_file.exists() else None, storage_path), LISTINGS["audit"]
    query = Query(terms=(term("event", Event.RELOAD.value),))

    def page(cursor: str | None) -> tuple[list[Row], str | None]:
        found = ledger.page(listing, query, limit=_PORTION, before=int(cursor) if cursor else None)
        return [_decoded(row) for row in found.rows], None if found.next is None else str(found.next)

    return lambda seq: _decoded(ledger.one(listing, str(seq))), page


def _decoded(row: Row) -> Row:
    return {**row, "body": json.loads(row["body"])}


def _as_json(seq: int, found: Recollection, revision: str) -> Mapping[str, Any]:
    return {
        "entry": seq,
        "rules": revision,
        "agrees": not found.differences,
        "differences": list(found.differences),
        "recorded": to_jsonable_python(found.recorded),
        "again": to_jsonable_python(found.again),
    }


def _write(seq: int, entry: Row, found: Recollection, revision: str) -> None:
    click.echo(told_labels(entry["body"]["alert"]["labels"]))
    click.echo(f"entry {seq}, {entry['at']}: rule {entry['rule']} of revision {revision}")
    click.echo(f"target: {entry['target'] or 'none'}\n")
    for check in found.again.checks:
        click.echo(f"  {check.verdict.value:<7} {check.guard:<22} {check.reason}")
    decision = found.recorded
    by = f" ({decision.guard})" if decision.guard else ""
    click.echo(f"\nrecorded: {decision.decision.value}{by}; {decision.reason}")
    click.echo("decided again from the record: " + ("the same" if not found.differences else "not the same"))
    for difference in found.differences:
        click.echo(f"  {difference}")
