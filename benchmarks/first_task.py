"""From POST to a playbook's first task, against ansible-playbook started by hand: `python -m benchmarks.first_task`."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx

from benchmarks.site import body, serving, write_site

PAIRS = 9
RULE = """\
rules:
  - name: measure
    match: ['alertname="TargetDown"']
    playbook: one.yml
"""


def main() -> None:
    """Print medians of measurements that are made in turn: ours from warm, ours from cold, by hand."""
    with tempfile.TemporaryDirectory() as name, ExitStack() as open:
        warm, site = _serve(open, Path(name) / "warm", "")
        cold, _ = _serve(open, Path(name) / "cold", "execution: {warm: false}\n")
        _measure(site, warm, cold)


def _serve(open: ExitStack, folder: Path, settings: str) -> tuple[httpx.Client, Path]:
    config = write_site(folder / "site", hosts=100, rule=RULE, limits="{concurrency: 1, rate_limit: 1000/1h}")
    config.write_text(config.read_text() + settings)
    _, url = open.enter_context(serving(config, storage=folder / "data"))
    # One connection for all: making a client takes some 20 ms, which are nobody's share but its own.
    return open.enter_context(httpx.Client(base_url=f"{url}/api/v1")), config.parent


def _measure(site: Path, warm: httpx.Client, cold: httpx.Client) -> None:
    _run(warm, 99), _run(cold, 99)
    rows = [(*_run(warm, n), *_run(cold, n), *_by_hand(site, f"h{n}")) for n in range(PAIRS)]
    acted, first, whole, cold_acted, _, cold_whole, floor, hand = (
        1000 * statistics.median(column) for column in zip(*rows, strict=True)
    )
    ours, runner = whole - acted, cold_whole - cold_acted
    print(f"POST to the playbook's start, our own share: {acted:.0f} ms (to reach: 50)")
    print(f"POST to the first task: {first:.0f} ms; by hand {floor:.0f} ms; ratio {first / floor:.2f} (to reach: 0.5)")
    print(f"a run of one task: {ours:.0f} ms; from cold {runner:.0f} ms; ratio {ours / runner:.2f} (to reach: 0.45)")
    print(f"POST to the run's end: {whole:.0f} ms; by hand {hand:.0f} ms; ratio {whole / hand:.2f}")


def _run(client: httpx.Client, number: int) -> tuple[float, float, float]:
    """Seconds from the POST to the playbook's start, to the first task, and to the end."""
    began = time.time()
    client.post("alertmanager", content=body(number, 1)).raise_for_status()
    while True:
        found: list[dict[str, Any]] = client.get("runs", params={"target": f"h{number}"}).json()["items"]
        if found and found[0]["state"] == "finished":
            run = found[0]
            assert run["outcome"] == "unproved", run
            times = (run["acted_at"], run["first_task_at"], run["finished_at"])
            acted, first, finished = (datetime.fromisoformat(at).timestamp() - began for at in times)
            return acted, first, finished
        # The record says when; whoever asks for it all the time only takes the time away.
        time.sleep(0.2)


def _by_hand(site: Path, host: str) -> tuple[float, float]:
    """Seconds from the start of ansible-playbook to its first task, and to its end."""
    program = Path(sys.executable).parent / "ansible-playbook"
    command = [str(program), "-i", str(site / "inventory.yml"), "--limit", host, str(site / "playbooks/one.yml")]
    began, first = time.time(), 0.0
    with subprocess.Popen(command, stdout=subprocess.PIPE, env={**os.environ, "PYTHONUNBUFFERED": "1"}) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith(b"TASK [") and not first:
                first = time.time() - began
    assert process.returncode == 0 and first
    return first, time.time() - began


if __name__ == "__main__":
    main()
