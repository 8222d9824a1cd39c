"""The rules with what became of them, and the alerts that are known to fire."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic_core import to_jsonable_python
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from webhook.core.duration import format_duration
from webhook.core.rule import Rule
from webhook.core.state import Keys
from webhook.edge.webconfig import Role
from webhook.errors import NotFound
from webhook.web.auth import Authenticator
from webhook.web.patience import within
from webhook.wiring.clock import now

if TYPE_CHECKING:
    from webhook.wiring.desk import Desk

#: At most so many alerts are shown.
MOST_ALERTS = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """`GET /api/v1/rules`, in file order, and `/{name}`: its state, and its outcomes by target."""

    desk: Callable[[], Desk]
    authenticator: Authenticator

    async def __call__(self, request: Request) -> Response:
        await self.authenticator.allow(request, Role.VIEWER)
        name = request.path_params.get("name")
        found = await within(run_in_threadpool(self._one, name) if name else run_in_threadpool(self._all))
        return JSONResponse(found)

    def _all(self) -> Mapping[str, Any]:
        desk = self.desk()
        stats = desk.ledger.outcomes()
        rules = desk.current.rulebook.rules
        return {"items": [shown(desk, rule, stats.get(rule.name, [])) for rule in rules], "next": None}

    def _one(self, name: str) -> Mapping[str, Any]:
        desk = self.desk()
        rule = desk.current.rulebook.rule(name)
        if rule is None:
            raise NotFound(f"there is no rule {name[:80]!r}")
        return shown(desk, rule, desk.ledger.outcomes(rule=name).get(name, []))


@dataclass(frozen=True, slots=True, kw_only=True)
class Alerts:
    """`GET /api/v1/alerts`: the alerts behind open incidents, newest first."""

    desk: Callable[[], Desk]
    authenticator: Authenticator

    async def __call__(self, request: Request) -> Response:
        await self.authenticator.allow(request, Role.VIEWER)
        return JSONResponse({"items": await within(run_in_threadpool(self._firing)), "next": None})

    def _firing(self) -> list[Mapping[str, Any]]:
        store = self.desk().store
        pairs = store.read(Keys(pairs=frozenset(store.open_pairs()[:MOST_ALERTS]))).pairs.values()
        firing = [fingerprint for state in pairs if state.incident for fingerprint in state.incident.firing]
        states = store.read(Keys(alerts=frozenset(firing[:MOST_ALERTS]))).alerts.values()
        return [
            {
                "fingerprint": state.alert.origin or state.alert.fingerprint,
                "labels": dict(state.alert.labels),
                "annotations": dict(state.alert.annotations),
                "starts_at": to_jsonable_python(state.alert.starts_at),
                "received_at": to_jsonable_python(state.received_at),
                "rule": state.rule,
                "target": state.target,
                "incident": state.incident,
                "suppressed_by": state.suppressed_by or None,
            }
            for state in sorted(states, key=lambda state: state.received_at, reverse=True)
        ]


def shown(desk: Desk, rule: Rule, outcomes: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """A rule as the API shows it."""
    breaker, policy = rule.guards.breaker, desk.current.rulebook.policy
    snapshot = desk.rule_state(rule.name)
    state = snapshot.breakers.get(rule.name)
    return {
        "name": rule.name,
        "mode": rule.mode.lower_of(policy.ceiling),
        "match": [str(matcher) for matcher in rule.match],
        "target": rule.target,
        "steps": [step.playbook for step in rule.steps],
        "cooldown": format_duration(rule.guards.cooldown),
        "breaker": state.position(breaker, now()) if breaker and state else "closed" if breaker else None,
        "running": len(snapshot.rules[rule.name].active) if rule.name in snapshot.rules else 0,
        "revision": desk.current.rulebook.revision,
        "outcomes": list(outcomes),
    }
