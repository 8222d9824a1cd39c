"""From a configuration to the real things: the only place that builds them."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any

import structlog

from webhook.asking import Asking
from webhook.care import Care
from webhook.change import Change
from webhook.core.alert import Notification
from webhook.edge.configfile import Config
from webhook.edge.webconfig import read_web_config
from webhook.errors import RECORD
from webhook.escalating import Escalating
from webhook.execution import Execution
from webhook.heartbeating import Heartbeating
from webhook.intake import Intake
from webhook.live import Live
from webhook.performing import Performing
from webhook.ports import Envelope
from webhook.reconciling import Reconciling
from webhook.recovering import Recovering
from webhook.upkeep import Upkeep
from webhook.wiring.aside import Aside
from webhook.wiring.clock import new_id, now
from webhook.wiring.connection import connect, connect_async, copies, message_maker, open_ledger, redis_url
from webhook.wiring.current import Current, Followed, Site, rules_entry
from webhook.wiring.heartbeat import ailment_of, is_starting, send
from webhook.wiring.kept import Reload, keeping, read_reload, write_reload
from webhook.wiring.patience import Patient

if TYPE_CHECKING:
    from webhook.checking import Checks
    from webhook.wiring.gauges import Gauges

log = structlog.get_logger()

#: Where people reach the pages, unless `external_url` says otherwise.
DEFAULT_EXTERNAL_URL = "http://127.0.0.1:9480"


def write_body(notification: Notification) -> str:
    """A notification as Alertmanager would send it."""
    from webhook.edge.payload import write

    return write(notification)


def parse(id: str, envelope: Envelope) -> Notification:
    """What lies in the inbox, as a notification."""
    from webhook.edge.payload import parse as parse_body

    return parse_body(envelope.body, id=id, received_at=envelope.received_at)


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """What a worker is made of."""

    current: Current
    app: Any
    store: Any
    watch: Any
    ledger: Any
    change: Change
    intake: Intake
    upkeep: Upkeep
    execution: Execution
    #: Compares with Alertmanager, aside from everything else.
    reconcile: Callable[[], None]
    #: Whether it is too early to say how it is.
    is_starting: Callable[[], bool]
    #: Sends a sign of life, aside from everything else.
    send_heartbeat: Callable[[], None]
    #: Looks after the record, aside from everything else.
    care: Callable[[], None]
    #: To be set when the worker has to be gone.
    closing: Event
    owner: str
    close: Callable[[], None] = field(default=lambda: None)


def build_worker(site: Site) -> Services:
    """The services of a worker; nothing is connected to yet.

    Raises:
        ConfigError: with every problem.
    """
    from webhook.edge.ledger.archive import SqlArchive
    from webhook.edge.pager import WebhookPager
    from webhook.edge.playbook.runner import AnsibleRunner
    from webhook.edge.playbook.tree import end_leftovers
    from webhook.edge.probe import WorldProber
    from webhook.edge.queue import make_app, make_message
    from webhook.edge.store import RedisStore
    from webhook.edge.store.watch import RedisWatch

    current = Current.at(site)
    url = redis_url(current.config, site.storage)
    app = make_app(url)
    client = connect(url)
    store = RedisStore(client=client, message=make_message(app), copies=copies(url))
    ledger = open_ledger(current.config, site.storage)
    change = Change(store=store, ledger=ledger)
    owner = f"{socket.gethostname()}:{os.getpid()}"
    live, closing = Live(store=store), Event()
    asking = Asking(alertmanagers=current.alertmanagers, now=now)
    aside, apart, alone = Aside(), Aside(), Aside()
    watch, started_at = RedisWatch(client=client), now()
    heartbeating = Heartbeating(
        heartbeat=lambda: current.config.heartbeat,
        ailment=lambda: ailment_of(watch.pulses()),
        head=ledger.head,
        alertmanagers=current.alertmanagers,
        pager=WebhookPager(),
        external_url=lambda: current.config.external_url or DEFAULT_EXTERNAL_URL,
        now=now,
        started_at=started_at,
    )
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
    recovering = Recovering(
        change=change,
        history=ledger,
        rulebook=lambda: current.rulebook,
        end_leftovers=end_leftovers,
        now=now,
        new_id=new_id,
    )
    care = Care(archive=SqlArchive(ledger=ledger), terms=current.terms, now=now)
    runner = AnsibleRunner(work_dir=site.storage.absolute() / "work")
    return Services(
        current=current,
        app=app,
        store=store,
        watch=watch,
        ledger=ledger,
        change=change,
        intake=Intake(
            change=change,
            recover=recovering.recover,
            rulebook=lambda: current.rulebook,
            parse=parse,
            asking=asking,
            now=now,
            new_id=new_id,
        ),
        upkeep=Upkeep(
            change=change,
            recovering=recovering,
            history=ledger,
            rulebook=lambda: current.rulebook,
            escalate=lambda id: aside.do(f"escalation {id}", lambda: escalating.escalate(id)),
            reconcile=lambda: aside.do("reconcile", lambda: reconciling.reconcile(patience=timedelta(0))),
            end_leftovers=end_leftovers,
            now=now,
            new_id=new_id,
            machine=socket.gethostname(),
        ),
        reconcile=lambda: aside.do("reconcile", reconciling.reconcile),
        is_starting=lambda: is_starting(watch, since=started_at, now=now()),
        send_heartbeat=lambda: alone.do("heartbeat", lambda: send(heartbeating, watch)),
        # Apart from what people wait for: the first removal of years takes minutes.
        care=lambda: apart.do("care", care.take),
        execution=Execution(
            change=change,
            workshop=current.workshop,
            performing=Performing(
                store=store, prober=WorldProber(), playbooks=runner, live=live, now=now, owner=owner, closing=closing
            ),
            live=live,
            asking=asking,
            now=now,
            new_id=new_id,
        ),
        closing=closing,
        owner=owner,
        close=runner.close,
    )


def build_inbox(config: Config, storage: Path) -> Any:
    """Where the receiver puts notifications."""
    from webhook.edge.store import RedisInbox

    url = redis_url(config, storage)
    return RedisInbox(connect_async(url), message=message_maker(url), copies=copies(url))


def build_follower(config: Config, storage: Path) -> Any:
    """What hears runs as they go."""
    from webhook.edge.store import RedisFollower

    # A connection pool of its own: whoever looks on never keeps a notification waiting.
    return RedisFollower(connect_async(redis_url(config, storage)))


def build_watch(config: Config, storage: Path) -> Any:
    """What is asked of Redis by those who look whether all is well."""
    from webhook.edge.store.watch import RedisWatch

    # Shorter than a scrape, and than a probe of Kubernetes: whoever asks is to hear that it is away.
    return RedisWatch(client=connect(redis_url(config, storage), patience_seconds=2, retries=0))


def build_gauges(followed: Followed, watch: Any, ledger: Any, storage: Path, *, checks: Callable[[], Checks]) -> Gauges:
    """What /metrics shows."""
    from webhook.edge.store import RedisStore
    from webhook.wiring.gauges import Gauges

    store = RedisStore(client=watch.client, message=message_maker(redis_url(followed(), storage)))
    # A scrape ends after ten seconds, of which Redis may take two.
    tally = Patient(ask=lambda: ledger.tally(), seconds=4, dependency=RECORD)
    return Gauges(
        config=followed,
        revision=followed.revision,
        reload=lambda: read_reload(storage),
        store=store,
        watch=watch,
        tally=tally,
        checks=checks(),
    )


def build_checks(followed: Followed, watch: Any, ledger: Any, storage: Path) -> Checks:
    """What /health asks."""
    from webhook.wiring.checks import Parts, make_checks

    return make_checks(
        Parts(
            config=followed,
            revision=followed.revision,
            reload=lambda: read_reload(storage),
            watch=watch,
            ledger=ledger,
            storage=storage,
            now=now,
        )
    )


def prepare(site: Site, *, web_config_file: Path | None = None) -> Config:
    """The configuration, once all files are known to be sound and the database's schema is up to date.

    Raises:
        ConfigError: the configuration cannot be used.
        Unavailable: the database does not answer.
    """
    from webhook.checking import clashes
    from webhook.edge.migration import migrate
    from webhook.edge.store.trust import doubts
    from webhook.wiring.checks import NAMES
    from webhook.wiring.reload import files_of

    current = Current.of(site)
    if web_config_file is not None:
        read_web_config(web_config_file)
    for check, words in clashes(NAMES).items():
        log.warning(words, action="start", check=check)
    if current.config.redis_url is not None:
        for words in doubts(connect(current.config.redis_url, patience_seconds=2, retries=0)):
            log.warning(words, action="start")
    site.storage.mkdir(parents=True, exist_ok=True, mode=0o700)
    ledger = open_ledger(current.config, site.storage)
    migrate(ledger.engine)
    # Before the first decision, so that whoever reads the log in order knows the rules.
    with keeping(site.storage, current.config, current.rulebook):
        ledger.append(rules_entry(current, is_reload=False))
    at = now().timestamp()
    write_reload(site.storage, Reload(at=at, sound_at=at, files=files_of(current)))
    return current.config
