"""Options that several verbs share, and how listings are written."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from webhook.text import csv_lines

Decorator = Callable[[Any], Any]

config_file: Decorator = click.option(
    "--config.file",
    "config_file",
    type=click.Path(path_type=Path),
    default=Path("alertmend.yml"),
    show_default=True,
    help="The configuration.",
)
storage_path: Decorator = click.option(
    "--storage.path",
    "storage_path",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("data"),
    show_default=True,
    help="Where the embedded Valkey and SQLite keep their files.",
)
server_url: Decorator = click.option(
    "--server.url", "server_url", default="http://127.0.0.1:9480", show_default=True, help="A running alertmend."
)
http_config_file: Decorator = click.option(
    "--http.config.file",
    "http_config_file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Credentials, as in Prometheus' http_config: basic_auth or authorization.",
)
output: Decorator = click.option(
    "--output", type=click.Choice(("table", "json", "csv")), default="table", show_default=True
)


def write_rows(rows: Sequence[Mapping[str, Any]], *, columns: Sequence[str], output: str) -> None:
    """Print rows: all of their content as JSON, the columns as CSV or as a table."""
    if output == "json":
        click.echo(json.dumps(list(rows), indent=2, ensure_ascii=False))
        return
    cells = [[_cell(row.get(column)) for column in columns] for row in rows]
    click.echo(csv_lines([columns, *cells]) if output == "csv" else _table([columns, *cells]), nl=False)


def _table(lines: Sequence[Sequence[str]]) -> str:
    widths = [max(len(line[at]) for line in lines) for at in range(len(lines[0]))]
    padded = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in lines]
    return "".join(f"{line.rstrip()}\n" for line in [padded[0].upper(), *padded[1:]])


def _cell(value: object) -> str:
    if value is None:
        return "-"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
