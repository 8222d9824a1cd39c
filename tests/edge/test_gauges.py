"""What /metrics shows while something is broken, and which of our alerts promtool says fire on that."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.edge.test_checks import config, parts, pulse
from webhook.core.metric import Series
from webhook.edge.exposition import expose
from webhook.edge.store import RedisStore
from webhook.edge.store.keys import WORKERS, pulse_key
from webhook.signs import ROLES
from webhook.wiring.checks import Parts, make_checks
from webhook.wiring.clock import now
from webhook.wiring.gauges import METRICS, Gauges

__all__ = ["config", "parts"]

RULES = Path(__file__).parents[2] / "deploy/monitoring/alertmend.rules.yml"
FULL = (("CONFIG", "SET", "maxmemory", "1"), ("CONFIG", "SET", "maxmemory", "0"))
REPLICA = (("REPLICAOF", "127.0.0.1", "1"), ("REPLICAOF", "NO", "ONE"))


def gauges(parts: Parts) -> Gauges:
    store = RedisStore(client=parts.watch.client, message=lambda *_: b"")
    return Gauges(
        config=parts.config,
        revision=parts.revision,
        reload=parts.reload,
        store=store,
        watch=parts.watch,
        tally=parts.ledger.tally,
        checks=make_checks(parts),
    )


def value(parts: Parts, name: str, *labels: str) -> float | None:
    return gauges(parts).read(now()).get(Series(f"alertmend_{name}", labels))


def exposed(parts: Parts) -> Iterator[dict[str, str]]:
    """What is shown now, and stays so for an hour."""
    body, _ = expose(METRICS, gauges(parts).read(now()), accept="")
    for family in text_string_to_metric_families(body.decode()):
        for sample in family.samples:
            labels = {**sample.labels, "job": "alertmend", "instance": "a:9480"}
            told = ", ".join(f"{name}={json.dumps(label)}" for name, label in labels.items())
            yield {"series": f"{sample.name}{{{told}}}", "values": f"{sample.value}x60"}


def assert_fires(parts: Parts, folder: Path, *alerts: str) -> None:
    """That these alerts fire once all has been as it is for half an hour, and no other."""
    expected = [{"labels": f'{{alertname="{alert}"}}', "value": 1} for alert in alerts]
    query = 'group by (alertname) (ALERTS{alertstate="firing"})'
    test = {
        "interval": "1m",
        "input_series": list(exposed(parts)),
        "promql_expr_test": [{"expr": query, "eval_time": "30m", "exp_samples": expected}],
    }
    shutil.copy(RULES, folder / "rules.yml")
    (folder / "tests.yml").write_text(yaml.safe_dump({"rule_files": ["rules.yml"], "tests": [test]}))
    told = subprocess.run(
        ["promtool", "test", "rules", "tests.yml"], cwd=folder, capture_output=True, text=True, check=False
    )
    assert told.returncode == 0, told.stdout + told.stderr


@contextmanager
def broken(client: Any, breaking: tuple[str, ...], mending: tuple[str, ...]) -> Iterator[None]:
    """A Redis that takes nothing, so that no worker could say that it lives."""
    for role in ROLES:
        client.delete(pulse_key(f"{role}|host:{role}"))
    client.delete(WORKERS)
    client.execute_command(*breaking)
    try:
        yield
    finally:
        client.execute_command(*mending)


def test_nothing_fires_while_all_is_well(parts: Parts, tmp_path: Path) -> None:
    assert value(parts, "dependency_up", "redis") == value(parts, "dependency_up", "database") == 1
    assert value(parts, "workers", "runs") == 1
    assert {value(parts, "check_ok", name) for name in make_checks(parts).checkers} == {1}
    assert_fires(parts, tmp_path)


@pytest.mark.parametrize(("breaking", "mending"), [FULL, REPLICA], ids=["full", "replica"])
def test_a_redis_that_takes_nothing_is_away_and_no_worker_is_said_to_be_missing(
    parts: Parts, client: Any, tmp_path: Path, breaking: tuple[str, ...], mending: tuple[str, ...]
) -> None:
    with broken(client, breaking, mending):
        assert value(parts, "dependency_up", "redis") == 0
        assert value(parts, "workers", "runs") is None
        assert value(parts, "dependency_up", "database") == 1
        assert_fires(parts, tmp_path, "AlertmendDependencyAway")
    assert value(parts, "dependency_up", "redis") == 1


def test_a_worker_that_is_missing_while_redis_takes_all_is_said_to_be(
    parts: Parts, client: Any, tmp_path: Path
) -> None:
    client.delete(pulse_key("runs|host:runs"))
    assert value(parts, "workers", "runs") == 0
    assert_fires(parts, tmp_path, "AlertmendNoWorker")


def test_a_database_that_can_be_read_and_takes_no_entry_is_away(parts: Parts, client: Any, tmp_path: Path) -> None:
    parts.watch.pulse(pulse("intake", record="database is locked"), lease=timedelta(minutes=1))
    assert value(parts, "dependency_up", "database") == 0
    assert value(parts, "ledger_head_seq") == 0
    assert_fires(parts, tmp_path, "AlertmendDependencyAway")


def test_a_database_that_is_locked_for_long_keeps_no_scrape_waiting(parts: Parts, client: Any, tmp_path: Path) -> None:
    # Nobody says how the record is, so that this process has to try
    client.flushall()
    found = gauges(parts)
    assert found.read(now())[Series("alertmend_dependency_up", ("database",))] == 1
    with closing(sqlite3.connect(tmp_path / "alertmend.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert found.read(now())[Series("alertmend_check_ok", ("database",))] == 1, "it is waited for"
        assert not found.checks.ask(["database"])[0].ok
        assert found.read(now())[Series("alertmend_dependency_up", ("database",))] == 0


def test_a_disk_that_is_nearly_full_pages(parts: Parts, tmp_path: Path) -> None:
    # A file system that has no room at all
    assert_fires(replace(parts, storage=Path("/proc")), tmp_path, "AlertmendNoRoom")


def test_a_clock_that_is_wrong_is_told_by_name(parts: Parts, tmp_path: Path) -> None:
    assert_fires(replace(parts, now=lambda: now() + timedelta(minutes=1)), tmp_path, "AlertmendCheckFails")
