"""A worker that lives says so, and one that hears no doorbells any more makes room for another."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from datetime import timedelta
from types import SimpleNamespace

import pytest

from webhook import worker
from webhook.errors import Unavailable
from webhook.signs import Pulse
from webhook.wiring.kept import Reload
from webhook.wiring.pulse import DEAF_BEATS, LONGEST_DECISION, Heart


@dataclass
class World:
    """Redis and the record of one worker, and whether it was ended."""

    pulses: list[Pulse] = field(default_factory=list)
    rung: int = 0
    words: str = ""
    ended: int = 0
    reload: Reload | None = None

    def pulse(self, pulse: Pulse, *, lease: timedelta) -> None:
        self.pulses.append(pulse)

    def ready(self) -> None:
        if self.words:
            raise Unavailable("the audit database", self.words)

    def end(self) -> None:
        self.ended += 1


def heart(world: World) -> Heart:
    return Heart(
        role="intake",
        owner="host:1",
        watch=world,
        ledger=world,
        revision=lambda: "r",
        reload=lambda: world.reload,
        rung=lambda: world.rung,
        end=world.end,
    )


def test_it_says_since_when_it_is_busy_and_what_is_wrong_with_the_record() -> None:
    world = World(words="disk I/O error")
    beating = heart(world)
    beating.beat()
    with beating.at_work():
        beating.beat()
    beating.beat()
    assert [pulse.busy_since is None for pulse in world.pulses] == [True, False, True]
    assert [pulse.record for pulse in world.pulses][1:] == ["the audit database is not available: disk I/O error"] * 2


def test_it_is_there_before_it_has_looked_at_the_record() -> None:
    world = World(words="a database that is away takes its time to say so")
    heart(world).start()
    assert [pulse.record for pulse in world.pulses] == [""]


def test_it_says_why_the_files_of_its_machine_cannot_be_used() -> None:
    world = World()
    for problems in ((), ("rules.yml:1:1: it is empty", "more"), ()):
        world.reload = Reload(at=1.0, sound_at=1.0, problems=problems)
        heart(world).beat()
    assert [pulse.files for pulse in world.pulses] == ["", "rules.yml:1:1: it is empty", ""]


def test_doorbells_that_a_worker_without_work_does_not_hear_end_it() -> None:
    world = World(rung=1)
    beating = heart(world)
    for _ in range(DEAF_BEATS - 1):
        beating.beat()
    assert world.ended == 0
    beating.beat()
    assert world.ended == 1


def test_one_that_is_at_work_or_hears_some_is_not_deaf() -> None:
    world = World(rung=5)
    beating = heart(world)
    with beating.at_work():
        for _ in range(3 * DEAF_BEATS):
            beating.beat()
    for _ in range(3 * DEAF_BEATS):
        with beating.at_work():
            pass
        beating.beat()
    assert world.ended == 0


def test_one_for_whom_nobody_rings_is_not_deaf() -> None:
    world = World()
    beating = heart(world)
    for _ in range(3 * DEAF_BEATS):
        beating.beat()
    assert world.ended == 0


def test_a_decision_that_does_not_come_to_its_end_is_a_hang_and_a_run_that_takes_long_is_none() -> None:
    world, later = World(), timedelta(seconds=1)
    deciding = heart(world)
    running = replace(deciding, role="runs")
    for beating in (deciding, running):
        with beating.at_work():
            assert not beating.hangs()
            beating._busy = {number: at - LONGEST_DECISION - later for number, at in beating._busy.items()}
            assert beating.hangs() is (beating is deciding)
        assert not beating.hangs()


def test_a_worker_that_hangs_gives_no_sign_of_life(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "LIFE_SECONDS", 0)
    answers = iter([False, True, True, False])
    read, write = os.pipe()
    with pytest.raises(StopIteration):
        worker._tell_life(write, SimpleNamespace(hangs=lambda: next(answers)))  # type: ignore[arg-type]
    os.close(write)
    with open(read, "rb") as signs:
        assert signs.read() == b".."
