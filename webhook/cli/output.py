"""`alertmend runs output`: what a playbook printed, or prints just now."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final
from urllib.parse import quote

import click

from webhook.cli import options
from webhook.cli.server import Server
from webhook.errors import Unavailable

#: The server says something every 15 seconds; one of which nothing is heard for this long is asked anew.
SILENCE_SECONDS: Final = 45.0
PAUSE_SECONDS: Final = 1.0


@click.command()
@click.argument("id")
@click.option("--follow", is_flag=True, help="Go on until the run ends.")
@options.server_url
@options.http_config_file
def output(id: str, follow: bool, server_url: str, http_config_file: Path | None) -> None:
    """Print what the playbook of run ID printed so far."""
    server, path = Server(url=server_url, http_config_file=http_config_file), f"/api/v1/runs/{quote(id, safe='')}"
    if not follow:
        click.echo(server.text(f"{path}/output.txt"), nl=False)
        return
    for kind, data in _events(server, f"{path}/events"):
        if kind == "output":
            click.echo(data["text"], nl=False)
        elif kind == "gap":
            click.echo(f"… [{data['left_out']} events left out by alertmend] …")
        elif kind == "end":
            click.echo(f"{data['outcome']}: {data['reason']}", err=True)


def _events(server: Server, path: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Every event of a run once, in order, up to its end, however often the connection breaks."""
    last = ""
    while True:
        try:
            with server.lines(path, {"last-event-id": last}, silence_seconds=SILENCE_SECONDS) as lines:
                for event in _parsed(lines):
                    last = event["id"]
                    yield event["event"], json.loads(event["data"])
                    if event["event"] == "end":
                        return
        except Unavailable as error:
            if not last:
                raise
            click.echo(f"{error}; trying again", err=True)
        time.sleep(PAUSE_SECONDS)


def _parsed(lines: Iterable[str]) -> Iterator[dict[str, str]]:
    fields: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(": ")
        if name:
            fields[name] = value
        elif line == "" and "id" in fields:
            yield fields
            fields = {}
