"""Metrics in the text formats that Prometheus reads, written by its own client library."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector, CollectorRegistry

from webhook.core.metric import Counts, Kind, Metric


def expose(metrics: Iterable[Metric], counts: Counts, *, accept: str) -> tuple[bytes, str]:
    """Every metric with its series, those of this process too, and the content type of the format that `accept` wants.

    A counter without labels that was never counted is 0; a gauge without series is left out: it is not known.
    """
    registry = CollectorRegistry(auto_describe=False)
    ProcessCollector(registry=registry)
    registry.register(_Known(metrics, counts))
    encode, content_type = choose_encoder(accept)
    return encode(registry), content_type


class _Known(Collector):
    """What is exposed, as the client library asks for it."""

    def __init__(self, metrics: Iterable[Metric], counts: Counts) -> None:
        self._metrics, self._counts = metrics, counts

    def collect(self) -> Iterator[Any]:
        """Each metric once, with all of its series."""
        parts: dict[str, dict[tuple[str, ...], dict[str, float]]] = {}
        for series, value in self._counts.items():
            parts.setdefault(series.name, {}).setdefault(series.labels, {})[series.part] = value
        for metric in self._metrics:
            yield _family(metric, parts.get(metric.name, {}))


def _family(metric: Metric, found: Mapping[tuple[str, ...], Mapping[str, float]]) -> Any:
    if metric.kind is Kind.HISTOGRAM:
        histogram = HistogramMetricFamily(metric.name, metric.words, labels=metric.labels)
        for labels, parts in sorted(found.items()):
            histogram.add_metric(labels, buckets=_cumulated(metric, parts), sum_value=parts.get("sum", 0.0))
        return histogram
    is_counter = metric.kind is Kind.COUNTER
    family = (CounterMetricFamily if is_counter else GaugeMetricFamily)(metric.name, metric.words, labels=metric.labels)
    for labels, parts in sorted(found.items()):
        family.add_metric(labels, parts[""])
    if is_counter and not metric.labels and not found:
        family.add_metric((), 0.0)
    return family


def _cumulated(metric: Metric, parts: Mapping[str, float]) -> list[tuple[str, float]]:
    buckets, below = [], 0.0
    for bound in (*(f"{bound:g}" for bound in metric.bounds), "+Inf"):
        below += parts.get(bound, 0.0)
        buckets.append((bound, below))
    return buckets
