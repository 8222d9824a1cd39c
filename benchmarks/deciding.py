"""Alerts decided per second in one intake worker, the ledger included: `python -m benchmarks.deciding [DATABASE_URL]`.

The floor is the ledger alone: as many rows of that size, in transactions of the same size.
"""

from __future__ import annotations

import asyncio
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from benchmarks.site import body, write_site
from webhook.core.audit import AuditEvent, Event
from webhook.core.target import Inventory
from webhook.edge.valkey import EmbeddedValkey
from webhook.ports import Batch, Envelope
from webhook.telemetry import configure
from webhook.wiring import Services, build_inbox, build_worker, prepare
from webhook.wiring.clock import new_id, now
from webhook.wiring.current import Site

#: More than Ansible reads in a minute, so they are put straight into the rulebook.
INVENTORY = Inventory(hosts=frozenset(f"h{number}" for number in range(101_000)), groups={})


def main() -> None:
    """Print a table."""
    configure(format="logfmt", level="warning", role="benchmark")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        config = write_site(folder / "site", hosts=1)
        if len(sys.argv) > 1:
            config.write_text(config.read_text() + f"database: {{url: '{sys.argv[1]}'}}\n")
        storage = folder / "data"
        valkey = EmbeddedValkey(storage=storage)
        valkey.start()
        try:
            site = Site(config_file=config, storage=storage)
            prepare(site)
            with asyncio.Runner() as runner:
                _measure(Bench(build_worker(site), site, runner))
        finally:
            valkey.stop()


class Bench:
    """An intake worker that is called by hand, and the receiver's inbox."""

    def __init__(self, worker: Services, site: Site, runner: asyncio.Runner) -> None:
        self.worker, self.ledger, self._runner = worker, worker.ledger, runner
        self._inbox = build_inbox(worker.current.config, site.storage)
        worker.current.rulebook = replace(worker.current.rulebook, inventory=INVENTORY)

    def put(self, sent: bytes) -> str:
        """The inbox id of a body that was received just now."""
        id = new_id()
        self._runner.run(self._inbox.put(id, Envelope(received_at=now(), sender="benchmark", body=sent.decode())))
        return id

    def decide(self, bodies: Sequence[bytes], alerts: int) -> float:
        """Alerts decided per second."""
        ids = [self.put(sent) for sent in bodies]
        began = time.perf_counter()
        for id in ids:
            self.worker.intake.take(id)
        return alerts / (time.perf_counter() - began)


def _measure(bench: Bench) -> None:
    bench.decide([body(100_500, 50)], 50)
    groups = [body(first, 50) for first in range(0, 2000, 50)]
    floor = _floor(bench.ledger)
    print(f"floor: the ledger alone appends {floor:.0f} entries/s in groups of 50")
    new = bench.decide(groups, 2000)
    print(f"new incidents, groups of 50: {new:6.0f}/s, {new / floor:.2f} of the floor (to reach: 1,000/s)")
    repeats = bench.decide(groups, 2000)
    print(f"repeats, groups of 50:       {repeats:6.0f}/s, {repeats / floor:.2f} of the floor (to reach: 2,000/s)")
    print(f"one notification of 1,000 new alerts: {1000 / bench.decide([body(2000, 1000)], 1000):.2f} s (to reach: 2)")
    opened = 3050
    for wanted in (10_000, 100_000):
        _open(bench, opened, wanted - 2000)
        rate = bench.decide([body(first, 50) for first in range(wanted - 2000, wanted, 50)], 2000)
        again = bench.decide(groups, 2000)
        opened = wanted
        print(
            f"with {wanted:,} open incidents: new {rate:.0f}/s, {rate / new:.2f} of the rate with few (to reach: 1);"
            f" repeats {again:.0f}/s, {again / repeats:.2f}"
        )
    print(f"memory of this process at the end: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024} MB")
    assert bench.ledger.verify() is None


def _open(bench: Bench, first: int, last: int) -> None:
    for start in range(first, last, 1000):
        bench.decide([body(at, 50) for at in range(start, min(start + 1000, last), 50)], 1000)


def _floor(ledger: Any) -> float:
    event = AuditEvent(at=now(), event=Event.DECISION, rule="measure", target="h1", body={"filling": "x" * 3000})
    rounds: Callable[[int], Batch] = lambda number: Batch(  # noqa: E731
        id=f"floor:{number}",
        at=now(),
        events=tuple(replace(event, at=event.at + timedelta(microseconds=place)) for place in range(50)),
    )
    began = time.perf_counter()
    for number in range(40):
        ledger.append(rounds(number))
    return 2000 / (time.perf_counter() - began)


if __name__ == "__main__":
    main()
