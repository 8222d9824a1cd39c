"""Notifications acknowledged per second, against the floor of one LPUSH: `python -m benchmarks.receiving`."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.site import body, free_port, wait_for, write_site
from webhook.edge.valkey import EmbeddedValkey
from webhook.wiring import prepare
from webhook.wiring.connection import connect
from webhook.wiring.current import Site

ROUNDS, SECONDS = 3, 3.0
#: Alerts in a notification -> what must be reached, as a share of the floor.
TARGETS = {1: 0.6, 50: 0.5}


def main() -> None:
    """Print a table, and say what was missed."""
    with tempfile.TemporaryDirectory() as name:
        storage = Path(name) / "data"
        config = write_site(Path(name) / "site", hosts=100)
        valkey = EmbeddedValkey(storage=storage)
        valkey.start()
        processes: list[subprocess.Popen[bytes]] = []
        try:
            prepare(Site(config_file=config, storage=storage))
            ours, floor = free_port(), free_port()
            web = ["webhook.web", f"--config.file={config}", f"--storage.path={storage}", f"--parent={os.getpid()}"]
            commands = [[*web, f"--web.listen-address=127.0.0.1:{ours}"], ["benchmarks.floor", str(floor), valkey.url]]
            processes += [subprocess.Popen([sys.executable, "-m", *command]) for command in commands]
            wait_for(f"http://127.0.0.1:{ours}/healthz")
            wait_for(f"http://127.0.0.1:{floor}/healthz")
            client = connect(valkey.url)
            for alerts, target in TARGETS.items():
                _compare(alerts, target, ours=ours, floor=floor, client=client)
            tail = _load(ours, 64, body(0, 1))
            print(f"64 connections, 1 alert: p50 {tail['p50_ms']:.1f} ms, p99 {tail['p99_ms']:.1f} ms (to reach: 50)")
        finally:
            for process in processes:
                process.terminate()
                process.wait(10)
            valkey.stop()


def _compare(alerts: int, target: float, *, ours: int, floor: int, client: Any) -> None:
    rates: dict[int, list[float]] = {ours: [], floor: []}
    for _ in range(ROUNDS):
        for port, found in rates.items():
            client.flushdb()
            result = _load(port, 16, body(0, alerts))
            assert not result["bad"], result
            found.append(result["rate"])
    reached, least = statistics.median(rates[ours]), statistics.median(rates[floor])
    print(
        f"{alerts:>3} alerts: {reached:6.0f} acknowledged/s, floor {least:6.0f}/s,"
        f" ratio {reached / least:.2f} (to reach: {target})"
    )


def _load(port: int, connections: int, sent: bytes) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.load", str(port), str(connections), str(SECONDS)]
    found: dict[str, Any] = json.loads(subprocess.run(command, input=sent, capture_output=True, check=True).stdout)
    return found


if __name__ == "__main__":
    main()
