"""`alertmend audit`, `incidents` and `runs`: the record, from a running server or from its database."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import click

from webhook.cli import options
from webhook.cli.output import output
from webhook.cli.server import Server
from webhook.core.audit import GENESIS, AuditEntry, Break, canonical, first_break
from webhook.errors import AuditBroken, Unavailable

if TYPE_CHECKING:
    from webhook.edge.ledger import SqlLedger

COLUMNS = {
    "incidents": ("id", "rule", "target", "state", "opened_at", "resolved_at", "resolved_by"),
    "runs": ("id", "rule", "target", "step", "state", "outcome", "created_at", "reason"),
    "audit": ("seq", "at", "event", "actor", "rule", "target", "alertname", "decision", "outcome"),
}


@click.group()
def audit() -> None:
    """The audit log: every decision, every run."""


@click.group()
def incidents() -> None:
    """What was wrong, and what was done about it."""


@click.group()
def runs() -> None:
    """Attempts to mend something."""


def _list_verb(kind: str, group: click.Group, filters: tuple[str, ...]) -> None:
    def verb(server_url: str, http_config_file: Path | None, output: str, limit: int, **asked: str | None) -> None:
        query = {name: value for name, value in asked.items() if value is not None}
        server = Server(url=server_url, http_config_file=http_config_file)
        page = server.get(f"/api/v1/{kind}", **query, limit=str(limit))
        options.write_rows(page["items"], columns=COLUMNS[kind], output=output)

    verb.__doc__ = f"List {'audit entries' if kind == 'audit' else kind}, newest first."
    for name in (*filters, "since", "until"):
        verb = click.option(f"--{name}")(verb)
    limit = click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True)
    shared = options.server_url(options.http_config_file(options.output(limit(verb))))
    group.command("list")(shared)


def _show_verb(kind: str, group: click.Group) -> None:
    def verb(id: str, server_url: str, http_config_file: Path | None) -> None:
        found = Server(url=server_url, http_config_file=http_config_file).get(f"/api/v1/{kind}/{quote(id, safe='')}")
        click.echo(json.dumps(found, indent=2, ensure_ascii=False))

    verb.__doc__ = "Show one, whole, as JSON."
    argument = click.argument("id", metavar="SEQ" if kind == "audit" else "ID")
    group.command("show")(options.server_url(options.http_config_file(argument(verb))))


_list_verb("audit", audit, ("event", "actor", "rule", "target", "alertname", "decision", "outcome", "run", "incident"))
_list_verb("incidents", incidents, ("rule", "target", "state"))
_list_verb("runs", runs, ("rule", "target", "state", "outcome", "incident"))
for _kind, _group in (("audit", audit), ("incidents", incidents), ("runs", runs)):
    _show_verb(_kind, _group)
runs.add_command(output)


@audit.command()
@click.argument("file", required=False, type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--config.file", "config_file", type=click.Path(path_type=Path, exists=True), help="Read its database.")
@click.option("--storage.path", "storage_path", type=click.Path(path_type=Path), help="Read the SQLite in there.")
@options.server_url
@options.http_config_file
def verify(
    file: Path | None,
    config_file: Path | None,
    storage_path: Path | None,
    server_url: str,
    http_config_file: Path | None,
) -> None:
    """Check the chain of hashes: of a server, of FILE (one entry as JSON a line), or of the database itself.

    Exit status 0: it holds. 1: it is broken, and the first bad entry is named. 3: there is nothing to read it from.
    """
    if file is not None:
        _say(*_verified(_entries_of(file)))
    elif config_file is not None or storage_path is not None:
        ledger = _stored(config_file, storage_path or Path("data"))
        broken, entries, head = _verified(ledger.entries())
        _say(broken or ledger.cut(), entries, head)
    else:
        answer = Server(url=server_url, http_config_file=http_config_file).get("/api/v1/audit/verify")
        bad = answer["first_bad"]
        _say(Break(seq=bad["seq"], words=bad["words"]) if bad else None, answer["entries"], answer["head"])


def _say(broken: Break | None, entries: int, head: str) -> None:
    if broken is not None:
        raise AuditBroken(broken.seq, broken.words)
    click.echo(f"the chain holds: {entries} entries, head {head}")


def _verified(entries: Iterator[AuditEntry]) -> tuple[Break | None, int, str]:
    seen: list[tuple[int, str]] = [(0, GENESIS)]

    def counted() -> Iterator[AuditEntry]:
        last = time.monotonic()
        for entry in entries:
            seen[0] = entry.seq, entry.hash
            if time.monotonic() - last > 1:
                last = time.monotonic()
                click.echo(f"\r{entry.seq} entries …", nl=False, err=True)
            yield entry

    broken = first_break(counted())
    return broken, *seen[0]


def _entries_of(file: Path) -> Iterator[AuditEntry]:
    with file.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            try:
                row = json.loads(line)
                yield AuditEntry(**{**row, "body": canonical(row["body"])})
            except (ValueError, TypeError, KeyError, RecursionError) as error:
                raise AuditBroken(number, f"line {number} of {file} is no audit entry: {error}") from None


def _stored(config_file: Path | None, storage_path: Path) -> SqlLedger:
    from webhook.edge.configfile import read_config
    from webhook.edge.ledger import SqlLedger, open_engine
    from webhook.wiring import database_url

    if config_file is not None:
        url = database_url(read_config(config_file), storage_path)
    else:
        url = f"sqlite:///{storage_path.absolute() / 'alertmend.db'}"
    file = url.removeprefix("sqlite:///")
    # Asked for it, SQLite would make an empty one, in which every chain holds.
    if file != url and not Path(file).exists():
        raise Unavailable("the audit database", f"there is none at {file}")
    return SqlLedger(engine=open_engine(url))
