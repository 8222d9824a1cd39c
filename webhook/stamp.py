"""Whether a file is another than it was."""

from __future__ import annotations

from pathlib import Path

#: When it was changed, its size, and which file it is.
Stamp = tuple[int, int, int]


def stamp_of(file: Path) -> Stamp | None:
    """What tells a version of a file from another; None when it cannot be looked at."""
    try:
        stat = file.stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_size, stat.st_ino
