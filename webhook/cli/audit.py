"""`alertmend audit`: the log listed, shown, exported and verified; from a server, a file or the database itself."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from getpass import getuser
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from webhook import telemetry
from webhook.cli import options
from webhook.cli.checkpoint import confirmed, read_checkpoints
from webhook.cli.export import read_export
from webhook.cli.record import list_verb, show_verb
from webhook.cli.server import Server
from webhook.core.audit import GENESIS, AuditEntry
from webhook.core.chain import Break, Kept, first_break
from webhook.core.checkpoint import Checkpoint, write_checkpoint
from webhook.core.duration import DurationError, parse_duration
from webhook.core.line import read_line, write_line
from webhook.errors import AuditBroken
from webhook.ports import Pruning

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
@click.option(
    "--checkpoint",
    "checkpoint_files",
    multiple=True,
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Checkpoints that were kept elsewhere; may be given several times.",
)
@click.option(
    "--public-key",
    "public_key",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="The key that has to have signed every checkpoint.",
)
@_of_database
def verify(
    file: Path | None,
    checkpoint_files: Sequence[Path],
    public_key: Path | None,
    config_file: Path | None,
    storage_path: Path | None,
    server_url: str,
    http_config_file: Path | None,
) -> None:
    """Check the chain of hashes: of a server, of FILE (one entry as JSON a line), or of the database itself.

    Exit status 0: it holds. 1: it is broken, and the first bad entry is named. 3: there is nothing to read it from.
    """
    checkpoints = read_checkpoints(checkpoint_files)
    if file is not None:
        kept = confirmed(checkpoints, public_key)
        _say(*_verified(read_export(file), length=file.stat().st_size, kept=kept, may_be_a_part=True))
    elif config_file is not None or storage_path is not None:
        ledger = _stored(config_file, storage_path)
        kept = confirmed([*checkpoints, *ledger.checkpoints()], public_key)
        entries = ((entry, 1) for entry in ledger.entries())
        broken, count, head = _verified(entries, length=ledger.count(), kept=kept)
        _say(broken or ledger.cut() or ledger.altered(), count, head)
    elif checkpoints or public_key:
        raise click.UsageError(
            "checkpoints are compared with FILE or with the database (--config.file, --storage.path)"
        )
    else:
        answer = Server(url=server_url, http_config_file=http_config_file).get("/api/v1/audit/verify")
        bad = answer["first_bad"]
        _say(Break(seq=bad["seq"], words=bad["words"]) if bad else None, answer["entries"], answer["head"])


@audit.command("checkpoints")
@_of_database
def list_checkpoints(
    config_file: Path | None, storage_path: Path | None, server_url: str, http_config_file: Path | None
) -> None:
    """Print every checkpoint, one as JSON a line: what `verify --checkpoint` takes, and should be kept elsewhere."""
    if config_file is not None or storage_path is not None:
        found = _stored(config_file, storage_path).checkpoints()
    else:
        server = Server(url=server_url, http_config_file=http_config_file)
        found = [Checkpoint(**item) for item in server.get("/api/v1/audit/checkpoints")["items"]]
    for checkpoint in found:
        click.echo(write_checkpoint(checkpoint), nl=False)


@audit.command("prune")
@click.option("--older-than", "age", required=True, help="How long entries are kept, such as 400d.")
@click.option("--confirm", is_flag=True, help="Do it; otherwise it is only said what would be done.")
@click.option("--config.file", "config_file", type=click.Path(path_type=Path, exists=True), help="Prune its database.")
@click.option("--storage.path", "storage_path", type=click.Path(path_type=Path), help="Prune the SQLite in there.")
def prune(age: str, confirm: bool, config_file: Path | None, storage_path: Path | None) -> None:
    """Remove what is older from the database; an entry says so in its place, and the chain still verifies."""
    try:
        now = datetime.now(UTC)
        before = now - parse_duration(age)
    except (DurationError, OverflowError) as error:
        raise click.BadParameter(str(error), param_hint="--older-than") from None
    telemetry.configure(format="logfmt", level="warning", role="prune")
    from webhook.edge.ledger.archive import SqlArchive

    archive = SqlArchive(ledger=_stored(config_file, storage_path))
    if confirm:
        _say_pruning(archive.prune(before, now=now, actor=getuser()), done=True)
    else:
        _say_pruning(archive.foresee_pruning(before, now=now), done=False)


def _say_pruning(pruning: Pruning, *, done: bool) -> None:
    if pruning.kept_for:
        click.echo(f"since {pruning.before} everything is kept for {pruning.kept_for}", err=True)
    if not pruning.entries:
        click.echo(f"no entry before {pruning.before} is there to be removed")
        return
    what = f"{pruning.entries} entries, {pruning.first_seq} to {pruning.last_seq}"
    rest = "and the runs and incidents that ended before"
    if done:
        click.echo(f"removed: {what}, {rest} {pruning.before}")
    else:
        click.echo(f"would be removed: {what}, {rest} {pruning.before}; say --confirm to do it")


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


def _verified(
    entries: Iterator[tuple[AuditEntry, int]], *, length: int, kept: Kept, may_be_a_part: bool = False
) -> tuple[Break | None, int, str]:
    """The first break, how many there are, and the hash of the last.

    Each entry comes with its share of `length`, for those who wait.
    """
    count, hash = 0, GENESIS

    def watched(bar: Any) -> Iterator[AuditEntry]:
        nonlocal count, hash
        for count, (entry, share) in enumerate(entries, 1):  # noqa: B007
            hash = entry.hash
            bar.update(share)
            yield entry

    hidden = not sys.stderr.isatty()
    with click.progressbar(
        length=length, label="verifying", file=sys.stderr, hidden=hidden, update_min_steps=max(1, length // 200)
    ) as bar:
        broken = (_first_break_of_part if may_be_a_part else first_break)(watched(bar), kept=kept)
    return broken, count, hash


def _first_break_of_part(entries: Iterator[AuditEntry], *, kept: Kept) -> Break | None:
    """As `first_break`; the entries may be a part of the log, if what they follow was kept."""
    first = next(entries, None)
    if first is None or (hash := kept.get(first.seq - 1)) is None:
        return first_break(chain([first] if first else [], entries), kept=kept)
    return first_break(chain([first], entries), seq=first.seq - 1, previous_hash=hash, kept=kept)


def _stored(config_file: Path | None, storage_path: Path | None) -> SqlLedger:
    from webhook.wiring.connection import open_record

    found: SqlLedger = open_record(config_file, storage_path or Path("data"))
    return found
