"""What all roles take when idle, the embedded Valkey included: `python -m benchmarks.memory`.

Proportional set size: pages that processes share are counted once.
"""

from __future__ import annotations

import os
import re
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.site import serving, write_site

SETTLE_SECONDS = 8


def main() -> None:
    """Print a line for each process, and the sum."""
    with tempfile.TemporaryDirectory() as name:
        config = write_site(Path(name) / "site", hosts=100)
        with serving(config, storage=Path(name) / "data") as (server, _):
            time.sleep(SETTLE_SECONDS)
            _print(server.pid)


def _print(parent: int) -> None:
    total = {"Pss": 0, "Rss": 0}
    for pid, name in processes(parent):
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
        sizes = {size: int(re.findall(rf"^{size}:\s+(\d+)", rollup, re.M)[0]) for size in total}
        total = {size: total[size] + sizes[size] for size in total}
        print(f"{sizes['Pss'] / 1024:7.1f} MB  ({sizes['Rss'] / 1024:.1f} resident)  {name}")
    print(f"{total['Pss'] / 1024:7.1f} MB  ({total['Rss'] / 1024:.1f} resident)  together (to reach: 250)")


def processes(parent: int) -> Iterator[tuple[int, str]]:
    """A process and all that it started: each one's id, and what it is."""
    yield parent, _name(parent)
    for name in sorted(os.listdir("/proc")):
        if name.isdigit() and _parent(name) == parent:
            yield from processes(int(name))


def _parent(pid: str) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def _name(pid: int) -> str:
    words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    if "-m" not in words:
        return Path(words[0].split()[0]).name
    after = words.index("-m") + 1
    return " ".join(word for word in words[after : after + 2] if not word.startswith("-"))


if __name__ == "__main__":
    main()
