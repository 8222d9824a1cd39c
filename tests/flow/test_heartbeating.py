"""Signs of life: to everyone who is to get one, while all is well, and to nobody else."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.flow.twin import EPOCH
from webhook.core.escalation import AlertmanagerStep, WebhookStep
from webhook.core.heartbeat import Heartbeat
from webhook.errors import Unavailable
from webhook.heartbeating import Heartbeating
from webhook.signs import Pulse
from webhook.wiring.heartbeat import ailment_of, is_starting
from webhook.wiring.pulse import LEASE
from webhook.world import Paged, Posted

BOTH = Heartbeat(
    interval=timedelta(seconds=30),
    alertmanager=AlertmanagerStep(labels={"severity": "none"}),
    webhook=WebhookStep(url="http://dead.example/ping"),
)


@dataclass
class World:
    """Alertmanagers and a pager, who take what they get or do not."""

    alerts: list[Mapping[str, Any]] = field(default_factory=list)
    pages: list[tuple[str, Mapping[str, Any]]] = field(default_factory=list)
    words: str = ""

    def post(self, *sent: Any) -> Any:
        if len(sent) == 2:
            self.pages.append(sent)
            return Paged(was_taken=not self.words, words=self.words)
        self.alerts += sent[0]
        return Posted(taken_by=() if self.words else ("http://am1",), failures={"http://am1": self.words})


def heartbeating(world: World, heartbeat: Heartbeat | None = BOTH, *, ailment: Callable[[], str] = str) -> Heartbeating:
    return Heartbeating(
        heartbeat=lambda: heartbeat,
        ailment=ailment,
        head=lambda: (7, "ab" * 32),
        alertmanagers=lambda: world,  # type: ignore[arg-type,return-value]
        pager=world,
        external_url=lambda: "http://alertmend",
        now=lambda: EPOCH + timedelta(hours=1),
        started_at=EPOCH,
    )


def pulses(*roles: str, record: str = "") -> Sequence[Pulse]:
    return [Pulse(role=r, owner="h:1", at=EPOCH, started_at=EPOCH, revision="r", record=record) for r in roles]


def test_an_alert_fires_until_four_signs_have_stayed_away_and_carries_the_head_of_the_log() -> None:
    world = World()
    heartbeating(world).send()
    (alert,) = world.alerts
    assert alert["labels"] == {"alertname": "AlertmendAlive", "alertmend": "heartbeat", "severity": "none"}
    assert (alert["startsAt"], alert["endsAt"]) == ("2026-01-31T12:00:00.000000Z", "2026-01-31T13:02:00.000000Z")
    assert alert["annotations"]["head"] == f"7 {'ab' * 32}"


def test_a_url_is_posted_to_and_told_the_head_of_the_log() -> None:
    world = World()
    heartbeating(world).send()
    ((url, body),) = world.pages
    assert url == "http://dead.example/ping"
    assert (body["status"], body["seq"], body["hash"]) == ("ok", 7, "ab" * 32)


def test_when_it_is_not_well_nobody_gets_one() -> None:
    world = World()
    heartbeating(world, ailment=lambda: "no runs worker was seen lately").send()
    assert (world.alerts, world.pages) == ([], [])


def test_without_a_heartbeat_nothing_is_sent() -> None:
    world = World()
    heartbeating(world, None).send()
    assert (world.alerts, world.pages) == ([], [])


def test_one_that_does_not_arrive_is_an_error_with_words() -> None:
    with pytest.raises(Unavailable, match="connection refused"):
        heartbeating(World(words="connection refused")).send()


def test_a_file_with_the_url_is_read_each_time(tmp_path: Path) -> None:
    world, file = World(), tmp_path / "url"
    sender = heartbeating(world, Heartbeat(webhook=WebhookStep(url_file=str(file))))
    with pytest.raises(Unavailable, match="the file with the URL cannot be read"):
        sender.send()
    for url in ("http://one", "http://two"):
        file.write_text(f"{url}\n")
        sender.send()
    assert [url for url, _ in world.pages] == ["http://one", "http://two"]


def test_it_is_well_while_a_worker_of_each_kind_lives_and_can_write_the_record() -> None:
    assert ailment_of(pulses("intake", "runs")) == ""
    assert ailment_of(pulses("intake")) == "no runs worker was seen lately"
    assert ailment_of(pulses("intake", "runs", record="disk full")) == "intake: disk full; runs: disk full"


@dataclass
class Seen:
    """Who said that they live."""

    roles: tuple[str, ...] = ()

    def pulses(self) -> Sequence[Pulse]:
        return pulses(*self.roles)


def test_who_may_have_yet_to_say_that_they_live_are_waited_for() -> None:
    soon, too_late = EPOCH + LEASE - timedelta(seconds=1), EPOCH + LEASE
    assert is_starting(Seen(("intake",)), since=EPOCH, now=soon)
    assert not is_starting(Seen(("intake", "runs")), since=EPOCH, now=soon)
    assert not is_starting(Seen(("intake",)), since=EPOCH, now=too_late)
