"""From POST to a playbook's first task, against ansible-playbook started by hand: `python -m benchmarks.first_task`."""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx

from benchmarks.site import body, free_port, write_site

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
        port = free_port()
        command = [sys.executable, "-m", "webhook.cli", "serve", f"--config.file={config}"]
        command += [f"--storage.path={Path(name) / 'data'}", f"--web.listen-address=127.0.0.1:{port}"]
        with (Path(name) / "log").open("wb") as log:
            server = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            _wait(port)
            _measure(config.parent, f"http://127.0.0.1:{port}/api/v1")
        finally:
            server.terminate()
            server.wait(60)


def _measure(site: Path, url: str) -> None:
    _run(url, 99)
    rows = []
    for number in range(PAIRS):
        rows.append((*_run(url, number), _by_hand(site, f"h{number}")))
    acted, first, whole, hand = (1000 * statistics.median(column) for column in zip(*rows, strict=True))
    print(f"POST to the playbook's start, our own share: {acted:.0f} ms (to reach: 50)")
    print(f"POST to the first task: {first:.0f} ms; to the record of the run's end: {whole:.0f} ms")
    print(f"ansible-playbook by hand, from start to end: {hand:.0f} ms; ratio {whole / hand:.2f}")


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
        time.sleep(0.02)


def _by_hand(site: Path, host: str) -> float:
    program = Path(sys.executable).parent / "ansible-playbook"
    command = [str(program), "-i", str(site / "inventory.yml"), "--limit", host, str(site / "playbooks/one.yml")]
    began = time.time()
    subprocess.run(command, check=True, capture_output=True)
    return time.time() - began


def _wait(port: int) -> None:
    for _ in range(400):
        try:
            if httpx.get(f"http://127.0.0.1:{port}/readyz").status_code == 200:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.05)


if __name__ == "__main__":
    main()
