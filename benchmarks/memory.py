"""What all roles take when idle, the embedded Valkey included: `python -m benchmarks.memory`.

Proportional set size: pages that processes share are counted once.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.first_task import _wait
from benchmarks.site import free_port, write_site

SETTLE_SECONDS = 8


def main() -> None:
    """Print a line for each process, and the sum."""
    with tempfile.TemporaryDirectory() as name:
        config = write_site(Path(name) / "site", hosts=100)
        port = free_port()
        command = [sys.executable, "-m", "webhook.cli", "serve", f"--config.file={config}"]
        command += [f"--storage.path={Path(name) / 'data'}", f"--web.listen-address=127.0.0.1:{port}"]
        with (Path(name) / "log").open("wb") as log:
            server = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            _wait(port)
            time.sleep(SETTLE_SECONDS)
            _print([server.pid, *_children(server.pid)])
        finally:
            server.terminate()
            server.wait(60)


def _print(pids: list[int]) -> None:
    total = {"Pss": 0, "Rss": 0}
    for pid in pids:
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
        sizes = {name: int(re.findall(rf"^{name}:\s+(\d+)", rollup, re.M)[0]) for name in total}
        total = {name: total[name] + size for name, size in sizes.items()}
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        name = b" ".join(words[2:4] if b"-m" in words else words[:1]).decode()[-40:]
        print(f"{sizes['Pss'] / 1024:7.1f} MB  ({sizes['Rss'] / 1024:.1f} resident)  {name}")
    print(f"{total['Pss'] / 1024:7.1f} MB  ({total['Rss'] / 1024:.1f} resident)  together (to reach: 250)")


def _children(parent: int) -> list[int]:
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                stat = Path(f"/proc/{name}/stat").read_text()
            except OSError:
                continue
            if int(stat.rpartition(")")[2].split()[1]) == parent:
                found.append(int(name))
    return found


if __name__ == "__main__":
    main()
