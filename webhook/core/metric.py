"""Metrics: what they are called, which labels they have, and the series that they are made of.

No label ever takes its values from what a stranger sends.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple


class Kind(StrEnum):
    """What is kept of a metric."""

    COUNTER = "counter"
    HISTOGRAM = "histogram"
    GAUGE = "gauge"


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One metric, as it is documented and shown."""

    name: str
    words: str
    labels: tuple[str, ...] = ()
    kind: Kind = Kind.COUNTER
    #: Upper bounds, of a histogram only.
    bounds: tuple[float, ...] = ()


class Series(NamedTuple):
    """One number of a metric; the values of its labels stand in the metric's order."""

    name: str
    labels: tuple[str, ...] = ()
    #: Of a histogram: `sum`, or the bound below which, and above the next lower one, so much fell.
    part: str = ""


Counts = dict[Series, float]
