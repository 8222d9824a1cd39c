"""`alertmend runs approve|reject|cancel`, `incidents take-over`, `pause`, `resume`, `pauses`: what people say."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click

from webhook.cli import options
from webhook.cli.record import incidents, runs
from webhook.cli.server import Server
from webhook.errors import Unsealed

PAUSE_COLUMNS = ("id", "covers", "until", "created_by", "comment")

comment: Callable[[Any], Any] = click.option("--comment", required=True, help="Why; it goes on the record.")


@contextmanager
def _telling(what: str) -> Iterator[None]:
    """Who is told that it holds is told what does."""
    try:
        yield
    except Unsealed as error:
        raise Unsealed(error.words, what=what) from None


def _shared(verb: Any) -> Any:
    return options.server_url(options.http_config_file(comment(verb)))


def _run_verb(name: str, done: str, noun: str, words: str) -> None:
    def verb(id: str, comment: str, server_url: str, http_config_file: Path | None) -> None:
        server = Server(url=server_url, http_config_file=http_config_file)
        with _telling(f"the {noun} of run {id}"):
            run = server.post(f"/api/v1/runs/{quote(id, safe='')}/{name}", {"comment": comment})
        click.echo(f"run {id} {done}: it is {run['state']} now", err=True)

    verb.__doc__ = words
    runs.command(name)(click.argument("id", metavar="ID")(_shared(verb)))


_run_verb(
    "approve", "approved", "approval", "Approve a run that awaits it. With enough approvals it is decided on again."
)
_run_verb(
    "reject", "rejected", "rejection", "Reject a run that awaits approval. It is not asked again while its alerts fire."
)
_run_verb(
    "cancel",
    "cancelled",
    "cancellation",
    "Cancel a run; a playbook under way is ended with everything that it started.",
)


@incidents.command("take-over")
@click.argument("id", metavar="ID")
@_shared
def take_over(id: str, comment: str, server_url: str, http_config_file: Path | None) -> None:
    """Take over an incident that people were called for: nobody else is, and the alert about it resolves."""
    server = Server(url=server_url, http_config_file=http_config_file)
    with _telling(f"the take-over of incident {id}"):
        found = server.post(f"/api/v1/incidents/{quote(id, safe='')}/take-over", {"comment": comment})
    click.echo(f"incident {id} is {found['taken_over_by']}'s now", err=True)


@click.command()
@click.argument("matchers", nargs=-1, metavar="[MATCHER…]")
@click.option("--for", "span", required=True, help="How long, at most 31d: a pause never goes without an end.")
@click.option("--cancel-running", is_flag=True, help="End playbooks that are under way, too.")
@_shared
def pause(
    matchers: Sequence[str],
    span: str,
    cancel_running: bool,
    comment: str,
    server_url: str,
    http_config_file: Path | None,
) -> None:
    """The kill switch: nothing new runs for what matches, or for anything, until the end.

    Matchers are Alertmanager's, on the labels of alerts, and on `rule` and `target`. What is queued is withdrawn; when
    the pause ends, what was held is decided again. Prints the id that `alertmend resume` takes.
    """
    server = Server(url=server_url, http_config_file=http_config_file)
    asked = {"matchers": list(matchers), "for": span, "comment": comment, "cancel_running": cancel_running}
    with _telling("the pause, which `alertmend pauses` shows,"):
        made = server.post("/api/v1/pauses", asked)
    click.echo(made["id"])
    click.echo(f"paused until {made['until']}: {', '.join(made['matchers']) or 'everything'}", err=True)


@click.command()
@click.argument("id", metavar="ID")
@click.option("--comment", default="", help="Why; it goes on the record.")
@options.server_url
@options.http_config_file
def resume(id: str, comment: str, server_url: str, http_config_file: Path | None) -> None:
    """End a pause before its time; what it held is decided again."""
    server = Server(url=server_url, http_config_file=http_config_file)
    body = {"comment": comment} if comment else {}
    with _telling(f"the end of pause {id}"):
        ended = server.delete(f"/api/v1/pauses/{quote(id, safe='')}", body)
    click.echo(f"resumed: {', '.join(ended['matchers']) or 'everything'}", err=True)


@click.command()
@options.server_url
@options.http_config_file
@options.output
def pauses(server_url: str, http_config_file: Path | None, output: str) -> None:
    """List what is paused, until when, by whom and why."""
    found = Server(url=server_url, http_config_file=http_config_file).get("/api/v1/pauses")
    rows = [{**pause, "covers": ", ".join(pause["matchers"]) or "everything"} for pause in found["items"]]
    options.write_rows(found["items"] if output == "json" else rows, columns=PAUSE_COLUMNS, output=output)


@click.group()
def rules() -> None:
    """Rules, and what became of them."""


@rules.command("list")
@options.server_url
@options.http_config_file
@options.output
def list_rules(server_url: str, http_config_file: Path | None, output: str) -> None:
    """List the rules of a running server in their order, with their counts over all targets."""
    found = Server(url=server_url, http_config_file=http_config_file).get("/api/v1/rules")
    rows = [{**rule, **_summed(rule["outcomes"])} for rule in found["items"]]
    options.write_rows(rows, columns=("name", "mode", "breaker", "running", *COUNTS), output=output)


@rules.command("show")
@click.argument("name", metavar="NAME")
@options.server_url
@options.http_config_file
@options.output
def show_rule(name: str, server_url: str, http_config_file: Path | None, output: str) -> None:
    """Show what became of a rule, target by target: outcomes, what came back, and the time to recovery."""
    rule = Server(url=server_url, http_config_file=http_config_file).get(f"/api/v1/rules/{quote(name, safe='')}")
    rows = [rule] if output == "json" else [{**row, **_counts(row)} for row in rule["outcomes"]]
    times = ("mean_seconds_with_us", "mean_seconds_by_itself")
    options.write_rows(rows, columns=("target", *COUNTS, *times), output=output)


COUNTS = ("incidents", "fixed", "unproved", "ineffective", "failed", "lost", "came_back", "cleared_by_itself")


def _counts(row: Mapping[str, Any]) -> dict[str, int]:
    return {name: row["runs"].get(name, 0) if name not in row else row[name] for name in COUNTS}


def _summed(rows: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    counted = [_counts(row) for row in rows]
    return {name: sum(row[name] for row in counted) for name in COUNTS}
