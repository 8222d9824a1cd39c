"""What stands on top of every page: what is paused, what waits for people, which breakers are open."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from starlette.concurrency import run_in_threadpool

from webhook.core.breaker import BreakerState, Position
from webhook.core.pause import Pause
from webhook.core.rule import Rule
from webhook.core.run import Pair, Run, RunState
from webhook.core.state import Keys
from webhook.errors import WebhookError
from webhook.wiring.clock import now
from webhook.wiring.desk import Desk


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenBreaker:
    """A rule that is left alone."""

    rule: str
    position: Position
    #: When one run is let through as a trial.
    until: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """What keeps alertmend from acting."""

    pauses: Sequence[Pause] = ()
    waiting: Sequence[Run] = ()
    breakers: Sequence[OpenBreaker] = ()
    #: Why it cannot be told; empty when it can.
    fault: str = ""


async def read_bar(read: Callable[[], Bar]) -> Bar:
    """The bar as it is now; a dependency that is away is said on it, and takes no page away."""
    try:
        return await run_in_threadpool(read)
    except WebhookError as error:
        return Bar(fault=str(error))


def bar_of(desk: Desk) -> Bar:
    """The bar, from the state.

    Raises:
        Unavailable: Redis or the database does not answer.
    """
    rules = [rule for rule in desk.current.rulebook.rules if rule.guards.breaker]
    snapshot = desk.store.read(Keys(pairs=frozenset(Pair(rule.name, "") for rule in rules)))
    return Bar(
        pauses=desk.people.pauses(),
        waiting=desk.ledger.runs_in(RunState.AWAITING_APPROVAL),
        breakers=[found for rule in rules if (found := _open(rule, snapshot.breakers.get(rule.name))) is not None],
    )


def _open(rule: Rule, state: BreakerState | None) -> OpenBreaker | None:
    breaker = rule.guards.breaker
    if breaker is None or state is None or state.opened_at is None:
        return None
    position = state.position(breaker, now())
    return OpenBreaker(rule=rule.name, position=position, until=state.opened_at + breaker.open_for)
