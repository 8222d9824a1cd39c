"""Changes the state and puts it on the record: read, draft, commit, seal; again when someone else was faster."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, TypeVar

from pydantic import TypeAdapter

from webhook import tracing
from webhook.core.run import RunState
from webhook.core.state import Draft, Keys, Snapshot
from webhook.core.storm import Crowd
from webhook.core.transition import Moment
from webhook.errors import RECORD, StateConflict, Unavailable, Unsealed, WentBack
from webhook.ports import Batch, IncidentRecord, Ledger, Store

#: Someone else was faster this often in a row: give up, and let the doorbell be rung again.
PATIENCE = 200

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """The one way in which the state is changed."""

    store: Store
    ledger: Ledger

    def make(
        self,
        keys: Keys,
        write: Callable[[Draft], T | None],
        *,
        id: str,
        moment: Moment,
        taken: str | None = None,
        with_runs: bool = True,
    ) -> T | None:
        """What `write` returned for the draft that became the state; None, and no change, when it returned None.

        `write` is called again, on a fresh draft, whenever someone else was faster. The batch `id` is sealed before
        this returns, each entry with the revision of the rules of the moment.

        Raises:
            Unsealed: it holds, and the record is away; upkeep seals it later.
            Unavailable: a dependency is away.
            StateConflict: too many others write at once; nothing was changed.
            WentBack: the store has forgotten what it had acknowledged, and this was done before.
        """
        for _ in range(PATIENCE):
            draft = self.read(keys, with_runs=with_runs)
            result = write(draft)
            if result is None:
                return None
            batch = _batch(draft, id=id, moment=moment)
            if self.store.commit(draft, batch=batch, taken=taken):
                if batch is not None and not self._is_sealed(batch):
                    raise WentBack
                _note(draft)
                return result
        raise StateConflict

    def read(self, keys: Keys, *, with_runs: bool = True) -> Draft:
        """A draft that holds `keys` and all that they lead to, at one revision; the runs of incidents if wanted."""
        # Which incident an alert belongs to, and what that incident has, is known only once they are read.
        asked = keys.runs
        while True:
            snapshot = self.store.read(keys)
            wanted = keys | _led_to(snapshot, asked=asked, with_runs=with_runs)
            if wanted == keys:
                return Draft.of(snapshot)
            keys = wanted

    def _is_sealed(self, batch: Batch) -> bool:
        try:
            return self.seal(batch)
        except Unavailable as error:
            if error.dependency == RECORD:
                raise Unsealed(error.words) from error
            raise

    def seal(self, batch: Batch) -> bool:
        """Writes a batch to the ledger, then rings for its runs. Doing it twice leaves one trace.

        False when the ledger has another batch of its id: nobody is called for this one.
        """
        is_kept = self.ledger.append(batch)
        self.store.confirm(batch if is_kept else replace(batch, doorbells=(), plans=()))
        return is_kept


def _led_to(snapshot: Snapshot, *, asked: frozenset[str], with_runs: bool) -> Keys:
    runs = snapshot.runs.values()
    incidents = [state.incident for state in snapshot.pairs.values() if state.incident]
    waiting = (i.run for i in incidents if i.run and (with_runs or i.run_state is RunState.AWAITING_APPROVAL))
    return Keys(
        alerts=frozenset(fingerprint for run in runs if run.id in asked for fingerprint in run.alerts),
        pairs=frozenset(state.pair for state in snapshot.alerts.values()) | frozenset(run.pair for run in runs),
        runs=frozenset(waiting),
        locks=frozenset(key for run in runs for key in run.locks),
        crowds=frozenset(Crowd(incident.rule, incident.group) for incident in incidents if incident.group),
        escalations=frozenset(incident.id for incident in incidents if incident.handed_over),
    )


def plain(body: Mapping[str, object]) -> dict[str, object]:
    """A body as JSON knows it; each record in it is written by the adapter of its own type, which is quick."""
    return {name: _writer(value).dump_python(value, mode="json") for name, value in body.items()}


def _writer(value: object) -> TypeAdapter[Any]:
    kind: Any = type(value)
    return _adapter(kind)


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def _note(draft: Draft) -> None:
    for event in draft.events:
        said = {name: getattr(event, name) for name in ("incident", "run", "rule", "target", "decision", "outcome")}
        tracing.note(event.event.value, {f"alertmend.{name}": value for name, value in said.items()})


def _batch(draft: Draft, *, id: str, moment: Moment) -> Batch | None:
    """What goes on the record; None when nothing does."""
    if not (draft.events or draft.incidents or draft.doorbells or draft.plans):
        return None
    return Batch(
        id=id,
        at=moment.now,
        events=tuple(
            replace(event, body=plain({**event.body, "revision": moment.rulebook.revision})) for event in draft.events
        ),
        incidents=tuple(IncidentRecord(incident=i, decision=decision) for i, decision in draft.incidents.values()),
        runs=tuple(draft.runs[str(name)] for kind, name in draft.touched if kind == "run"),
        transcripts=dict(draft.transcripts),
        doorbells=tuple(draft.doorbells),
        plans=tuple(draft.plans),
    )
