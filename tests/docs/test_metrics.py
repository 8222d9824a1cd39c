"""docs/metrics.md has a row for every metric, with its kind, its labels and its words, and for no other."""

from __future__ import annotations

import pytest

from tests.docs.pages import page, rows, sections
from webhook.core.metric import Metric
from webhook.wiring.gauges import METRICS

ROWS = rows(sections(page("metrics.md"))["Metrics"])
TABLE = {cells[0].strip("`"): cells[1:] for cells in ROWS if cells[0] != "metric"}


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_every_metric_has_a_row(metric: Metric) -> None:
    labels = ", ".join(f"`{label}`" for label in metric.labels) or "none"
    wanted = (f"`{metric.kind.value}`", labels, metric.words)
    assert TABLE.get(metric.name) == wanted, f"docs/metrics.md misses\n| `{metric.name}` | {' | '.join(wanted)} |"


def test_no_row_is_about_a_metric_that_is_not_there() -> None:
    assert TABLE.keys() <= {metric.name for metric in METRICS}
