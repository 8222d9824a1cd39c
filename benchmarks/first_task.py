"""From POST to a playbook's first task, against ansible-playbook started by hand: `python -m benchmarks.first_task`."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
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
    """Print medians of paired measurements."""
    with tempfile.TemporaryDirectory() as name:
        config = write_site(Path(name) / "site", hosts=100, rule=RULE, limits="{concurrency: 1, rate_limit: 1000/1h}")
        with serving(config, storage=Path(name) / "data") as (_, url):
            _measure(config.parent, f"{url}/api/v1")


def _measure(site: Path, url: str) -> None:
    _run(url, 99)
    rows = [(*_run(url, number), *_by_hand(site, f"h{number}")) for number in range(PAIRS)]
    acted, first, whole, floor, hand = (1000 * statistics.median(column) for column in zip(*rows, strict=True))
    print(f"POST to the playbook's start, our own share: {acted:.0f} ms (to reach: 50)")
    print(f"POST to the first task: {first:.0f} ms; by hand {floor:.0f} ms; ratio {first / floor:.2f} (to reach: 0.5)")
    print(f"POST to the run's end: {whole:.0f} ms; by hand {hand:.0f} ms; ratio {whole / hand:.2f} (to reach: 0.45)")


def _run(url: str, number: int) -> tuple[float, float, float]:
    """Seconds from the POST to the playbook's start, to the first task, and to the end."""
    began = time.time()
    httpx.post(f"{url}/alertmanager", content=body(number, 1)).raise_for_status()
    while True:
        found: list[dict[str, Any]] = httpx.get(f"{url}/runs", params={"target": f"h{number}"}).json()["items"]
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
