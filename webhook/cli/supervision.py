"""Keeps processes alive: starts every role, restarts what dies or hangs, ends all of it in order."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from webhook.cli.reloading import Reloading
from webhook.cli.systemd import Systemd
from webhook.edge.valkey import ANSWER_SECONDS, EmbeddedValkey
from webhook.errors import Unavailable

log = structlog.get_logger()

#: A role that dies is started again at once the first time, then after longer and longer pauses.
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.2, 30.0
#: A role that lived this long has recovered: its next death counts as its first.
STABLE_SECONDS = 60.0
#: One that gives no sign of life for so long hangs, and is killed. It is measured in rounds of the supervisor: when a
#: machine is suspended, all of its processes were silent, and none hangs.
SILENT_SECONDS = 60.0
#: The first one may take longer, on a machine that has hardly any memory left.
FIRST_SIGN_SECONDS = 300.0
#: Who looks from outside is told so often that all is well here.
TELL_SECONDS = 5.0
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
    #: Whether it gave a sign of life since it was started, and since when it gave none.
    is_up: bool = False
    silent_seconds: float = 0.0
    #: Where its signs of life are read.
    _life: int | None = None

    def start(self) -> None:
        """Start it, in a session of its own: a Ctrl-C reaches the supervisor only, which ends all in order."""
        if self._life is not None:
            os.close(self._life)
        self._life, told = os.pipe()
        for end in (self._life, told):
            os.set_blocking(end, False)
        # What it has to say it says on standard error; Celery's farewell on standard output is no line of a log.
        self.process = subprocess.Popen(
            [*self.command, f"--life={told}"],
            start_new_session=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            pass_fds=[told],
        )
        os.close(told)
        self.started_at, self.silent_seconds, self.is_up = time.monotonic(), 0.0, False
        log.info("started", action="start", process=self.name, pid=self.process.pid)

    def look_after(self) -> None:
        """Start it again when it has died and its pause is over; kill it when it hangs."""
        if self.process is not None and self.process.poll() is None:
            self._listen()
        elif self.process is not None:
            lived = time.monotonic() - self.started_at
            self.pause = FIRST_PAUSE_SECONDS if lived > STABLE_SECONDS else min(self.pause * 2, LONGEST_PAUSE_SECONDS)
            self.start_again_at = time.monotonic() + self.pause
            status = self.process.returncode
            log.error("it died", action="restart", process=self.name, status=status, again_in_seconds=self.pause)
            self.process, self.is_up = None, False
        if self.process is None and time.monotonic() >= self.start_again_at:
            self.start()

    def _listen(self) -> None:
        assert self.process is not None and self._life is not None
        with suppress(BlockingIOError):
            if os.read(self._life, 4096):
                self.silent_seconds, self.is_up = 0.0, True
                return
        self.silent_seconds += POLL_SECONDS
        if self.silent_seconds > (SILENT_SECONDS if self.is_up else FIRST_SIGN_SECONDS):
            log.error("it hangs, and is killed", action="restart", process=self.name, pid=self.process.pid)
            self.process.kill()
            self.silent_seconds = 0.0

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
    silent_seconds: float = 0.0

    @property
    def is_up(self) -> bool:
        """Whether it answered when it was last looked after."""
        return not self.silent_seconds

    def look_after(self) -> None:
        """Start it again when it is gone; kill it when it hangs."""
        if time.monotonic() - self.looked_at < 1:
            return
        answer, self.looked_at = self.valkey.ping(), time.monotonic()
        if answer is None:
            self._miss()
            return
        self.silent_seconds = 0.0
        if answer:
            return
        log.error("it died", action="restart", process=self.name, see=str(self.valkey.log_file))
        try:
            self.valkey.start()
        except Unavailable as error:
            log.error(str(error), action="restart", process=self.name)

    def _miss(self) -> None:
        self.silent_seconds += ANSWER_SECONDS
        if self.silent_seconds > SILENT_SECONDS:
            log.error("it hangs, and is killed", action="restart", process=self.name, see=str(self.valkey.log_file))
            self.valkey.kill()
            self.silent_seconds = ANSWER_SECONDS

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
    systemd: Systemd
    #: Is touched while all is well, for whoever looks from outside: a probe of Kubernetes, a health check of Docker.
    alive: Path
    roles: Sequence[Role | ValkeyRole] = ()
    told_at: float = 0.0
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
            if time.monotonic() - self.told_at > TELL_SECONDS:
                self._tell()
            time.sleep(POLL_SECONDS)
        return self._end()

    def _tell(self) -> None:
        self.systemd.tell("WATCHDOG=1")
        if all(role.is_up and role.silent_seconds < TELL_SECONDS for role in self.roles):
            self.told_at = time.monotonic()
            self.systemd.tell("READY=1")
            with suppress(OSError):
                self.alive.touch()

    def _reload(self) -> None:
        asked, self.hangup = self.hangup, False
        if self.reloading.reload(only_changed=not asked):
            for role in self.roles:
                role.hurry()

    def _end(self) -> int:
        log.info("ending", action="stop", grace_seconds=self.grace_seconds)
        self.systemd.tell("STOPPING=1")
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
