"""What is worth looking at again at a time, by name: a pair, a run, a line of those that wait."""

from __future__ import annotations

from webhook.core.run import Pair
from webhook.core.storm import Crowd

#: Something that is worth looking at again at a time: a pair, a run, or a line of those that wait.
DueKey = str
#: The due-list's name for a comparison with Alertmanager that cannot wait for its turn.
RECONCILE_DUE: DueKey = "reconcile:now"


def pair_due(pair: Pair) -> DueKey:
    """The due-list's name for an incident that is to be decided again."""
    return f"pair:{pair.rule}|{pair.target}"


def run_due(run: str) -> DueKey:
    """The due-list's name for a run that is to be looked at."""
    return f"run:{run}"


def line_due(line: str) -> DueKey:
    """The due-list's name for a line of waiting pairs."""
    return f"line:{line}"


def escalation_due(escalation: str) -> DueKey:
    """The due-list's name for an escalation that has something to do."""
    return f"escalation:{escalation}"


def crowd_due(crowd: Crowd) -> DueKey:
    """The due-list's name for a storm that may be over."""
    return f"storm:{crowd.rule}|{crowd.group}"


def parse_crowd(text: str) -> Crowd:
    """The crowd of what follows `storm:`."""
    rule, _, group = text.partition("|")
    return Crowd(rule, group)


def parse_pair(text: str) -> Pair:
    """The pair of what follows `pair:`."""
    rule, _, target = text.partition("|")
    return Pair(rule, target)
