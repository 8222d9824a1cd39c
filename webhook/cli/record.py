"""`alertmend incidents` and `runs`, and how every part of the record is listed and shown."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click

from webhook.cli import options
from webhook.cli.output import output
from webhook.cli.server import Server
from webhook.core.search import NAMES

#: Rows that a server is asked for at once.
PAGE = 1000
COLUMNS = {
    "incidents": ("id", "rule", "target", "state", "opened_at", "resolved_at", "resolved_by"),
    "runs": ("id", "rule", "target", "step", "state", "outcome", "created_at", "reason"),
    "audit": ("seq", "at", "event", "actor", "rule", "target", "alertname", "decision", "outcome"),
}


@click.group()
def incidents() -> None:
    """What was wrong, and what was done about it."""


@click.group()
def runs() -> None:
    """Attempts to mend something."""


def list_verb(kind: str, group: click.Group) -> None:
    """Give the group a verb that lists, with an option for each filter."""

    def verb(
        server_url: str,
        http_config_file: Path | None,
        output: str,
        limit: int,
        label: tuple[str, ...],
        **asked: str | None,
    ) -> None:
        filters = [(name, value) for name, value in asked.items() if value is not None]
        filters += [("label", pair) for pair in label]
        server = Server(url=server_url, http_config_file=http_config_file)
        options.write_rows(_listed(server, kind, filters, limit), columns=COLUMNS[kind], output=output)

    verb.__doc__ = f"List {'audit entries' if kind == 'audit' else kind}, newest first."
    for name, words in reversed([*((name, None) for name in NAMES[kind]), *_HELP.items()]):
        verb = click.option(f"--{name.replace('_', '-')}", name, multiple=name == "label", help=words)(verb)
    limit = click.option("--limit", type=click.IntRange(1, 100_000), default=50, show_default=True)
    shared = options.server_url(options.http_config_file(options.output(limit(verb))))
    group.command("list")(shared)


_HELP = {
    "label": "NAME=VALUE of an alert behind it; may be given several times.",
    "since": "A time, or how long ago: 2026-01-31T12:00:00Z, 2h.",
    "until": "A time before which it happened, or how long ago.",
    "q": 'Words of reasons, comments and output; "several in a row" in quotes.',
}


def _listed(server: Server, kind: str, filters: Sequence[tuple[str, str]], limit: int) -> list[Any]:
    """The newest rows, page by page."""
    found: list[Any] = []
    cursor: list[tuple[str, str]] = []
    while True:
        page = server.get(f"/api/v1/{kind}", *filters, *cursor, ("limit", str(min(limit - len(found), PAGE))))
        found += page["items"]
        if page["next"] is None or len(found) >= limit:
            return found
        cursor = [("cursor", page["next"])]


def show_verb(kind: str, group: click.Group) -> None:
    """Give the group a verb that shows one."""

    def verb(id: str, server_url: str, http_config_file: Path | None) -> None:
        found = Server(url=server_url, http_config_file=http_config_file).get(f"/api/v1/{kind}/{quote(id, safe='')}")
        click.echo(json.dumps(found, indent=2, ensure_ascii=False))

    verb.__doc__ = "Show one, whole, as JSON."
    argument = click.argument("id", metavar="SEQ" if kind == "audit" else "ID")
    group.command("show")(options.server_url(options.http_config_file(argument(verb))))


for _kind, _group in (("incidents", incidents), ("runs", runs)):
    list_verb(_kind, _group)
    show_verb(_kind, _group)
runs.add_command(output)
