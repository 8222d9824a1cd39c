"""From a configuration to the real things: the only place that builds them."""

from __future__ import annotations

import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

import structlog
from redis.backoff import NoBackoff
from redis.retry import Retry

from webhook.asking import Asking
from webhook.attempt import Workshop
from webhook.change import Change
from webhook.core.alert import Notification
from webhook.core.audit import AuditEvent, Event
from webhook.core.incident import Pair
from webhook.core.rulebook import Rulebook
from webhook.core.state import Keys, Snapshot
from webhook.core.target import Inventory
from webhook.edge.argspec import ArgumentSpecs
from webhook.edge.configfile import Config, inventory_path, read_config
from webhook.edge.inventory import read_inventory
from webhook.edge.revision import revision_of, write_rules
from webhook.edge.valkey import EmbeddedValkey
from webhook.edge.webconfig import read_web_config
from webhook.errors import ConfigError, Problem, StateConflict, Unavailable
from webhook.escalating import Escalating
from webhook.execution import Execution
from webhook.intake import Intake
from webhook.live import Live
from webhook.people import People
from webhook.ports import Alertmanagers, Batch, Doorbell, Envelope
from webhook.reconciling import Reconciling
from webhook.upkeep import Upkeep

log = structlog.get_logger()

#: Where people reach the pages, unless `external_url` says otherwise.
DEFAULT_EXTERNAL_URL = "http://127.0.0.1:9480"


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """Where a process finds its configuration and its state."""

    config_file: Path
    storage: Path


@dataclass(slots=True)
class Current:
    """The configuration of the moment; a reload that fails leaves it as it was."""

    config: Config
    rulebook: Rulebook

    @classmethod
    def of(cls, file: Path) -> Current:
        """The configuration in `file`, with its inventory.

        Raises:
            ConfigError: with every problem.
        """
        return cls(*load(file))

    def reload(self) -> bool:
        """Whether the files were taken over; what is wrong with them is logged."""
        try:
            fresh = Current.of(self.config.file)
        except ConfigError as error:
            for problem in error.problems:
                log.error("the configuration is kept as it was", action="reload", problem=str(problem))
            return False
        self.config, self.rulebook = fresh.config, fresh.rulebook
        log.info("the configuration was reloaded", action="reload", rules=len(self.rulebook.rules))
        return True

    def alertmanagers(self) -> Alertmanagers | None:
        """Those that are configured; None: none is."""
        known = self.config.alertmanagers
        if not known:
            return None
        from webhook.edge.alertmanager import AlertmanagerClient

        return AlertmanagerClient(alertmanagers=known)

    def workshop(self) -> Workshop:
        """Where playbooks and inventory lie."""
        return Workshop(
            rulebook=self.rulebook,
            playbooks=self.config.playbooks,
            inventory=self.config.inventory,
            redaction=self.config.redaction,
        )


def load(file: Path) -> tuple[Config, Rulebook]:
    """The configuration in `file`, and its rules with the inventory as Ansible reads it.

    Raises:
        ConfigError: with every problem in every file.
    """
    # The inventory first, and whatever else is wrong: what a playbook needs may come from there.
    inventory, problems = _inventory(file)
    specs = ArgumentSpecs(elsewhere=inventory.variables if inventory else None)
    try:
        config = read_config(file, check_vars=specs.check)
    except ConfigError as error:
        raise ConfigError([*error.problems, *problems]) from None
    if inventory is None:
        raise ConfigError(problems)
    rulebook = Rulebook(
        rules=config.rules,
        policy=config.policy,
        inventory=inventory,
        chains=config.chains,
        ignore_labels=config.ignore_labels,
        revision=revision_of(write_rules(config.rules, config.policy)),
    )
    return config, rulebook


def _inventory(file: Path) -> tuple[Inventory | None, Sequence[Problem]]:
    """The inventory of a configuration that may be wrong elsewhere; else what is wrong with it."""
    path = inventory_path(file)
    try:
        return (read_inventory(path) if path is not None else None), ()
    except ConfigError as error:
        return None, error.problems


