"""What people look at and work with, in the web process."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any

from webhook.change import Change
from webhook.core.run import Pair
from webhook.core.state import Keys, Snapshot
from webhook.explaining import Explaining
from webhook.people import People
from webhook.wiring.clock import new_id, now
from webhook.wiring.connection import connect, copies, message_maker, open_ledger, redis_url
from webhook.wiring.current import Current, Site


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """What people look at and work with."""

    current: Current
    store: Any
    ledger: Any
    people: People
    explaining: Explaining

    def rule_state(self, rule: str) -> Snapshot:
        """What is remembered of a rule."""
        found: Snapshot = self.store.read(Keys(pairs=frozenset([Pair(rule, "")])))
        return found


class LateDesk:
    """A desk that is built when someone first comes to it: a receiver that only receives does without."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._lock = threading.Lock()
        self._desk: Desk | None = None

    def __call__(self) -> Desk:
        """The desk.

        Raises:
            ConfigError: the configuration cannot be used.
        """
        with self._lock:
            if self._desk is None:
                self._desk = build_desk(self._site)
            self._desk.current.follow()
            return self._desk


def build_desk(site: Site) -> Desk:
    """What people look at and work with; nothing is connected to yet.

    Raises:
        ConfigError: with every problem.
    """
    from webhook.edge.store import RedisStore

    current = Current.at(site)
    url = redis_url(current.config, site.storage)
    # Whoever looks at a page is told that Redis hangs before they give up, and keeps no thread from others for long.
    client = connect(url, patience_seconds=3, retries=0)
    store = RedisStore(client=client, message=message_maker(url), copies=copies(url))
    ledger = open_ledger(current.config, site.storage)
    change = Change(store=store, ledger=ledger)
    people = People(change=change, rulebook=lambda: current.rulebook, now=now, new_id=new_id)
    explaining = Explaining(read=change.read, rulebook=lambda: current.rulebook, now=now)
    return Desk(current=current, store=store, ledger=ledger, people=people, explaining=explaining)
