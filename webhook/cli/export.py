"""An exported audit log, read in the order of its entries."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from webhook.core.audit import AuditEntry
from webhook.core.line import read_line
from webhook.errors import AuditBroken

_BLOCK_BYTES = 1024 * 1024


def read_export(file: Path) -> Iterator[tuple[AuditEntry, int]]:
    """The entries, oldest first, each with the number of its bytes; a file that has the newest first is turned round.

    Raises:
        AuditBroken: a line is no entry.
    """
    with file.open("rb") as opened:
        is_turned = _begins_with_newest(opened)
        seq, counted = 0, " from the end" if is_turned else ""
        for number, line in enumerate(_lines_backwards(opened) if is_turned else opened, 1):
            try:
                entry = read_line(line)
            except ValueError as error:
                raise AuditBroken(seq + 1, f"line {number}{counted} of {file} is no audit entry: {error}") from None
            seq = entry.seq
            yield entry, len(line)


def _begins_with_newest(opened: BinaryIO) -> bool:
    first, second = opened.readline(), opened.readline()
    opened.seek(0)
    try:
        return read_line(second).seq < read_line(first).seq
    except ValueError:
        return False


def _lines_backwards(opened: BinaryIO) -> Iterator[bytes]:
    """The lines from the last to the first, without reading the whole file into memory."""
    at, begun = opened.seek(0, 2), b""
    while at > 0:
        size = min(at, _BLOCK_BYTES)
        at -= size
        opened.seek(at)
        begun, *lines = (opened.read(size) + begun).split(b"\n")
        yield from (line for line in reversed(lines) if line)
    if begun:
        yield begun
