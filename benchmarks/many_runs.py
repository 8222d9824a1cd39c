"""Runs per minute, against a loop of ansible-playbook for each core: `python -m benchmarks.many_runs`."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx

from benchmarks.first_task import RULE
from benchmarks.site import body, serving, write_site

ROUNDS, RUNS, AT_ONCE = 3, 20, os.cpu_count() or 2


def main() -> None:
    """Print the medians of paired rounds, each of which is one notification."""
    limits = f"{{concurrency: {AT_ONCE}, rate_limit: 1000/1h}}"
    with tempfile.TemporaryDirectory() as name:
        config = write_site(Path(name) / "site", hosts=ROUNDS * RUNS + 1, rule=RULE, limits=limits)
        with serving(config, storage=Path(name) / "data") as (_, url):
            _measure(config.parent, f"{url}/api/v1")


def _measure(site: Path, url: str) -> None:
    _runs(url, first=ROUNDS * RUNS, count=1)
    rows = []
    for number in range(ROUNDS):
        ours, floor = _runs(url, first=number * RUNS, count=RUNS), _by_hand(site, count=RUNS)
        rows.append((ours, floor, ours / floor))
    ours, floor, ratio = (statistics.median(column) for column in zip(*rows, strict=True))
    print(f"runs per minute, {AT_ONCE} at once: {ours:.0f}; by hand {floor:.0f}; ratio {ratio:.2f} (to reach: 2)")


def _runs(url: str, *, first: int, count: int) -> float:
    """Runs per minute, from the POST to the end of the last one."""
    began, targets = time.time(), {f"h{number}" for number in range(first, first + count)}
    httpx.post(f"{url}/alertmanager", content=body(first, count)).raise_for_status()
    while True:
        time.sleep(0.5)
        items: list[dict[str, Any]] = httpx.get(f"{url}/runs", params={"limit": 2 * count}).json()["items"]
        found = [run for run in items if run["target"] in targets and run["state"] == "finished"]
        if len(found) == count:
            assert {run["outcome"] for run in found} == {"unproved"}, found
            ended = max(datetime.fromisoformat(run["finished_at"]).timestamp() for run in found)
            return 60 * count / (ended - began)


def _by_hand(site: Path, *, count: int) -> float:
    """Playbooks per minute, as many at once as there are cores."""
    program = Path(sys.executable).parent / "ansible-playbook"
    command = [str(program), "-i", str(site / "inventory.yml"), str(site / "playbooks/one.yml"), "--limit"]

    def play(number: int) -> None:
        subprocess.run([*command, f"h{number}"], stdout=subprocess.DEVNULL, check=True)

    began = time.time()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(play, range(count)))
    return 60 * count / (time.time() - began)


if __name__ == "__main__":
    main()
