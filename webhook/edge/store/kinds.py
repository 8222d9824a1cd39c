"""The kinds of records that the state is made of: where a draft has each, under which key it lies, and as what."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from pydantic import TypeAdapter

from webhook.core.breaker import BreakerState
from webhook.core.escalation import Escalation
from webhook.core.pause import Pause
from webhook.core.run import Run
from webhook.core.state import Activity, AlertState, PairState, TargetState
from webhook.core.storm import StormState
from webhook.edge.store.keys import (
    alert_key,
    breaker_key,
    crowd_key,
    escalation_key,
    lock_key,
    pair_key,
    rule_key,
    run_key,
    target_key,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One kind of record: where a draft and a snapshot have it, under which key it lies, and as what."""

    place: str
    key: Callable[[Any], str]
    adapter: TypeAdapter[Any]
    #: Whether a record of it is forgotten after a while.
    is_over: Callable[[Any], bool] = lambda _: False


KINDS: Mapping[str, Kind] = {
    "alert": Kind(
        place="alerts", key=alert_key, adapter=TypeAdapter(AlertState), is_over=lambda state: not state.is_firing
    ),
    "pair": Kind(place="pairs", key=pair_key, adapter=TypeAdapter(PairState)),
    "target": Kind(place="targets", key=target_key, adapter=TypeAdapter(TargetState)),
    "rule": Kind(place="rules", key=rule_key, adapter=TypeAdapter(Activity)),
    "breaker": Kind(place="breakers", key=breaker_key, adapter=TypeAdapter(BreakerState)),
    "run": Kind(place="runs", key=run_key, adapter=TypeAdapter(Run), is_over=lambda run: run.outcome is not None),
    "lock": Kind(place="locks", key=lock_key, adapter=TypeAdapter(str)),
    "crowd": Kind(place="crowds", key=crowd_key, adapter=TypeAdapter(StormState)),
    "escalation": Kind(
        place="escalations",
        key=escalation_key,
        adapter=TypeAdapter(Escalation),
        is_over=lambda escalation: escalation.ended is not None,
    ),
}

#: What there is one of.
WHOLE: Final = TypeAdapter(Activity)
PAUSED: Final = TypeAdapter(tuple[Pause, ...])
