"""`alertmend explain`: which rule takes an alert, and what each guard says; or the same of a decision on the record."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import click

from webhook.cli.options import config_file, http_config_file, storage_path
from webhook.cli.recollect import recollect_entry, told_labels
from webhook.cli.server import Server
from webhook.core.alert import Alert, AlertStatus, fingerprint_of
from webhook.core.state import Draft, Snapshot
from webhook.errors import PayloadError
from webhook.explaining import Explaining, shown
from webhook.ports import Envelope
from webhook.text import one_line
from webhook.wiring import parse
from webhook.wiring.clock import now
from webhook.wiring.current import load

Answers = Sequence[Mapping[str, Any]]

_LABELS_LIMIT: Final = 300


@click.command()
@click.argument("labels", nargs=-1, metavar="LABEL=VALUE…")
@click.option("--payload", type=click.Path(path_type=Path, exists=True, dir_okay=False), help="A notification's body.")
@click.option("--entry", type=click.IntRange(min=1), metavar="SEQ", help="A decision of the audit log.")
@config_file
@storage_path
@click.option("--server.url", "server_url", help="Ask this alertmend, about its live state or for its record.")
@http_config_file
@click.option("--output", type=click.Choice(("table", "json")), default="table", show_default=True)
@click.pass_context
def explain(
    context: click.Context,
    labels: Sequence[str],
    payload: Path | None,
    entry: int | None,
    config_file: Path,
    storage_path: Path,
    server_url: str | None,
    http_config_file: Path | None,
    output: str,
) -> None:
    """Say what would be decided for an alert with these labels, or for the alerts of a notification. Nothing is done.

    With --server.url it is decided from what that alertmend remembers, without as if nothing had ever happened. With
    --entry it is said of a decision on the record whether it is made again from what the record says.

    Exit status 0: every alert would be acted on; the decision is made again. 1: not so.
    """
    if bool(labels) + (payload is not None) + (entry is not None) != 1:
        raise click.UsageError("give labels (LABEL=VALUE…), or --payload FILE, or --entry SEQ")
    server = Server(url=server_url, http_config_file=http_config_file) if server_url else None
    if entry is not None:
        context.exit(0 if recollect_entry(entry, config_file, storage_path, server, output=output) else 1)
    alerts = [_alert(_pairs(labels))] if payload is None else _delivered(payload)
    answers = _asked(server, alerts) if server else _decided(config_file, alerts)
    if output == "json":
        click.echo(json.dumps(answers[0] if payload is None else answers, indent=2, ensure_ascii=False))
    for number, answer in enumerate(answers if output == "table" else ()):
        if payload is not None:
            click.echo(("\n" if number else "") + one_line(told_labels(answer["labels"]), limit=_LABELS_LIMIT))
        _write(answer)
    context.exit(0 if answers and all(answer["decision"] == "run" for answer in answers) else 1)


def _asked(server: Server, alerts: Sequence[Alert]) -> Answers:
    return [
        server.post("/api/v1/explain", {"labels": alert.labels, "annotations": alert.annotations}) for alert in alerts
    ]


def _decided(config_file: Path, alerts: Sequence[Alert]) -> Answers:
    _, rulebook = load(config_file)
    explaining = Explaining(read=lambda _: Draft.of(Snapshot(revision=0)), rulebook=lambda: rulebook, now=now)
    return [shown(explaining.explain(alert)) for alert in alerts]


def _pairs(labels: Sequence[str]) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for label in labels:
        name, equals, value = label.partition("=")
        if not equals or not name:
            raise click.BadParameter(f"{label!r} is not LABEL=VALUE", param_hint="LABEL=VALUE")
        pairs[name] = value
    return pairs


def _alert(labels: Mapping[str, str]) -> Alert:
    return Alert(
        status=AlertStatus.FIRING,
        labels=labels,
        annotations={},
        starts_at=now(),
        ends_at=None,
        fingerprint=fingerprint_of(labels),
    )


def _delivered(payload: Path) -> Sequence[Alert]:
    envelope = Envelope(received_at=now(), sender="explain", body=payload.read_text(encoding="utf-8", errors="replace"))
    alerts = [alert for alert in parse("explain", envelope).alerts if not alert.is_resolved]
    if not alerts:
        raise PayloadError(f"no alert fires in {payload}")
    return alerts


def _write(answer: Mapping[str, Any]) -> None:
    for name, failed in answer["passed_by"].items():
        click.echo(f"rule {name}: does not match: {', '.join(failed)}")
    if answer["rule"] is None:
        click.echo(f"\n{answer['reason']}: nothing would be done")
        return
    click.echo(f"rule {answer['rule']}: matches")
    named = next(check["reason"] for check in answer["checks"] if check["guard"] == "target")
    click.echo(f"target: {answer['target'] or named}\n")
    for check in answer["checks"]:
        click.echo(f"  {check['verdict']:<7} {check['guard']:<22} {check['reason']}")
    done = f": {answer['playbook']} on {answer['target']}" if answer["decision"] == "run" else f" ({answer['guard']})"
    click.echo(f"\ndecision: {answer['decision']}{done}; {answer['reason']}")
