"""Runs per minute, against ansible-playbook in a loop, and in one for each core: `python -m benchmarks.many_runs`."""

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
        with serving(config, storage=Path(name) / "data") as (_, url), httpx.Client(base_url=f"{url}/api/v1") as client:
            _measure(config.parent, client)


def _measure(site: Path, client: httpx.Client) -> None:
    _runs(client, first=ROUNDS * RUNS, count=1)
    rows = []
    for number in range(ROUNDS):
        ours = _runs(client, first=number * RUNS, count=RUNS)
        one, each = (_by_hand(site, count=RUNS // 2, at_once=at_once) for at_once in (1, AT_ONCE))
        rows.append((ours, one, ours / one, each, ours / each))
    ours, one, to_one, each, to_each = (statistics.median(column) for column in zip(*rows, strict=True))
    print(f"runs per minute, {AT_ONCE} at once: {ours:.0f}")
    print(f"a loop of ansible-playbook: {one:.0f}; ratio {to_one:.2f} (to reach: 2)")
    print(f"a loop for each core: {each:.0f}; ratio {to_each:.2f}")


def _runs(client: httpx.Client, *, first: int, count: int) -> float:
    """Runs per minute, from the POST to the end of the last one."""
    began, targets = time.time(), {f"h{number}" for number in range(first, first + count)}
    client.post("alertmanager", content=body(first, count)).raise_for_status()
    while True:
        time.sleep(0.5)
        items: list[dict[str, Any]] = client.get("runs", params={"limit": 2 * count}).json()["items"]
        found = [run for run in items if run["target"] in targets and run["state"] == "finished"]
        if len(found) == count:
            assert {run["outcome"] for run in found} == {"unproved"}, found
            ended = max(datetime.fromisoformat(run["finished_at"]).timestamp() for run in found)
            return 60 * count / (ended - began)


def _by_hand(site: Path, *, count: int, at_once: int) -> float:
    """Playbooks per minute, from so many loops."""
    program = Path(sys.executable).parent / "ansible-playbook"
    command = [str(program), "-i", str(site / "inventory.yml"), str(site / "playbooks/one.yml"), "--limit"]

    def play(number: int) -> None:
        subprocess.run([*command, f"h{number}"], stdout=subprocess.DEVNULL, check=True)

    began = time.time()
    with ThreadPoolExecutor(at_once) as pool:
        list(pool.map(play, range(count)))
    return 60 * count / (time.time() - began)


if __name__ == "__main__":
    main()
