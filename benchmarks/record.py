"""The record with many entries: what appending, each filter, counting and verifying cost.

    python -m benchmarks.record FOLDER [--entries=1000000] [--database=URL]

FOLDER keeps the SQLite file; a database that has entries already is filled up to the number that is asked for.
"""

from __future__ import annotations

import argparse
import random
import statistics
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from webhook import telemetry
from webhook.core.audit import AuditEvent, Event
from webhook.core.chain import first_break
from webhook.core.incident import Incident
from webhook.core.run import Outcome, Run, RunState
from webhook.core.search import read_query
from webhook.core.transcript import Passage
from webhook.core.verdict import Check, Choice, Decision, Verdict
from webhook.edge.ledger import LISTINGS, SqlLedger, open_engine
from webhook.edge.migration import migrate
from webhook.ports import Batch, IncidentRecord

#: Ends now, so that `since` finds something.
STEP = timedelta(seconds=30)
GUARDS = ("cooldown", "open_incident", "limits.concurrency", "rate_limit", "mode", "lock", "mute_time_intervals")
VOCABULARY = [f"word{number}" for number in range(20_000)]
REASONS = {
    "cooldown": "last run ended 8m ago; free in 2m",
    "open_incident": "incident is open and its run is under way",
    "limits.concurrency": "4 of 4 runs are under way; it waits for one to end",
}
ROUNDS, PER_BATCH = 15, 20
TO_REACH_MS = 50


