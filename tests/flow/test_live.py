"""What a run says is told while it says it and kept when it ends, and nothing that goes wrong there stops the run."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest

from tests.core.test_transcript import done, printed
from tests.flow.scene import Scene, alert, rule
from tests.flow.twin import MemoryStore
from webhook.core.run import Outcome
from webhook.core.transcript import Kind, Passage, Position, Told
from webhook.errors import Unavailable
from webhook.live import Live
from webhook.world import PlaybookEnd, PlaybookJob, PlaybookResult


@dataclass
class Ear(MemoryStore):
    """A store that remembers each telling, and is away when a test says so."""

    tellings: list[list[int]] = field(default_factory=list)
    left_out: list[int] = field(default_factory=list)
    is_away: bool = False

    def tell(self, run: str, events: Sequence[Told], *, left_out: Sequence[Position]) -> None:
        if self.is_away:
            raise Unavailable("Redis")
        self.tellings.append([told.position.number for told in events])
        self.left_out += [position.number for position in left_out]
        super().tell(run, events, left_out=left_out)

    @property
    def told_numbers(self) -> list[int]:
        return [number for telling in self.tellings for number in telling]


def test_what_is_said_is_told_once_and_in_order() -> None:
    ear = Ear()
    live = Live(store=ear)
    hear = live.hear("r1")
    for _ in range(3):
        hear(printed())
    live.flush("r1")
    hear(printed())
    live.flush("r1")
    live.flush("r1")
    assert ear.tellings == [[1, 2, 3], [4]]


def test_what_cannot_be_told_is_told_later() -> None:
    ear = Ear(is_away=True)
    live = Live(store=ear)
    hear = live.hear("r1")
    hear(printed())
    with pytest.raises(Unavailable):
        live.flush("r1")
    hear(printed())
    ear.is_away = False
    live.flush("r1")
    assert ear.tellings == [[1, 2]]


def test_what_waits_to_be_told_is_bounded_and_both_ends_are_told() -> None:
    ear = Ear(is_away=True)
    live = Live(store=ear)
    hear = live.hear("r1")
    for _ in range(100):
        hear(printed("x" * 50_000))
    ear.is_away = False
    live.flush("r1")
    assert ear.told_numbers == [passage.number for passage in live.passages("r1")]
    assert len(ear.told_numbers) <= 5 and ear.told_numbers[0] == 1 and ear.told_numbers[-1] == 100
    # What was never told needs not be taken back
    assert ear.left_out == []


def test_what_is_left_out_after_it_was_told_is_taken_back() -> None:
    ear = Ear()
    live = Live(store=ear)
    hear = live.hear("r1")
    for _ in range(100):
        hear(printed("x" * 50_000))
        live.flush("r1")
    live.flush("r1")
    kept = {passage.number for passage in live.passages("r1")}
    assert ear.told_numbers == list(range(1, 101))
    assert set(ear.left_out) == set(range(1, 101)) - kept and len(ear.left_out) == len(set(ear.left_out))


def test_several_runs_are_told_by_one_thread_while_they_talk() -> None:
    ear = Ear()
    live = Live(store=ear)
    over = threading.Event()
    teller = threading.Thread(target=live.keep_telling, args=(over,))
    teller.start()

    def talk(run: str) -> None:
        hear = live.hear(run)
        for _ in range(200):
            hear(printed())

    talkers = [threading.Thread(target=talk, args=(f"r{number}",)) for number in range(4)]
    for thread in talkers:
        thread.start()
    for thread in talkers:
        thread.join()
    for number in range(4):
        live.flush(f"r{number}")
    over.set()
    teller.join()
    assert sorted(ear.told_numbers) == sorted([*range(1, 201)] * 4)
    # Far fewer tellings than there was said
    assert len(ear.tellings) < 200


def test_a_store_that_is_away_does_not_end_the_telling() -> None:
    ear = Ear(is_away=True)
    live, over = Live(store=ear), threading.Event()
    told = threading.Event()
    teller = threading.Thread(target=live.keep_telling, args=(over,))
    teller.start()
    live.hear("r1")(printed())

    class Back(Ear):
        def tell(self, *arguments: Any, **more: Any) -> None:
            super().tell(*arguments, **more)
            told.set()

    live.store = Back()
    assert told.wait(20)
    over.set()
    teller.join()


# ---------------------------------------------------------------------------------------------------------------------
# In a run

SAID = (printed("PLAY\n"), done("Restart", diff="-a\n+b"), printed("RECAP\n"))


def test_what_a_playbook_said_is_on_the_record_with_the_end_of_its_run() -> None:
    scene = Scene()
    scene.playbooks.says = SAID
    scene.delivers(alert())
    scene.work()
    [run] = scene.runs
    assert [task.name for task in run.task_results] == ["Restart"]
    assert [passage.text for passage in scene.ledger.transcripts[run.id]] == ["PLAY\n", "", "RECAP\n"]
    assert scene.execution.live.passages(run.id) == ()


def test_everything_is_told_before_the_end_is() -> None:
    scene = Scene()
    scene.playbooks.says = SAID
    scene.delivers(alert())
    scene.work()
    [run] = scene.runs
    ids = [str(position) for position in scene.store.streams[run.id].events]
    assert ids == ["0-2", "0-3", "1-1", "1-2", "1-3", "5-1"]


def test_a_run_that_waits_for_the_resolve_keeps_what_it_said() -> None:
    scene = Scene(rules=(rule(resolve_within=timedelta(minutes=1)),))
    scene.playbooks.says = SAID
    scene.delivers(alert())
    scene.work()
    scene.resolves()
    [run] = scene.runs
    assert run.outcome is Outcome.FIXED and run.proving_at is not None
    assert len(run.task_results) == 1
    assert len(scene.ledger.transcripts[run.id]) == 3
    ids = [str(position) for position in scene.store.streams[run.id].events]
    assert ids[-2:] == ["2-1", "5-1"]


def test_a_store_that_is_away_while_it_talks_does_not_stop_a_playbook() -> None:
    ear = Ear()
    scene = Scene(store=ear)
    scene.playbooks.says = SAID

    def acts(job: PlaybookJob) -> PlaybookResult:
        ear.is_away = True
        with pytest.raises(Unavailable):
            scene.execution.live.flush(job.run)
        ear.is_away = False
        return PlaybookResult(end=PlaybookEnd.OK, reason="done", return_code=0)

    scene.playbooks.does = acts
    scene.delivers(alert())
    scene.work()
    [run] = scene.runs
    assert run.outcome is Outcome.UNPROVED
    assert ear.told_numbers == [1, 2, 3]


def test_of_a_run_that_was_lost_is_kept_what_was_heard_of_it() -> None:
    scene = Scene()
    scene.playbooks.says = SAID

    class Vanished(BaseException):
        """As when the process is killed."""

    def vanishes(job: PlaybookJob) -> PlaybookResult:
        scene.execution.live.flush(job.run)
        raise Vanished

    scene.playbooks.does = vanishes
    scene.delivers(alert())
    with pytest.raises(Vanished):
        scene.work()
    scene.miss_workers()
    [run] = scene.runs
    assert run.outcome is Outcome.LOST
    assert [task.name for task in run.task_results] == ["Restart"]
    assert len(scene.ledger.transcripts[run.id]) == 3
    told = [event.kind for event in scene.store.streams[run.id].events.values()]
    assert told[-1] is Kind.END


def test_a_run_that_never_acted_leaves_no_transcript() -> None:
    scene = Scene(rules=(rule(probe=True),))
    scene.delivers(alert())
    scene.work()
    assert scene.runs[0].outcome is Outcome.NOT_NEEDED
    assert scene.ledger.transcripts == {}


def test_passages_are_numbered_by_who_keeps_them() -> None:
    live = Live(store=Ear())
    live.hear("r1")(Passage(at=printed().at, text="x", number=99))
    assert [passage.number for passage in live.passages("r1")] == [1]
