"""Counts on the record, on SQLite and PostgreSQL, and how Prometheus reads them."""

from __future__ import annotations

import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import Engine, text

from tests.edge.test_ledger import batch, entry, incident, run
from webhook.core.audit import Event
from webhook.core.count import RECOVERY, RUNS
from webhook.core.incident import ResolvedBy
from webhook.core.metric import Series
from webhook.core.run import Outcome, RunState
from webhook.edge.exposition import expose
from webhook.edge.ledger import SqlLedger
from webhook.edge.migration import migrate
from webhook.ports import Batch, IncidentRecord
from webhook.wiring.gauges import METRICS


def ended(id: str, outcome: Outcome = Outcome.FIXED) -> Batch:
    finished = run(id, state=RunState.FINISHED, outcome=outcome)
    event = entry(event=Event.RUN_FINISHED, run=id, rule="restart-web", outcome=outcome.value, body={})
    return batch(f"run:{id}", event, runs=(finished,))


def test_the_same_batch_counts_once_however_often_it_is_written(ledger: SqlLedger) -> None:
    for _ in range(3):
        ledger.append(ended("r1"))
    ledger.append(ended("r2"))
    assert ledger.tally().counts[Series(RUNS.name, ("restart-web", "fixed"))] == 2


def test_writers_side_by_side_lose_nothing_and_count_nothing_twice(ledger: SqlLedger) -> None:
    batches = [ended(f"r{number}") for number in range(12)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(ledger.append, [*batches, *batches]))
    assert ledger.tally().counts[Series(RUNS.name, ("restart-web", "fixed"))] == 12


def test_what_goes_back_was_not_counted(ledger: SqlLedger) -> None:
    broken = replace(
        ended("r1"), runs=(run("r1"), run("r1", created=5)), incidents=(IncidentRecord(incident=None, decision=None),)
    )  # type: ignore[arg-type]
    with pytest.raises(AttributeError):
        ledger.append(broken)
    assert ledger.tally().counts == {}


def test_an_upgrade_counts_the_incidents_and_runs_that_are_there(engine: Engine) -> None:
    migrate(engine)
    ledger = SqlLedger(engine=engine)
    resolved = incident(resolved_at=incident().opened_at, resolved_by=ResolvedBy.ITSELF)
    ledger.append(batch("b", entry(), incidents=(IncidentRecord(incident=resolved, decision=None),)))
    ledger.append(ended("r1"))
    with engine.connect().execution_options(alertmend_writes=True) as connection, connection.begin():
        connection.execute(text("DROP TABLE counts"))
        connection.execute(text("UPDATE alembic_version SET version_num = '0005'"))
    migrate(engine)
    found = ledger.tally().counts
    assert found[Series(RUNS.name, ("restart-web", "fixed"))] == 1
    assert found[Series("alertmend_incidents_opened_total", ("restart-web",))] == 1
    assert found[Series("alertmend_incidents_resolved_total", ("restart-web", "itself"))] == 1


def test_promtool_finds_nothing_to_mend_in_what_is_exposed(ledger: SqlLedger) -> None:
    ledger.append(ended("r1"))
    body, content_type = expose(METRICS, ledger.tally().counts, accept="")
    checked = subprocess.run(["promtool", "check", "metrics"], input=body, capture_output=True, check=False)
    assert (checked.returncode, checked.stderr.decode()) == (0, "")
    assert content_type.startswith("text/plain")
    assert expose(METRICS, {}, accept="application/openmetrics-text;version=1.0.0")[1].startswith("application/openm")


@given(st.lists(st.sampled_from([f"{bound:g}" for bound in RECOVERY.bounds] + ["+Inf"]), max_size=30))
def test_buckets_add_up(observed: list[str]) -> None:
    counts = {Series(RECOVERY.name, ("r", "itself"), part): float(observed.count(part)) for part in observed}
    body, _ = expose([RECOVERY], counts, accept="")
    families = {family.name: family for family in text_string_to_metric_families(body.decode())}
    buckets = [s.value for s in families[RECOVERY.name].samples if s.name.endswith("_bucket")]
    assert buckets == sorted(buckets)
    assert not observed or buckets[-1] == len(observed)


@given(st.text())
def test_whatever_a_rule_is_called_comes_out_as_it_went_in(name: str) -> None:
    body, _ = expose([RUNS], {Series(RUNS.name, (name, "fixed")): 1.0}, accept="")
    (family,) = [f for f in text_string_to_metric_families(body.decode()) if f.name == "alertmend_runs"]
    assert family.samples[0].labels["rule"] == name
