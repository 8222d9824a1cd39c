"""What happens in a rehearsal, apart from what alertmend does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from webhook.core.alert import Alert
from webhook.core.matcher import Matcher
from webhook.world import PlaybookEnd


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One notification of Alertmanager's."""

    at: datetime
    alerts: tuple[Alert, ...]
    source: str = "http://alertmanager"


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """What a probe answers from a time on."""

    at: datetime
    healthy: bool
    #: None: of every host.
    target: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Performance:
    """How a playbook goes."""

    end: PlaybookEnd = PlaybookEnd.OK
    takes: timedelta = timedelta(0)
    #: Whether the host is healthy after it, if it ends well.
    mends: bool = True
    #: Whether the host is sick before it.
    is_sick: bool = True


#: A playbook, on one host or (None) on all.
Piece = tuple[str, str | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """A person answers to every plan that waits for that."""

    at: datetime
    by: str
    approves: bool
    #: None: on every host.
    target: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Paused:
    """A person pauses what passes the matchers."""

    at: datetime
    lasts: timedelta
    matchers: tuple[Matcher, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """All of it."""

    start: datetime
    deliveries: Sequence[Delivery] = ()
    #: Empty: a host is sick until a playbook has ended well for its incident.
    probes: Sequence[Health] = ()
    #: What `require` asks; empty: it holds.
    requirements: Sequence[Health] = ()
    #: One for each run; the last of them goes for all further runs. A playbook that is not named ends well, at once.
    playbooks: Mapping[Piece, Sequence[Performance]] = field(default_factory=dict)
    answers: Sequence[Answered] = ()
    pauses: Sequence[Paused] = ()
