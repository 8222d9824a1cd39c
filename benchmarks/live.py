"""From a task's own clock to whoever follows its run, against Ansible's pipe by hand: `python -m benchmarks.live`."""

from __future__ import annotations

import os
import re
import selectors
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import httpx

from benchmarks.site import body, free_port, serving, wait_for, write_site

TASKS, AT_ONCE, FOLLOWERS = 40, 4, 50
RULE = """\
rules:
  - name: measure
    match: ['alertname="TargetDown"']
    playbook: tell.yml
"""
TASK = """\
    - ansible.builtin.debug: {msg: 'clock={{ now(utc=true).timestamp() }}'}
"""
CLOCK = re.compile(rb"clock=([0-9.]+)")


def main() -> None:
    """Print medians, and the worst."""
    with tempfile.TemporaryDirectory() as name:
        limits = f"{{concurrency: {AT_ONCE}, rate_limit: 1000/1h}}"
        config = write_site(Path(name) / "site", hosts=100, rule=RULE, limits=limits)
        tell = config.parent / "playbooks/tell.yml"
        tell.write_text("- hosts: all\n  gather_facts: false\n  tasks:\n" + TASK * TASKS)
        with serving(config, storage=Path(name) / "data") as (_, url), second_web(config, Path(name) / "data") as other:
            _print("ansible-playbook's pipe, by hand", _by_hand(config.parent))
            _print("one run", _followed(url, [0], [url]))
            _print("one run, through a second web process", _followed(url, [1], [other]))
            _print(f"one run, {FOLLOWERS} followers at each of two", _followed(url, [2], [url, other] * FOLLOWERS))
            _print(f"{AT_ONCE} runs at once", _followed(url, range(10, 10 + AT_ONCE), [url]))


@contextmanager
def second_web(config: Path, storage: Path) -> Iterator[str]:
    """A second web process on the same state; its URL."""
    address = f"127.0.0.1:{free_port()}"
    command = [sys.executable, "-m", "webhook.web", f"--config.file={config}", f"--storage.path={storage}"]
    web = subprocess.Popen([*command, f"--web.listen-address={address}"], stdout=subprocess.DEVNULL)
    try:
        wait_for(f"http://{address}/readyz")
        yield f"http://{address}"
    finally:
        web.terminate()
        web.wait(60)


def _followed(url: str, hosts: Sequence[int], followers: Sequence[str]) -> list[float]:
    """Milliseconds from each task's clock to each follower of each run."""
    for host in hosts:
        httpx.post(f"{url}/api/v1/alertmanager", content=body(host, 1)).raise_for_status()
    runs = [_run(url, host) for host in hosts]
    found = _listen([(follower, run) for run in runs for follower in followers])
    assert len(found) == TASKS * len(hosts) * len(followers), len(found)
    return found


def _run(url: str, host: int) -> str:
    while True:
        items = httpx.get(f"{url}/api/v1/runs", params={"target": f"h{host}"}).json()["items"]
        if items:
            return str(items[0]["id"])
        time.sleep(0.02)


def _listen(followers: Sequence[tuple[str, str]]) -> list[float]:
    """As little work as can be, or it would measure itself: one loop over bare sockets."""
    found: list[float] = []
    with selectors.DefaultSelector() as waiting:
        for url, run in followers:
            host, port = url.removeprefix("http://").split(":")
            connection = socket.create_connection((host, int(port)))
            connection.sendall(f"GET /api/v1/runs/{run}/events HTTP/1.0\r\nHost: {host}\r\n\r\n".encode())
            waiting.register(connection, selectors.EVENT_READ, data=bytearray())
        while waiting.get_map():
            for key, _ in waiting.select():
                connection = cast(socket.socket, key.fileobj)
                piece = connection.recv(1 << 20)
                whole, _, key.data[:] = (key.data + piece).rpartition(b"\n")
                found += [1000 * (time.time() - float(clock[1])) for clock in CLOCK.finditer(whole)]
                if not piece:
                    waiting.unregister(connection)
                    connection.close()
    return found


def _by_hand(site: Path) -> list[float]:
    program = Path(sys.executable).parent / "ansible-playbook"
    command = [str(program), "-i", str(site / "inventory.yml"), "--limit", "h0", str(site / "playbooks/tell.yml")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env={**os.environ, "PYTHONUNBUFFERED": "1"}) as process:
        assert process.stdout is not None
        clocks = [(time.time(), CLOCK.search(line)) for line in process.stdout]
    return [1000 * (at - float(clock[1])) for at, clock in clocks if clock]


def _print(what: str, found: list[float]) -> None:
    late = statistics.quantiles(found, n=100)[98]
    print(f"{what}: median {statistics.median(found):.0f} ms, p99 {late:.0f} ms, worst {max(found):.0f} ms")


if __name__ == "__main__":
    main()
