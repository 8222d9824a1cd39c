"""`alertmend audit`: the log listed, shown, exported and verified; from a server, a file or the database itself."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from webhook.cli import options
from webhook.cli.export import read_export
from webhook.cli.record import list_verb, show_verb
from webhook.cli.server import Server
from webhook.core.audit import GENESIS, AuditEntry
from webhook.core.chain import Break, first_break
from webhook.core.line import read_line, write_line
from webhook.errors import AuditBroken

if TYPE_CHECKING:
    from webhook.edge.ledger import SqlLedger

#: Entries that a server is asked for at once.
PORTION = 2000


@click.group()
def audit() -> None:
    """The audit log: every decision, every run."""


list_verb("audit", audit)
show_verb("audit", audit)


def _of_database(verb: Callable[..., None]) -> Any:
    """Options that name a database to be read with no server running."""
    config = click.option(
        "--config.file", "config_file", type=click.Path(path_type=Path, exists=True), help="Read its database."
    )
    storage = click.option(
        "--storage.path", "storage_path", type=click.Path(path_type=Path), help="Read the SQLite in there."
    )
    return config(storage(options.server_url(options.http_config_file(verb))))


@audit.command()
@click.argument("file", required=False, type=click.Path(path_type=Path, exists=True, dir_okay=False))
@_of_database
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
        _say(*_verified(read_export(file), length=file.stat().st_size))
    elif config_file is not None or storage_path is not None:
        ledger = _stored(config_file, storage_path)
        broken, entries, head = _verified(((entry, 1) for entry in ledger.entries()), length=ledger.head()[0])
        _say(broken or ledger.cut(), entries, head)
    else:
        answer = Server(url=server_url, http_config_file=http_config_file).get("/api/v1/audit/verify")
        bad = answer["first_bad"]
        _say(Break(seq=bad["seq"], words=bad["words"]) if bad else None, answer["entries"], answer["head"])


@audit.command()
@click.option("--after", type=click.IntRange(min=0), default=0, show_default=True, help="Only entries that follow SEQ.")
@_of_database
def export(
    after: int, config_file: Path | None, storage_path: Path | None, server_url: str, http_config_file: Path | None
) -> None:
    """Print the log, oldest entry first, one as JSON a line: what `verify` takes and should be kept elsewhere."""
    if config_file is not None or storage_path is not None:
        for entry in _stored(config_file, storage_path).entries(after=after):
            click.echo(write_line(entry), nl=False)
        return
    server = Server(url=server_url, http_config_file=http_config_file)
    while lines := server.text("/api/v1/audit/export", ("after", str(after)), ("limit", str(PORTION))):
        click.echo(lines, nl=False)
        after = read_line(lines.rstrip("\n").rpartition("\n")[2].encode()).seq


def _say(broken: Break | None, entries: int, head: str) -> None:
    if broken is not None:
        raise AuditBroken(broken.seq, broken.words)
    click.echo(f"the chain holds: {entries} entries, head {head}")


def _verified(entries: Iterator[tuple[AuditEntry, int]], *, length: int) -> tuple[Break | None, int, str]:
    """The first break, and the last entry; each entry comes with its share of `length`, for those who wait."""
    seq, hash = 0, GENESIS

    def watched(bar: Any) -> Iterator[AuditEntry]:
        nonlocal seq, hash
        for entry, share in entries:
            seq, hash = entry.seq, entry.hash
            bar.update(share)
            yield entry

    hidden = not sys.stderr.isatty()
    with click.progressbar(
        length=length, label="verifying", file=sys.stderr, hidden=hidden, update_min_steps=max(1, length // 200)
    ) as bar:
        broken = first_break(watched(bar))
    return broken, seq, hash


def _stored(config_file: Path | None, storage_path: Path | None) -> SqlLedger:
    from webhook.wiring.connection import open_record

    found: SqlLedger = open_record(config_file, storage_path or Path("data"))
    return found
