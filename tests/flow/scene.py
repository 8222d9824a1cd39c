"""A whole alertmend in memory, with verbs that read like what happens to it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import count
from pathlib import Path

from pydantic import TypeAdapter

from tests.flow.twin import EPOCH, Alertmanager, Clock, MemoryLedger, MemoryStore, Pages, Playbooks, World
from webhook.asking import Asking
from webhook.attempt import Workshop
from webhook.change import Change
from webhook.core.alert import Alert, AlertStatus, Notification
from webhook.core.audit import Event
from webhook.core.escalation import Chain
from webhook.core.evidence import Policy
from webhook.core.incident import Incident
from webhook.core.matcher import parse_matcher
from webhook.core.probe import Probe, TcpProbe
from webhook.core.redaction import Redaction
from webhook.core.rule import Guards, Limits, Mode, Rule, Step
from webhook.core.rulebook import Rulebook
from webhook.core.run import Pair, Run, Word
from webhook.core.schedule import NamedInterval
from webhook.core.target import Inventory
from webhook.core.verdict import Decision
from webhook.escalating import Escalating
from webhook.execution import Execution
from webhook.intake import Intake
from webhook.live import Live
from webhook.people import People
from webhook.performing import Performing
from webhook.ports import Doorbell, Envelope, Errand
from webhook.reconciling import Reconciling
from webhook.recovering import Recovering
from webhook.upkeep import RENEWING, Upkeep

DECISION = TypeAdapter(Decision)
HOSTS = frozenset({"web1", "web2", "web3", "db1"})


def rule(
    name: str = "restart-web", *, match: str = 'alertname="Down"', probe: bool = False, **settings: object
) -> Rule:
    steps = settings.pop("steps", (Step(playbook="restart.yml"),))
    asked = Probe(kind=TcpProbe(address="$target:80"), period=timedelta(0), within=timedelta(seconds=10))
    return Rule(
        name=name,
        match=(parse_matcher(match),),
        steps=steps,  # type: ignore[arg-type]
        probe=asked if probe else None,
        **settings,  # type: ignore[arg-type]
    )


def alert(
    target: str = "web1", *, status: str = "firing", name: str = "Down", starts_at: datetime = EPOCH, **labels: str
) -> Alert:
    found = {"alertname": name, "instance": target, **labels}
    return Alert(
        status=AlertStatus(status),
        labels=found,
        annotations={},
        starts_at=starts_at,
        ends_at=None,
        fingerprint="|".join(f"{key}={value}" for key, value in sorted(found.items())),
    )


@dataclass
class Scene:
    rules: tuple[Rule, ...] = field(default_factory=lambda: (rule(),))
    limits: Limits = field(default_factory=lambda: Limits(concurrency=100, rate_limit=None))
    ceiling: Mode = Mode.AUTO
    redaction: Redaction = field(default_factory=Redaction)
    clock: Clock = field(default_factory=Clock)
    store: MemoryStore = field(default_factory=MemoryStore)
    ledger: MemoryLedger = field(default_factory=MemoryLedger)
    playbooks: Playbooks = field(default_factory=Playbooks)
    #: None: none is configured.
    alertmanagers: Alertmanager | None = None
    pager: Pages = field(default_factory=Pages)
    chains: dict[str, Chain] = field(default_factory=dict)
    ignore_labels: frozenset[str] = frozenset()
    time_intervals: dict[str, NamedInterval] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.world = World(self.clock)
        # On a ledger that was written to before, ids are new as well.
        self.ids = count(1 + 1000 * len(self.ledger.seen))
        self.notifications: dict[str, Notification] = {}
        self.leftovers: list[str] = []
        self.change = Change(store=self.store, ledger=self.ledger)
        self.asking = Asking(alertmanagers=lambda: self.alertmanagers, now=self.clock)
        self.recovering = Recovering(
            change=self.change,
            history=self.ledger,
            rulebook=self.rulebook,
            end_leftovers=self.end_leftovers,
            now=self.clock,
            new_id=self.new_id,
        )
        self.intake = Intake(
            change=self.change,
            recover=self.recovering.recover,
            rulebook=self.rulebook,
            parse=lambda id, _: self.notifications[id],
            asking=self.asking,
            now=self.clock,
            new_id=self.new_id,
        )
        self.execution = self.worker("worker-1")
        self.people = People(change=self.change, rulebook=self.rulebook, now=self.clock, new_id=self.new_id)
        self.escalating = Escalating(
            change=self.change,
            rulebook=self.rulebook,
            alertmanagers=lambda: self.alertmanagers,
            pager=self.pager,
            external_url=lambda: "http://alertmend",
            now=self.clock,
            new_id=self.new_id,
        )
        self.reconciling = Reconciling(
            change=self.change,
            rulebook=self.rulebook,
            alertmanagers=lambda: self.alertmanagers,
            write=self.write,
            now=self.clock,
            new_id=self.new_id,
        )
        self.upkeep = Upkeep(
            change=self.change,
            recovering=self.recovering,
            history=self.ledger,
            rulebook=self.rulebook,
            escalate=self.escalating.escalate,
            reconcile=lambda: self.reconciling.reconcile(patience=timedelta(0)),
            end_leftovers=self.end_leftovers,
            now=self.clock,
            new_id=self.new_id,
            machine="worker-1",
        )

    def miss_workers(self) -> None:
        """Nobody has heard of any worker for so long that their runs are lost."""
        self.store.leases.clear()
        self.upkeep.tick()
        self.clock.advance(seconds=RENEWING.total_seconds())
        self.upkeep.tick()

    def end_leftovers(self, run: str) -> int:
        self.leftovers.append(run)
        return 0

    def worker(self, owner: str) -> Execution:
        def workshop() -> Workshop:
            return Workshop(
                rulebook=self.rulebook(),
                playbooks=Path("/playbooks"),
                inventory=Path("/inventory"),
                redaction=self.redaction,
            )

        live = Live(store=self.store)
        performing = Performing(
            store=self.store, prober=self.world, playbooks=self.playbooks, live=live, now=self.clock, owner=owner
        )
        return Execution(
            change=self.change,
            workshop=workshop,
            performing=performing,
            live=live,
            asking=self.asking,
            now=self.clock,
            new_id=self.new_id,
        )

    def rulebook(self) -> Rulebook:
        return Rulebook(
            rules=self.rules,
            policy=Policy(ceiling=self.ceiling, limits=self.limits, time_intervals=self.time_intervals),
            inventory=Inventory(hosts=HOSTS, groups={"web": frozenset({"web1", "web2", "web3"})}),
            chains=self.chains,
            ignore_labels=self.ignore_labels,
        )

    def write(self, notification: Notification) -> str:
        """What is delivered to ourselves is parsed again from where every notification lies."""
        self.notifications[notification.id] = notification
        return ""

    def new_id(self) -> str:
        return f"id{next(self.ids)}"

    def arrives(
        self, *alerts: Alert, source: str = "http://am1", received_at: datetime | None = None, truncated: int = 0
    ) -> str:
        """A notification lies in the inbox."""
        at, id = received_at or self.clock.now, self.new_id()
        self.notifications[id] = Notification(
            id=id,
            received_at=at,
            receiver="alertmend",
            group_key="g",
            external_url=source,
            truncated_alerts=truncated,
            alerts=alerts,
        )
        self.store.put(id, Envelope(received_at=at, sender="alertmanager", body=""))
        return id

    def delivers(
        self, *alerts: Alert, source: str = "http://am1", received_at: datetime | None = None
    ) -> list[Decision]:
        """A notification arrives and is decided on; its decisions."""
        before = len(self.decisions)
        self.intake.take(self.arrives(*alerts, source=source, received_at=received_at))
        return self.decisions[before:]

    def resolves(self, target: str = "web1", *, source: str = "http://am1", **labels: str) -> None:
        resolved = alert(target, status="resolved", **labels)
        from dataclasses import replace

        self.delivers(replace(resolved, ends_at=self.clock.now), source=source)

    def work(self) -> None:
        """Answer every doorbell for runs."""
        for doorbell in self.take_rung(Errand.EXECUTE):
            self.execution.execute(doorbell.about)

    def plan(self) -> None:
        """Answer every doorbell for plans."""
        for doorbell in self.take_rung(Errand.PLAN):
            self.execution.plan(doorbell.about)

    def approves(self, who: str, *, run: str | None = None) -> None:
        """A person approves the latest plan; it is decided on at once."""
        self.people.approve(run or self._latest_run, self.word(who, "yes"))
        self.keep_up()

    def rejects(self, who: str) -> None:
        """A person rejects the latest plan."""
        self.people.reject(self._latest_run, self.word(who, "no"))

    def pauses(self, comment: str, *matchers: str, minutes: int, cancel_running: bool = False) -> str:
        """A person pauses something; the id of the pause."""
        until = self.clock.now + timedelta(minutes=minutes)
        parsed = tuple(parse_matcher(matcher) for matcher in matchers)
        word = self.word("alice", comment)
        return self.people.pause(parsed, until=until, word=word, cancel_running=cancel_running).id

    def resumes(self, pause: str) -> None:
        """A person ends a pause."""
        self.people.resume(pause, self.word("alice", "done"))

    def takes_over(self, word: Word) -> None:
        """A person takes over the first incident."""
        self.people.take_over(self.incidents[0].id, word)

    def word(self, who: str, comment: str) -> Word:
        return Word(by=who, at=self.clock.now, comment=comment)

    @property
    def _latest_run(self) -> str:
        return self.runs[-1].id

    def keep_up(self) -> None:
        """A round of upkeep, and what it rang for."""
        self.upkeep.tick()
        self.upkeep.tick()
        for doorbell in self.take_rung(Errand.RECONSIDER):
            rule, _, target = doorbell.about.partition("|")
            self.intake.reconsider(Pair(rule, target))

    def take_rung(self, errand: Errand) -> list[Doorbell]:
        found = [doorbell for doorbell in self.store.rung if doorbell.errand is errand]
        self.store.rung = [doorbell for doorbell in self.store.rung if doorbell.errand is not errand]
        return found

    @property
    def decisions(self) -> list[Decision]:
        """On alerts and on incidents that came due."""
        return self._decisions(at_start=False)

    @property
    def decisions_at_start(self) -> list[Decision]:
        """On runs that were about to start."""
        return self._decisions(at_start=True)

    def _decisions(self, *, at_start: bool) -> list[Decision]:
        events = [event for event in self.ledger.events if event.event is Event.DECISION]
        bodies = [event.body for event in events if (event.run is not None) is at_start]
        return [DECISION.validate_python(body["decision"]) for body in bodies]

    @property
    def runs(self) -> list[Run]:
        return list(self.ledger.runs.values())

    @property
    def incidents(self) -> list[Incident]:
        return list(self.ledger.incidents.values())

    def guards(self, **settings: object) -> Guards:
        return Guards(**settings)  # type: ignore[arg-type]
