"""`alertmend replay`: yesterday's alerts through tomorrow's rules."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import click
import structlog
from pydantic_core import to_jsonable_python

from webhook.cli.options import config_file
from webhook.core.audit import timestamp
from webhook.rehearsal.export import Decided, read_export
from webhook.rehearsal.replay import ChangedRun
from webhook.rehearsal.replay import replay as replay_recorded
from webhook.wiring.current import load


@click.command()
@click.argument("file", metavar="FILE.jsonl", type=click.Path(path_type=Path))
@config_file
@click.option("--output", type=click.Choice(("table", "json")), default="table", show_default=True)
def replay(file: Path, config_file: Path, output: str) -> None:
    """Deliver the alerts of an audit export to other rules, and say which runs there would be more, and which less.

    Nothing is done to any host: playbooks end as they did.
    """
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    _, rulebook = load(config_file)
    recorded = read_export(file)
    changes = replay_recorded(recorded, rulebook)
    if output == "json":
        click.echo(json.dumps([_as_json(change) for change in changes], indent=2, ensure_ascii=False))
    for change in changes if output == "table" else ():
        _write(change)
    before = sum(decided.runs for decided in recorded.decisions)
    added = sum(change.is_added for change in changes)
    click.echo(f"{before} runs before; {added} added, {len(changes) - added} removed", err=True)


def _write(change: ChangedRun) -> None:
    run, instead = change.run, _told(change.instead)
    click.echo(f"{'+' if change.is_added else '-'} {timestamp(run.at)} {run.rule} {run.target}")
    before, now = (instead, _told(run)) if change.is_added else (_told(run), instead)
    click.echo(f"    before: {before}\n    now:    {now}")


def _told(decided: Decided | None) -> str:
    if decided is None:
        return "no rule takes the alert"
    by = f" by {decided.guard}" if decided.guard else ""
    return f"{decided.decision}{by}, rule {decided.rule}: {decided.reason}"


def _as_json(change: ChangedRun) -> Mapping[str, object]:
    instead = asdict(change.instead) if change.instead else None
    before, now = (instead, asdict(change.run)) if change.is_added else (asdict(change.run), instead)
    found: Mapping[str, object] = to_jsonable_python(
        {"change": "added" if change.is_added else "removed", "before": before, "now": now}
    )
    return found