def rules_entry(current: Current, *, is_reload: bool) -> Batch:
    """The entry that says by which rules is decided from now on; a start with the same rules leaves no second one."""
    rulebook, at = current.rulebook, now()
    body = {
        "file": str(current.config.file),
        "rules": len(rulebook.rules),
        "revision": rulebook.revision,
        "rulebook": write_rules(rulebook.rules, rulebook.policy),
    }
    event = AuditEvent(at=at, event=Event.RELOAD, body=body)
    return Batch(id=f"reload:{new_id()}" if is_reload else f"rules:{rulebook.revision}", at=at, events=(event,))


class Aside:
    """Does things that may take long one after another, aside from the one who wants them done."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="aside")
        self._wanted: set[str] = set()

    def do(self, name: str, work: Callable[[], object]) -> None:
        """Returns at once; what is wanted already under the same name is not wanted twice."""
        if name not in self._wanted:
            self._wanted.add(name)
            self._thread.submit(self._work, name, work)

    def _work(self, name: str, work: Callable[[], object]) -> None:
        self._wanted.discard(name)
        try:
            work()
        except (Unavailable, StateConflict) as error:
            # It stays due, and comes again.
            log.warning("it has to wait", action="aside", about=name, error=str(error))
        except Exception:
            log.exception("it failed", action="aside", about=name)


def redis_url(config: Config, storage: Path) -> str:
    """The configured Redis, or the embedded one."""
    return config.redis_url or EmbeddedValkey(storage=storage).url


def database_url(config: Config, storage: Path) -> str:
    """The configured database, or SQLite in the storage path."""
    return config.database_url or f"sqlite:///{storage.absolute() / 'alertmend.db'}"


def now() -> datetime:
    """The time, aware."""
    return datetime.now(UTC)


def new_id() -> str:
    """An id that nobody has, and that sorts by the time it was made."""
    return f"{time.time_ns() // 1_000_000:011x}{secrets.token_hex(4)}"


def write_body(notification: Notification) -> str:
    """A notification as Alertmanager would send it."""
    from webhook.edge.payload import write

    return write(notification)


def parse(id: str, envelope: Envelope) -> Notification:
    """What lies in the inbox, as a notification."""
    from webhook.edge.payload import parse as parse_body

    return parse_body(envelope.body, id=id, received_at=envelope.received_at)


def connect(url: str) -> Any:
    """A Redis client for one process and all of its threads; it does not wait for ever for anything."""
    import redis

    return redis.Redis.from_url(
        url, socket_timeout=10, socket_connect_timeout=5, health_check_interval=15, retry=Retry(NoBackoff(), 1)
    )


def connect_async(url: str) -> Any:
    """A Redis client for the receiver.

    It fails early, since Alertmanager tries again: after 15 s a second one of a cluster would send everything, too.
    """
    import redis.asyncio
    from redis.asyncio.retry import Retry as AsyncRetry

    return redis.asyncio.Redis.from_url(
        url, socket_timeout=3, socket_connect_timeout=2, retry=AsyncRetry(NoBackoff(), 1)
    )


def open_ledger(config: Config, storage: Path) -> Any:
    """The ledger of a configuration."""
    from webhook.edge.ledger import SqlLedger, open_engine

    return SqlLedger(engine=open_engine(database_url(config, storage)))


class LateLedger:
    """A ledger that is opened when it is first asked something."""

    def __init__(self, open: Callable[[], Any]) -> None:
        self._open = open

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ledger, name)

    @cached_property
    def _ledger(self) -> Any:
        return self._open()


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """What a worker is made of."""

    current: Current
    app: Any
    store: Any
    ledger: Any
    change: Change
    intake: Intake
    upkeep: Upkeep
    execution: Execution
    #: Compares with Alertmanager, aside from everything else.
    reconcile: Callable[[], None]
    owner: str
    close: Callable[[], None] = field(default=lambda: None)


def build_worker(site: Site) -> Services:
    """The services of a worker; nothing is connected to yet.

    Raises:
        ConfigError: with every problem.
    """
    from webhook.edge.pager import WebhookPager
    from webhook.edge.playbook.runner import AnsibleRunner
    from webhook.edge.playbook.tree import end_leftovers
    from webhook.edge.probe import WorldProber
    from webhook.edge.queue import make_app, make_message
    from webhook.edge.store import RedisStore

    current = Current.of(site.config_file)
    url = redis_url(current.config, site.storage)
    app = make_app(url)
    store = RedisStore(client=connect(url), message=make_message(app))
    ledger = open_ledger(current.config, site.storage)
    change = Change(store=store, ledger=ledger)
    owner = f"{socket.gethostname()}:{os.getpid()}"
    asking = Asking(alertmanagers=current.alertmanagers, now=now)
    aside = Aside()
    escalating = Escalating(
        change=change,
        rulebook=lambda: current.rulebook,
        alertmanagers=current.alertmanagers,
        pager=WebhookPager(),
        external_url=lambda: current.config.external_url or DEFAULT_EXTERNAL_URL,
        now=now,
        new_id=new_id,
    )
    reconciling = Reconciling(
        change=change,
        rulebook=lambda: current.rulebook,
        alertmanagers=current.alertmanagers,
        write=write_body,
        now=now,
        new_id=new_id,
    )
    runner = AnsibleRunner(work_dir=site.storage.absolute() / "work")
    return Services(
        current=current,
        app=app,
        store=store,
        ledger=ledger,
        change=change,
        intake=Intake(
            change=change,
            rulebook=lambda: current.rulebook,
            parse=parse,
            asking=asking,
            now=now,
            new_id=new_id,
        ),
        upkeep=Upkeep(
            change=change,
            history=ledger,
            rulebook=lambda: current.rulebook,
            escalate=lambda id: aside.do(f"escalation {id}", lambda: escalating.escalate(id)),
            reconcile=lambda: aside.do("reconcile", lambda: reconciling.reconcile(patience=timedelta(0))),
            end_leftovers=end_leftovers,
            now=now,
            new_id=new_id,
        ),
        reconcile=lambda: aside.do("reconcile", reconciling.reconcile),
        execution=Execution(
            change=change,
            workshop=current.workshop,
            prober=WorldProber(),
            playbooks=runner,
            live=Live(store=store),
            asking=asking,
            now=now,
            new_id=new_id,
            owner=owner,
        ),
        owner=owner,
        close=runner.close,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """What people look at and work with."""

    current: Current
    store: Any
    ledger: Any
    people: People

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
            return self._desk

    def reload(self) -> None:
        """Take the configuration over, if there is a desk."""
        if self._desk is not None:
            self._desk.current.reload()


def build_desk(site: Site) -> Desk:
    """What people look at and work with; nothing is connected to yet.

    Raises:
        ConfigError: with every problem.
    """
    from webhook.edge.store import RedisStore

    current = Current.of(site.config_file)
    url = redis_url(current.config, site.storage)
    store = RedisStore(client=connect(url), message=message_maker(url))
    ledger = open_ledger(current.config, site.storage)
    change = Change(store=store, ledger=ledger)
    people = People(change=change, rulebook=lambda: current.rulebook, now=now, new_id=new_id)
    return Desk(current=current, store=store, ledger=ledger, people=people)


def message_maker(url: str) -> Callable[[Doorbell], tuple[str, bytes]]:
    """A function that makes doorbells for the broker at a URL."""
    from webhook.edge.queue import make_app, make_message

    return make_message(make_app(url))


def build_inbox(config: Config, storage: Path) -> Any:
    """Where the receiver puts notifications."""
    from webhook.edge.store import RedisInbox

    url = redis_url(config, storage)
    return RedisInbox(connect_async(url), message=message_maker(url))


def build_follower(config: Config, storage: Path) -> Any:
    """What hears runs as they go."""
    from webhook.edge.store import RedisFollower

    # A connection pool of its own: whoever looks on never keeps a notification waiting.
    return RedisFollower(connect_async(redis_url(config, storage)))


def prepare(site: Site, *, web_config_file: Path | None = None) -> Config:
    """The configuration, once all files are known to be sound and the database's schema is up to date.

    Raises:
        ConfigError: the configuration cannot be used.
        Unavailable: the database does not answer.
    """
    from webhook.edge.migration import migrate
    from webhook.edge.store.trust import doubts

    current = Current.of(site.config_file)
    if web_config_file is not None:
        read_web_config(web_config_file)
    if current.config.redis_url is not None:
        for words in doubts(connect(current.config.redis_url)):
            log.warning(words, action="start")
    site.storage.mkdir(parents=True, exist_ok=True, mode=0o700)
    ledger = open_ledger(current.config, site.storage)
    migrate(ledger.engine)
    # Before the first decision, so that whoever reads the log in order knows the rules.
    ledger.append(rules_entry(current, is_reload=False))
    return current.config
