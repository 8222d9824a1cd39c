"""deploy/monitoring: alerts that fire when they should, and a dashboard whose every query finds something."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.docs.pages import REPOSITORY
from webhook.core.incident import ResolvedBy
from webhook.core.metric import Counts, Kind, Series
from webhook.core.run import Outcome, Phase, RunState
from webhook.edge.exposition import expose
from webhook.wiring.gauges import METRICS

FOLDER = REPOSITORY / "deploy/monitoring"
RULES = [
    rule for group in yaml.safe_load((FOLDER / "alertmend.rules.yml").read_text())["groups"] for rule in group["rules"]
]
DASHBOARD: dict[str, Any] = json.loads((FOLDER / "grafana.json").read_text())
QUERIES = {
    f"{panel['title']}: {target['legendFormat']}": target["expr"]
    for panel in DASHBOARD["panels"]
    for target in panel["targets"]
}
#: A value of each label, as it is met in a site.
VALUES = {
    "rule": "restart-web",
    "code": "202",
    "status": "firing",
    "decision": "hold",
    "guard": "cooldown",
    "outcome": Outcome.FAILED.value,
    "resolved_by": ResolvedBy.REMEDIATION.value,
    "kind": "http",
    "phase": Phase.BEFORE.value,
    "answer": "sick",
    "delivered": "no",
    "event": "decision",
    "version": "0.1.0",
    "python": "3.11",
    "revision": "0757cd8dba5f",
    "mode": "auto",
    "dependency": "redis",
    "check": "storage",
    "state": RunState.RUNNING.value,
    "covers": "everything",
    "role": "intake",
}


def exposed() -> Iterator[str]:
    """Every series that /metrics may show, one of each kind, as Prometheus writes it."""
    counts: Counts = {}
    for metric in METRICS:
        labels = tuple(VALUES[label] for label in metric.labels)
        parts = ("sum", "5", "60") if metric.kind is Kind.HISTOGRAM else ("",)
        counts |= {Series(metric.name, labels, part): 7.0 for part in parts}
        if metric.name == "alertmend_breaker_state":
            counts[Series(metric.name, ("restart-web", "open"))] = 1.0
    body, _ = expose(METRICS, counts, accept="")
    for family in text_string_to_metric_families(body.decode()):
        for sample in family.samples:
            labels = {**sample.labels, "job": "alertmend", "instance": "a:9480"}
            yield f"{sample.name}{{{', '.join(f'{name}={json.dumps(value)}' for name, value in labels.items())}}}"


SERIES = sorted(set(exposed()))


def filled(query: str) -> str:
    """A query as Grafana asks it."""
    return query.replace("$__rate_interval", "5m").replace("$rule", ".*")


def answered(queries: list[str], folder: Path) -> set[str]:
    """Those of the queries that find something in what is exposed."""
    cases = [{"expr": query, "eval_time": "10m", "exp_samples": []} for query in queries]
    inputs = [{"series": series, "values": "0+1x20"} for series in SERIES]
    test = {"tests": [{"interval": "1m", "input_series": inputs, "promql_expr_test": cases}]}
    (folder / "queries.yml").write_text(yaml.safe_dump(test))
    told = subprocess.run(
        ["promtool", "test", "rules", "queries.yml"], cwd=folder, capture_output=True, text=True, check=False
    )
    # That nothing is found is what is expected, so each that finds something fails, and is named.
    failed = re.findall(
        r'expr: "((?:[^"\\]|\\.)*)", time: 10m[^\n]*\n\s*exp:\s?\S*\n\s*got:(.*)', told.stdout + told.stderr
    )
    return {json.loads(f'"{query}"') for query, got in failed if got.strip() not in ("", "nil")}


def test_prometheus_reads_the_alerts_and_they_fire_when_they_should() -> None:
    for words in (
        ["check", "rules", "--lint=all", "--lint-fatal", "alertmend.rules.yml"],
        ["test", "rules", "alertmend.tests.yml"],
    ):
        told = subprocess.run(["promtool", *words], cwd=FOLDER, capture_output=True, text=True, check=False)
        assert told.returncode == 0, told.stdout + told.stderr


def test_every_alert_is_tested_firing_and_at_rest_and_never_taken_by_a_rule_of_ours() -> None:
    tests = yaml.safe_load((FOLDER / "alertmend.tests.yml").read_text())["tests"]
    cases = [case for test in tests for case in test["alert_rule_test"]]
    names = {rule["alert"] for rule in RULES}
    assert {case["alertname"] for case in cases if case["exp_alerts"]} == names
    assert {case["alertname"] for case in cases if not case["exp_alerts"]} == names
    assert all("alertmend" in rule["labels"] for rule in RULES)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_an_alert_asks_for_nothing_that_is_not_exposed(rule: dict[str, Any]) -> None:
    asked = set(re.findall(r"\balertmend_\w+", rule["expr"]))
    assert asked <= {metric.name for metric in METRICS}
    assert asked or "up{" in rule["expr"]


def test_every_query_of_the_dashboard_finds_something_in_what_is_exposed(tmp_path: Path) -> None:
    wanted = {filled(query) for query in QUERIES.values()}
    missing = wanted - answered(sorted(wanted), tmp_path)
    assert not missing, "these queries of deploy/monitoring/grafana.json find nothing:\n" + "\n".join(sorted(missing))


def test_a_query_for_what_is_not_exposed_is_found_out(tmp_path: Path) -> None:
    assert answered(["alertmend_runs", "sum(alertmend_runs_total)"], tmp_path) == {"sum(alertmend_runs_total)"}


def test_panels_do_not_lie_on_one_another() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert not cells & taken, panel["title"]
        taken |= cells
