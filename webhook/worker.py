"""The Celery workers: `intake` decides, `runs` acts. The tasks are a few lines each; the work is the flows'."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import structlog
from celery import signals
from celery.exceptions import CPendingDeprecationWarning, SecurityWarning

from webhook import telemetry, tracing
from webhook.core.run import Pair
from webhook.edge.queue import KEY_PREFIX, task_name
from webhook.errors import RECORD, ConfigError, StateConflict, Unavailable, WebhookError
from webhook.execution import LEASE
from webhook.ports import Errand
from webhook.process import LIFE_SECONDS, end_with_parent, tell_life
from webhook.signs import LEDGER_FAULT
from webhook.wiring import Services, build_worker, prepare
from webhook.wiring.clock import now
from webhook.wiring.current import Site
from webhook.wiring.kept import read_reload
from webhook.wiring.pulse import PULSE_SECONDS, Heart

log = structlog.get_logger()

TICK_SECONDS = 1.0
RING_AGAIN_SECONDS = 30.0
CARE_SECONDS = 60.0
#: So often it is said again that something has to wait.
AGAIN_SECONDS = 60.0
#: Who leads says so with every tick; one that was killed is followed within seconds.
LEADERSHIP = timedelta(seconds=3)


def main(argv: list[str] | None = None) -> int:
    """Run one worker until a SIGTERM; its exit status."""
    arguments = _arguments(argv)
    # Celery warns of root because of pickles, which make_app refuses; Ansible may well need root. Whenever Redis is
    # away it warns of a default that will change: make_app sets it.
    for category in (SecurityWarning, CPendingDeprecationWarning):
        warnings.filterwarnings("ignore", category=category)
    telemetry.configure(format=arguments.log_format, level=arguments.log_level, role=arguments.role)
    if arguments.parent:
        end_with_parent(arguments.parent)
    site = Site(config_file=arguments.config_file, storage=arguments.storage_path, has_runs=arguments.has_runs)
    try:
        if arguments.role == "prepare":
            tracing.check()
            config = prepare(site, web_config_file=arguments.web_config_file)
            print("embedded" if config.redis_url is None else "configured")
            return 0
        with tracing.sent_from(arguments.role):
            services = build_worker(site)
            return _serve(services, site.storage, arguments)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 2
    except WebhookError as error:
        log.error(str(error), action="start")
        return 3 if isinstance(error, Unavailable) else 2


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m webhook.worker", description=__doc__)
    parser.add_argument("role", choices=("prepare", "intake", "runs"))
    parser.add_argument("--config.file", dest="config_file", type=Path, required=True)
    parser.add_argument("--storage.path", dest="storage_path", type=Path, required=True)
    parser.add_argument("--web.config.file", dest="web_config_file", type=Path, help="Looked at by prepare only.")
    parser.add_argument("--no-runs", dest="has_runs", action="store_false")
    parser.add_argument("--grace", dest="grace_seconds", type=float, default=30.0)
    parser.add_argument("--log.format", dest="log_format", default="logfmt")
    parser.add_argument("--log.level", dest="log_level", default="info")
    parser.add_argument("--parent", type=int, default=0)
    parser.add_argument("--life", type=int, default=-1)
    return parser.parse_args(argv)


def _tell_life(life: int, heart: Heart) -> None:
    # Whatever Redis and the database do: a process that waits for them lives.
    while True:
        if not heart.hangs():
            tell_life(life)
        time.sleep(LIFE_SECONDS)


def _serve(services: Services, storage: Path, asked: argparse.Namespace) -> int:
    role, over = asked.role, threading.Event()
    heart = Heart(
        role=role,
        owner=services.owner,
        watch=services.watch,
        ledger=services.ledger,
        revision=lambda: services.current.rulebook.revision,
        reload=lambda: read_reload(storage),
        rung=lambda: services.watch.rung(KEY_PREFIX + role),
        # It has no work: it ends at once, and is started again.
        end=lambda: os.kill(os.getpid(), signal.SIGTERM),
    )
    with suppress(Unavailable):
        # Before its first sign of life: who waits for that asks next who is there.
        heart.start()
    threading.Thread(target=_tell_life, args=(asked.life, heart), name="life", daemon=True).start()
    _register(services, heart)
    if role == "intake":
        # One at a time and in order of arrival: two processes give more, this one's order is simple to reason about.
        pool, concurrency = "solo", 1
        beat_name, every, beat = "upkeep", TICK_SECONDS, _upkeep_beat(services)
    else:
        concurrency = services.current.config.policy.limits.concurrency
        pool, beat_name, every, beat = "threads", "lease", LEASE.total_seconds() / 5, services.execution.keep_leases
        threading.Thread(target=services.execution.live.keep_telling, args=(over,), name="live", daemon=True).start()
    for action, what, seconds in ((beat_name, beat, every), ("pulse", heart.beat, PULSE_SECONDS)):
        arguments = (services, what, seconds, over)
        threading.Thread(target=_repeat, args=arguments, kwargs={"action": action}, name=action, daemon=True).start()
    signals.worker_ready.connect(lambda **_: _get_ready(services, role), weak=False)
    signals.worker_shutting_down.connect(lambda **_: _close_after(services, asked.grace_seconds, over), weak=False)
    worker = services.app.Worker(
        queues=[role],
        pool=pool,
        concurrency=concurrency,
        hostname=f"{role}@{services.owner}",
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,
        loglevel=telemetry.LEVELS[1].upper(),
        quiet=True,
    )
    worker.start()
    over.set()
    with suppress(Unavailable):
        heart.stop()
    services.close()
    return int(worker.exitcode or 0)


def _register(services: Services, heart: Heart) -> None:
    task = services.app.task

    def heard(answer: Callable[[], object], errand: Errand, about: str) -> None:
        services.current.follow()
        name = "run" if errand in (Errand.EXECUTE, Errand.PLAN) else "about"
        with heart.at_work(), telemetry.speaking_of(**{name: about}):
            _hear(services, answer, errand=errand)

    @task(name=task_name(Errand.INTAKE))
    def intake(id: str) -> None:
        heard(lambda: services.intake.take(id), Errand.INTAKE, id)

    @task(name=task_name(Errand.RECONSIDER))
    def reconsider(about: str) -> None:
        rule, _, target = about.partition("|")
        heard(lambda: services.intake.reconsider(Pair(rule, target)), Errand.RECONSIDER, about)

    @task(name=task_name(Errand.EXECUTE))
    def execute(id: str) -> None:
        heard(lambda: _execute(services, id), Errand.EXECUTE, id)

    @task(name=task_name(Errand.PLAN))
    def plan(id: str) -> None:
        heard(lambda: services.execution.plan(id), Errand.PLAN, id)

    services.app.finalize()


def _execute(services: Services, id: str) -> object:
    outcome = services.execution.execute(id)
    # Its place is free: who waits for it is called now, and not at the next beat.
    services.upkeep.look_at_due()
    return outcome


def _hear(services: Services, answer: Callable[[], object], *, errand: Errand) -> None:
    try:
        result = answer()
    except (Unavailable, StateConflict) as error:
        # Nothing is lost: what is to be done stands in the store, and upkeep rings again.
        log.warning("it has to wait", action=errand.value, error=str(error))
        _count(services, error)
    else:
        log.info("done", action=errand.value, result=result)


def _count(services: Services, error: WebhookError) -> None:
    if isinstance(error, Unavailable) and error.dependency == RECORD:
        with suppress(Unavailable):
            services.watch.count_fault(LEDGER_FAULT)


def _upkeep_beat(services: Services) -> Callable[[], None]:
    done = {"rung": 0.0, "reconciled": 0.0, "cared": 0.0, "heartbeat": 0.0}

    def is_time(what: str, every: float) -> bool:
        at = now().timestamp()
        if at - done[what] < every:
            return False
        done[what] = at
        return True

    def beat() -> None:
        services.upkeep.lose_own_runs()
        if not services.store.lead("upkeep", owner=services.owner, lease=LEADERSHIP):
            return
        services.upkeep.tick()
        if is_time("rung", RING_AGAIN_SECONDS):
            services.upkeep.ring_again()
        if is_time("reconciled", services.current.config.reconcile_interval.total_seconds()):
            services.reconcile()
        if is_time("cared", CARE_SECONDS):
            services.care()
        heartbeat = services.current.config.heartbeat
        if heartbeat is None or services.is_starting():
            return
        if is_time("heartbeat", heartbeat.interval.total_seconds()):
            services.send_heartbeat()

    return beat


def _repeat(services: Services, beat: Callable[[], None], every: float, over: threading.Event, *, action: str) -> None:
    told_at: float | None = None
    while not over.wait(every):
        try:
            services.current.follow()
            beat()
        except (Unavailable, StateConflict) as error:
            # A line each second would bury what else there is to read of an outage.
            if told_at is None or time.monotonic() - told_at > AGAIN_SECONDS:
                log.warning("it has to wait", action=action, error=str(error))
                told_at = time.monotonic()
            _count(services, error)
        except Exception:
            log.exception("it failed", action=action)
        else:
            if told_at is not None:
                log.info("it goes on", action=action)
                told_at = None


def _get_ready(services: Services, role: str) -> None:
    if role == "intake":
        try:
            services.upkeep.ring_again(after=timedelta(0))
        except Unavailable as error:
            log.warning("upkeep has to wait", action="upkeep", error=str(error))
    # Celery would restart the whole worker, and with it what runs. What is to be followed lies in the storage path.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)


def _close_after(services: Services, grace_seconds: float, over: threading.Event) -> None:
    """Runs under way get the grace; then they are cancelled, recorded, and gone."""

    def close() -> None:
        if not over.wait(grace_seconds):
            services.closing.set()

    threading.Thread(target=close, name="grace", daemon=True).start()


if __name__ == "__main__":
    # The beat's thread must never keep a worker alive that Celery has ended.
    status = main()
    sys.stdout.flush()
    os._exit(status)
