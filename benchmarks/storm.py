"""100,000 alerts in 2,000 notifications at once, to all roles of one `alertmend serve`: `python -m benchmarks.storm`.

All must be acknowledged, every alert decided on and recorded once, and no process may grow with the storm.
"""

from __future__ import annotations

import asyncio
import re
import sqlite3
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

import httpx

from benchmarks.memory import processes
from benchmarks.site import body, serving, write_site

NOTIFICATIONS, ALERTS, HOSTS, CONNECTIONS = 2_000, 50, 2_000, 64
LIMITS = "{concurrency: 2, rate_limit: 4/1h}"


def main() -> None:
    """Print what was acknowledged, recorded and used; exit status 1 when something is missing."""
    with tempfile.TemporaryDirectory() as folder:
        config = write_site(Path(folder) / "site", hosts=HOSTS, limits=LIMITS)
        with serving(config, storage=Path(folder) / "data") as (server, url):
            before = _peaks(server.pid)
            acknowledged, spent = asyncio.run(_send(f"{url}/api/v1/alertmanager"))
            print(f"acknowledged: {acknowledged} of {NOTIFICATIONS} notifications, in {spent:.1f} s")
            recorded = _recorded(Path(folder) / "data/alertmend.db", spent)
            after = _peaks(server.pid)
            for pid in before.keys() & after.keys():
                name, peak = after[pid]
                print(f"{peak:7.1f} MB at its peak, {before[pid][1]:.1f} before the storm  {name}")
            broken = not httpx.get(f"{url}/api/v1/audit/verify", timeout=300).json()["ok"]
    print(f"the chain {'is broken' if broken else 'holds'}")
    is_whole = acknowledged == NOTIFICATIONS and recorded == NOTIFICATIONS * ALERTS and not broken
    sys.exit(0 if is_whole else 1)


async def _send(url: str) -> tuple[int, float]:
    """How many were acknowledged, and in how many seconds."""
    waiting = iter(range(NOTIFICATIONS))
    began = time.perf_counter()
    # It waits as long as Alertmanager does with a group_interval of five minutes.
    async with httpx.AsyncClient(timeout=300, limits=httpx.Limits(max_connections=CONNECTIONS)) as client:

        async def sender() -> int:
            answers = [await client.post(url, content=_body(number)) for number in waiting]
            return sum(answer.status_code == 202 for answer in answers)

        counts = await asyncio.gather(*(sender() for _ in range(CONNECTIONS)))
    return sum(counts), time.perf_counter() - began


def _body(number: int) -> bytes:
    return body(number * ALERTS, ALERTS, hosts=HOSTS)


def _recorded(database: Path, spent: float) -> int:
    """How many alerts were decided on when they came in, once nothing more is added."""
    # An alert that is held is decided on again when its hold comes due: then nothing was received.
    query = """SELECT count(*) FROM audit
        WHERE event = 'decision' AND json_extract(body, '$.evidence.received_at') IS NOT NULL"""
    began, recorded, before = time.perf_counter() - spent, 0, -1
    while recorded != before and recorded < NOTIFICATIONS * ALERTS:
        time.sleep(5)
        before = recorded
        with closing(sqlite3.connect(database, timeout=60)) as connection:
            (recorded,) = connection.execute(query).fetchone()
    rate = recorded / (time.perf_counter() - began)
    print(f"recorded: {recorded} decisions of {NOTIFICATIONS * ALERTS}, {rate:.0f}/s from the first POST on")
    return recorded


def _peaks(parent: int) -> dict[int, tuple[str, float]]:
    """What each process is, and the most memory that it ever had, in MB."""
    found = {}
    for pid, name in processes(parent):
        status = Path(f"/proc/{pid}/status").read_text()
        found[pid] = name, int(re.findall(r"^VmHWM:\s+(\d+)", status, re.M)[0]) / 1024
    return found


if __name__ == "__main__":
    main()
