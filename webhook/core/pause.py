"""Pauses: the kill switch, for some alerts or for all, never without an end and a reason."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from webhook.core.incident import Word
from webhook.core.matcher import Matcher, all_match


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """Nothing new runs for what it matches, until it ends."""

    id: str
    #: All must match; none at all is everything.
    matchers: tuple[Matcher, ...]
    until: datetime
    said: Word

    def covers(self, labels: Mapping[str, str], *, rule: str, target: str, now: datetime) -> bool:
        """Whether it holds for an alert at `now`.

        A matcher may also name `rule` and `target`, unless the alert has a label that is called so.
        """
        return now < self.until and all_match(self.matchers, {"rule": rule, "target": target, **labels})

    def __str__(self) -> str:
        return ", ".join(str(matcher) for matcher in self.matchers) or "everything"


def covering(
    pauses: Iterable[Pause], labels: Mapping[str, str], *, rule: str, target: str, now: datetime
) -> Pause | None:
    """The pause that holds longest for an alert; None when none does."""
    found = [pause for pause in pauses if pause.covers(labels, rule=rule, target=target, now=now)]
    return max(found, key=lambda pause: pause.until, default=None)
