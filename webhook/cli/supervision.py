"""Keeps processes alive: starts every role, restarts what dies, ends all of it in order."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import structlog

from webhook.cli.reloading import Reloading
from webhook.edge.valkey import EmbeddedValkey
from webhook.errors import Unavailable

log = structlog.get_logger()

#: A role that dies is started again at once the first time, then after longer and longer pauses.
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.2, 30.0
#: A role that lived this long has recovered: its next death counts as its first.
STABLE_SECONDS = 60.0
#: Beyond the grace, what is left has to cancel and record its runs in this time.
LAST_SECONDS = 10.0
POLL_SECONDS = 0.2


@dataclass(slots=True)
class Role:
    """One process that has to be there."""

    name: str
    command: Sequence[str]
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    start_again_at: float = 0.0
    pause: float = FIRST_PAUSE_SECONDS

    def start(self) -> None:
        """Start it, in a session of its own: a Ctrl-C reaches the supervisor only, which ends all in order."""
        # What it has to say it says on standard error; Celery's farewell on standard output is no line of a log.
        self.process = subprocess.Popen(
            self.command, start_new_session=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
        )
        self.started_at = time.monotonic()
        log.info("started", action="start", process=self.name, pid=self.process.pid)

    def look_after(self) -> None:
        """Start it again when it has died and its pause is over."""
        if self.process is not None and self.process.poll() is not None:
            lived = time.monotonic() - self.started_at
            self.pause = FIRST_PAUSE_SECONDS if lived > STABLE_SECONDS else min(self.pause * 2, LONGEST_PAUSE_SECONDS)
            self.start_again_at = time.monotonic() + self.pause
            status = self.process.returncode
            log.error("it died", action="restart", process=self.name, status=status, again_in_seconds=self.pause)
            self.process = None
        if self.process is None and time.monotonic() >= self.start_again_at:
            self.start()

    def signal(self, number: int) -> None:
        """Send it a signal, if it lives."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(number)

    def hurry(self) -> None:
        """What it died of may be mended: it need not wait any longer to be started."""
        self.start_again_at = 0.0

    def wait(self, until: float) -> bool:
        """Whether it is gone before a time on the monotonic clock."""
        if self.process is None:
            return True
        try:
            self.process.wait(max(0.0, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            return False
        return True


@dataclass(slots=True, kw_only=True)
class ValkeyRole:
    """The embedded Valkey as a role: restarted when it dies, ended last, by `serve` itself."""

    valkey: EmbeddedValkey
    name: str = "valkey"
    looked_at: float = field(default_factory=time.monotonic)

    def look_after(self) -> None:
        """Start it again when it does not answer."""
        if time.monotonic() - self.looked_at < 1:
            return
        self.looked_at = time.monotonic()
        if self.valkey.answers():
            return
        log.error("it died", action="restart", process=self.name, see=str(self.valkey.log_file))
        try:
            self.valkey.start()
        except Unavailable as error:
            log.error(str(error), action="restart", process=self.name)

    def signal(self, number: int) -> None:
        """Nothing: it has to outlive the others."""

    def hurry(self) -> None:
        """Nothing: it is looked after every second."""

    def wait(self, until: float) -> bool:
        """It is not waited for."""
        return True


@dataclass(slots=True, kw_only=True)
class Supervisor:
    """Keeps the roles alive until it is told to end."""

    grace_seconds: float
    reloading: Reloading
    roles: Sequence[Role | ValkeyRole] = ()
    stopping: bool = False
    hangup: bool = False

    def listen(self) -> None:
        """Take signals from now on; what they ask for is done by `run`."""
        signal.signal(signal.SIGTERM, self._stop)
        signal.signal(signal.SIGINT, self._stop)
        signal.signal(signal.SIGHUP, self._hang_up)

    def run(self) -> int:
        """Until a SIGTERM or SIGINT; 0 when all ended well."""
        while not self.stopping:
            for role in self.roles:
                role.look_after()
            if self.hangup or self.reloading.has_changed():
                self._reload()
            time.sleep(POLL_SECONDS)
        return self._end()

    def _reload(self) -> None:
        asked, self.hangup = self.hangup, False
        if self.reloading.reload(only_changed=not asked):
            for role in self.roles:
                role.hurry()

    def _end(self) -> int:
        log.info("ending", action="stop", grace_seconds=self.grace_seconds)
        for role in self.roles:
            role.signal(signal.SIGTERM)
        until = time.monotonic() + self.grace_seconds + LAST_SECONDS
        gone = [role.wait(until) for role in self.roles]
        for role, is_gone in zip(self.roles, gone, strict=True):
            if not is_gone:
                log.error("killed", action="stop", process=role.name)
                role.signal(signal.SIGKILL)
                role.wait(time.monotonic() + LAST_SECONDS)
        return 0 if all(gone) else 1

    def _stop(self, number: int, _: object) -> None:
        self.stopping = True

    def _hang_up(self, number: int, _: object) -> None:
        self.hangup = True
