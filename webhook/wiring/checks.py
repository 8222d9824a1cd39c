"""The built-in checks of health, over the real things."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from webhook.checking import Checker, Checks, Unwell, packaged
from webhook.core.duration import format_duration
from webhook.edge.configfile import Config
from webhook.errors import Unavailable
from webhook.signs import Pulse
from webhook.wiring.kept import Reload

#: The built-in checks.
NAMES: Final = frozenset(
    ("redis", "database", "configuration", "files", "intake", "runs", "inbox", "alertmanagers", "storage", "clock")
)
#: Those without which no notification should come.
NEEDED: Final = ("redis", "database", "configuration", "intake", "runs")
#: Those that have to have answered once for the process to have started.
STARTING: Final = ("redis", "configuration")

#: Deciding on the largest notification takes seconds; one that takes this long hangs.
_STUCK: Final = timedelta(minutes=2)
#: By then every worker has taken over what was put in its place, and said so.
_FOLLOWS: Final = timedelta(seconds=10)
_OLDEST: Final = timedelta(minutes=1)
_SKEW: Final = timedelta(seconds=5)
#: With less, there is no room where state is kept.
FREE_BYTES: Final = 200 * 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What is checked."""

    config: Callable[[], Config]
    revision: Callable[[], str]
    #: What came of the last look at the files.
    reload: Callable[[], Reload | None]
    watch: Any
    ledger: Any
    storage: Path
    now: Callable[[], datetime]

    def redis(self) -> str:
        """Something can be written to it."""
        self.watch.write()
        return "it can be written to"

    def database(self) -> str:
        """The workers could append to the record; where none says, whether this process could."""
        pulses = self._pulses_if_any()
        if not pulses:
            self.ledger.ready()
            return "an entry would be taken"
        wrong = sorted({f"{pulse.role}: {pulse.record}" for pulse in pulses if pulse.record})
        if wrong:
            raise Unwell("; ".join(wrong))
        return f"an entry would be taken, as {len(pulses)} workers say"

    def configuration(self) -> str:
        """There is one."""
        return f"{len(self.config().rules)} rules, revision {self.revision()}"

    def files(self) -> str:
        """What stands in the files is what is decided by."""
        reload = self.reload()
        if reload is None:
            return "they were not looked at yet"
        at = datetime.fromtimestamp(reload.at, UTC).isoformat(timespec="seconds")
        if not reload.ok:
            raise Unwell(f"they cannot be used, and the old configuration stays: {'; '.join(reload.problems)}")
        revision = self.revision()
        for pulse in self._pulses_if_any():
            # On another machine the files are others: who changes them here has to change them there.
            if pulse.files:
                raise Unwell(f"{pulse.role} worker {pulse.owner} cannot use the files of its machine: {pulse.files}")
            if pulse.revision != revision and pulse.at.timestamp() - reload.at > _FOLLOWS.total_seconds():
                words = f"{pulse.role} worker {pulse.owner} goes by revision {pulse.revision}"
                raise Unwell(f"{words}, and what was taken over here at {at} is revision {revision}")
        return f"taken over at {at}, and all workers go by them"

    def worker(self, role: str) -> str:
        """One that takes work was seen lately."""
        found = [pulse for pulse in self.watch.pulses() if pulse.role == role]
        if not found:
            raise Unwell(f"no {role} worker was seen lately")
        # A run may well take long; a decision does not.
        stuck = [pulse for pulse in found if role == "intake" and self._is_stuck(pulse)]
        if len(stuck) == len(found):
            raise Unwell(f"{stuck[0].owner} has been at the same work since {stuck[0].busy_since}")
        return ", ".join(pulse.owner for pulse in found)

    def inbox(self) -> str:
        """What is stored is dealt with."""
        standing, now = self.watch.standing(), self.now()
        age = now - standing.oldest_at if standing.oldest_at else timedelta(0)
        words = f"{standing.waiting} notifications wait, {standing.unsealed} changes are not on record yet"
        if age > _OLDEST:
            raise Unwell(f"{words}; the oldest notification has waited for {format_duration(_whole(age))}")
        return words

    def alertmanagers(self) -> str:
        """Each that is configured answers."""
        known = self.config().alertmanagers
        if not known:
            return "none is configured"
        from webhook.edge.alertmanager import AlertmanagerClient

        answer = AlertmanagerClient(alertmanagers=known).alerts(matchers=('alertmend="nothing"',))
        if answer.silent:
            raise Unwell("; ".join(f"{url}: {words}" for url, words in answer.silent.items()))
        return ", ".join(answer.answered)

    def storage_path(self) -> str:
        """There is room where state is kept."""
        free = shutil.disk_usage(self.storage).free
        words = f"{free / 2**30:.1f} GiB free in {self.storage}"
        if free < FREE_BYTES:
            raise Unwell(words)
        return words

    def clock(self) -> str:
        """It agrees with that of Redis, which may be another machine's."""
        skew = self.now() - self.watch.time()
        words = f"{skew.total_seconds():+.3f}s from Redis"
        if abs(skew) > _SKEW:
            raise Unwell(words)
        return words

    def _pulses_if_any(self) -> Sequence[Pulse]:
        try:
            found: Sequence[Pulse] = self.watch.pulses()
        except Unavailable:
            return ()
        return found

    def _is_stuck(self, pulse: Pulse) -> bool:
        return pulse.busy_since is not None and self.now() - pulse.busy_since > _STUCK


def make_checks(parts: Parts) -> Checks:
    """The built-in checks and those of packages, of which none takes the place of a built-in one."""
    built_in = {
        "redis": Checker(ask=parts.redis),
        "database": Checker(ask=parts.database, timeout_seconds=12),
        "configuration": Checker(ask=parts.configuration),
        "files": Checker(ask=parts.files),
        "intake": Checker(ask=lambda: parts.worker("intake")),
        "runs": Checker(ask=lambda: parts.worker("runs")),
        "inbox": Checker(ask=parts.inbox),
        "alertmanagers": Checker(ask=parts.alertmanagers, timeout_seconds=10),
        "storage": Checker(ask=parts.storage_path),
        "clock": Checker(ask=parts.clock),
    }
    return Checks(checkers=packaged(taken=NAMES) | built_in, needed=NEEDED, starting=STARTING)


def _whole(span: timedelta) -> timedelta:
    return timedelta(seconds=int(span.total_seconds()))