def main() -> None:
    """Print tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--entries", type=int, default=1_000_000)
    parser.add_argument("--database")
    asked = parser.parse_args()
    telemetry.configure(format="logfmt", level="warning", role="benchmark")
    asked.folder.mkdir(parents=True, exist_ok=True)
    engine = open_engine(asked.database or f"sqlite:///{asked.folder.absolute() / 'record.db'}")
    migrate(engine)
    ledger = SqlLedger(engine=engine)
    _fill(ledger, asked.entries)
    print(f"{engine.dialect.name}: {ledger.head()[0]:,} entries")
    _search(ledger)
    _verify(ledger)


def _fill(ledger: SqlLedger, wanted: int) -> None:
    begun = ledger.head()[0]
    began, told = time.perf_counter(), 0.0
    while (there := ledger.head()[0]) < wanted:
        at = datetime.now(UTC) - (wanted - there) * STEP
        ledger.append(_batch(random.Random(there), there, at))
        if time.perf_counter() - told > 30:
            told = time.perf_counter()
            print(f"  {there:,} entries", flush=True)
    if there > begun:
        print(
            f"appended {(there - begun) / (time.perf_counter() - began):.0f} entries/s, {5 * PER_BATCH} a transaction"
        )


def _batch(chance: random.Random, number: int, at: datetime) -> Batch:
    """Some incidents with their decisions, and for each a run with its end."""
    events: list[AuditEvent] = []
    incidents, runs, transcripts = [], [], {}
    for place in range(number, number + PER_BATCH):
        rule, target = f"rule-{int(chance.paretovariate(1)) % 30}", f"web{int(3000 * chance.random() ** 2)}"
        incident = Incident(id=f"i{place}", rule=rule, target=target, opened_at=at, firing=("f",), alerts=("f",))
        run = _run(chance, incident, at)
        labels = {"alertname": f"Alert{place % 40}", "job": f"job{place % 9}", "instance": f"{target}:9100"}
        shared: dict[str, Any] = {"at": at, "incident": incident.id, "rule": rule, "target": target}
        held = _decision(chance)
        body = {
            "decision": _plain(held),
            "alert": {"labels": {**labels, "cluster": f"c{place % 5}"}},
            "evidence": FACTS,
        }
        events += [
            AuditEvent(event=Event.INCIDENT_OPENED, alertname=labels["alertname"], **shared),
            *(
                AuditEvent(
                    event=Event.DECISION, alertname=labels["alertname"], decision=held.decision, body=body, **shared
                )
                for _ in range(2)
            ),
            AuditEvent(event=Event.RUN_STARTED, run=run.id, body={"run": {"reason": ""}}, **shared),
            AuditEvent(
                event=Event.RUN_FINISHED,
                run=run.id,
                outcome=run.outcome,
                body={"run": {"reason": run.reason, "filling": "x" * 1500}},
                **shared,
            ),
        ]
        incidents.append(IncidentRecord(incident=incident, decision=held))
        runs.append(run)
        transcripts[run.id] = (Passage(at=at, text=" ".join(_words(chance, 120)), number=1),)
    return Batch(
        id=f"fill:{number}",
        at=at,
        events=tuple(events),
        incidents=tuple(incidents),
        runs=tuple(runs),
        transcripts=transcripts,
    )


def _run(chance: random.Random, incident: Incident, at: datetime) -> Run:
    return Run(
        id=incident.id.replace("i", "r"),
        incident=incident.id,
        rule=incident.rule,
        target=incident.target,
        step=1,
        playbook="restart_service.yml",
        state=RunState.FINISHED,
        outcome=chance.choice(list(Outcome)),
        reason="the probe passed 2 times in a row: status 200",
        created_at=at,
        attempt=1,
        alerts=("f",),
    )


def _decision(chance: random.Random) -> Decision:
    guard = chance.choice(GUARDS)
    reason = REASONS.get(guard, f"{guard} says not now")
    checks = tuple(
        Check(
            guard=name,
            verdict=Verdict.HOLD if name == guard else Verdict.PASS,
            reason=reason if name == guard else "no",
        )
        for name in GUARDS
    )
    return Decision(decision=Choice.HOLD, guard=guard, reason=reason, retry_at=None, checks=checks)


def _plain(decision: Decision) -> dict[str, Any]:
    checks = [{"guard": c.guard, "verdict": c.verdict, "reason": c.reason} for c in decision.checks]
    return {"decision": decision.decision, "guard": decision.guard, "reason": decision.reason, "checks": checks}


#: As large as the evidence of a decision.
FACTS = {f"fact{number}": "2026-01-31T12:00:00.000000Z" for number in range(30)}


def _words(chance: random.Random, count: int) -> Iterator[str]:
    # Some words are in almost every text, most in few.
    return (VOCABULARY[int(len(VOCABULARY) * chance.random() ** 6)] for _ in range(count))


QUESTIONS: tuple[tuple[str, tuple[tuple[str, str], ...]], ...] = (
    ("audit", ()),
    ("audit", (("event", "decision"),)),
    ("audit", (("rule", "rule-1"),)),
    ("audit", (("rule", "rule-29"),)),
    ("audit", (("target", "web2999"),)),
    ("audit", (("alertname", "Alert7"),)),
    ("audit", (("label", "job=job3"),)),
    ("audit", (("label", "instance=web2500:9100"),)),
    ("audit", (("guard", "cooldown"),)),
    ("audit", (("outcome", "fixed"),)),
    ("audit", (("actor", "alertmend"),)),
    ("audit", (("actor", "nobody"),)),
    ("audit", (("incident", "i4000"),)),
    ("audit", (("since", "1h"),)),
    ("audit", (("since", "60d"), ("until", "30d"))),
    ("audit", (("since", "60d"), ("until", "30d"), ("rule", "rule-2"), ("outcome", "failed"))),
    ("audit", (("rule", "rule-1"), ("outcome", "fixed"), ("event", "run_finished"))),
    ("audit", (("event", "decision"), ("outcome", "fixed"))),
    ("audit", (("q", "word0"),)),
    ("audit", (("q", "word0 word1"),)),
    ("audit", (("q", "word19999"),)),
    ("audit", (("q", '"word0 word1 word2"'),)),
    ("audit", (("q", '"runs are under way"'),)),
    ("audit", (("q", "free"), ("label", "job=job3"), ("guard", "cooldown"), ("rule", "rule-3"))),
    ("audit", (("q", "word0"), ("since", "90d"), ("until", "60d"))),
    ("audit", (("q", "nothingsaysthis"),)),
    ("incidents", ()),
    ("incidents", (("label", "job=job3"), ("rule", "rule-2"))),
    ("incidents", (("state", "resolved"),)),
    ("incidents", (("q", "cooldown"), ("guard", "lock"))),
    ("runs", (("outcome", "lost"), ("rule", "rule-1"))),
    ("runs", (("q", '"word5 word6"'),)),
    ("runs", (("target", "web10"), ("since", "100d"))),
)


def _search(ledger: SqlLedger) -> None:
    print(f"{'':70} page p50    p95   deep p95   counts")
    for kind, pairs in QUESTIONS:
        query, listing = read_query(pairs, kind=kind, now=datetime.now(UTC)), LISTINGS[kind]
        newest = ledger.page(listing, query, limit=1).rows
        deep = newest[0][listing.number] // 2 if newest else 1
        page = partial(ledger.page, listing, query, limit=50)
        first, below = _times(page), _times(partial(page, before=deep))
        counts = _times(partial(ledger.facets, listing, query), rounds=2)
        name = f"{kind} {' '.join(f'{name}={value}' for name, value in pairs)}"
        late = "" if max(first[1], below[1]) <= TO_REACH_MS else "  MISSED"
        print(f"{name:70} {first[0]:8.1f} {first[1]:6.1f} {below[1]:10.1f} {counts[1]:8.0f} ms{late}", flush=True)


def _times(ask: Callable[[], object], *, rounds: int = ROUNDS) -> tuple[float, float]:
    """The median and the 95th percentile in milliseconds, once it is warm."""
    spent = []
    for _ in range(rounds + 1):
        began = time.perf_counter()
        ask()
        spent.append(1000 * (time.perf_counter() - began))
    spent = sorted(spent[1:])
    return statistics.median(spent), spent[min(len(spent) - 1, int(0.95 * len(spent)))]


def _verify(ledger: SqlLedger) -> None:
    began = time.perf_counter()
    assert first_break(ledger.entries()) is None
    rate = ledger.head()[0] / (time.perf_counter() - began)
    print(f"verified {rate:,.0f} entries/s (to reach: 50,000)")


if __name__ == "__main__":
    main()
