"""What is read before alerts are decided on: all that the decisions rest on, and all that their runs would claim."""

from __future__ import annotations

from collections.abc import Sequence

from webhook.core.alert import Alert
from webhook.core.gathering import crowd_of, lock_keys, missing_locks
from webhook.core.rulebook import Match
from webhook.core.run import Pair
from webhook.core.state import Draft, Keys

#: Alerts, each with the rule that takes it.
Matched = Sequence[tuple[Alert, Match | None]]


def reach(matched: Matched) -> Keys:
    """All of it."""
    keys = Keys(alerts=frozenset(alert.fingerprint for alert, match in matched if match or alert.is_resolved))
    found = [claimed(alert, match) for alert, match in matched if match is not None]
    return Keys(
        alerts=keys.alerts,
        pairs=frozenset().union(*(one.pairs for one in found)),
        locks=frozenset().union(*(one.locks for one in found)),
        crowds=frozenset().union(*(one.crowds for one in found)),
    )


def claimed(alert: Alert, match: Match) -> Keys:
    """What a run of the rule for the alert would be counted under."""
    rule, host = match.rule, match.target.host
    if host is None:
        return Keys()
    crowd = crowd_of(rule, match.target)
    return Keys(
        pairs=frozenset([Pair(rule.name, host)]),
        locks=frozenset() if missing_locks(rule, alert) else frozenset(lock_keys(rule, alert, target=host)),
        crowds=frozenset([crowd] if crowd else []),
    )


def announce(draft: Draft, matched: Matched) -> None:
    """All hosts of one notification are sick at once: the first is not decided on as if it were alone."""
    for alert, match in matched:
        crowd = None if match is None or alert.is_resolved else crowd_of(match.rule, match.target)
        if match is None or crowd is None:
            continue
        host = match.target.host or ""
        if draft.pair(Pair(match.rule.name, host)).incident is None:
            draft.coming.setdefault(crowd, set()).add(host)
