"""What a run says: numbered, bounded, and the same whenever and wherever one begins to listen."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook.core.run import Outcome, Run, RunState, TaskResult, TaskStatus
from webhook.core.transcript import (
    BEGINNING,
    OUTPUT_LIMIT_CHARACTERS,
    TASKS_LIMIT_CHARACTERS,
    Kind,
    Passage,
    Position,
    Told,
    Transcript,
    parse_position,
    task_results,
    tell,
    tell_all,
    tell_state,
    text_of,
    with_gaps,
)

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def printed(text: str = "line\n") -> Passage:
    return Passage(at=NOON, text=text)


def done(name: str = "Look", diff: str = "") -> Passage:
    result = TaskResult(name=name, host="web1", status=TaskStatus.OK, started_at=NOON, duration_seconds=1.0, diff=diff)
    return Passage(at=NOON, task=result)


def transcript(*passages: Passage) -> Transcript:
    found = Transcript()
    for passage in passages:
        found.add(passage)
    return found


def run(**settings: object) -> Run:
    return Run(
        id="r1",
        incident="i1",
        rule="restart-web",
        target="web1",
        step=1,
        playbook="restart.yml",
        attempt=1,
        alerts=("f1",),
        created_at=NOON,
        **{"state": RunState.QUEUED, **settings},  # type: ignore[arg-type]
    )


FINISHED = run(
    state=RunState.FINISHED,
    outcome=Outcome.FIXED,
    reason="status 200",
    started_at=NOON + MINUTE,
    proving_at=NOON + 2 * MINUTE,
    finished_at=NOON + 3 * MINUTE,
)
passages = st.lists(
    st.one_of(
        st.text(max_size=20).map(printed),
        st.just(printed("x" * 50_000)),
        st.just(done()),
        st.just(done(diff="d" * 8_000)),
    ),
    max_size=60,
)


# ---------------------------------------------------------------------------------------------------------------------
# What is kept


def test_what_is_little_is_kept_whole() -> None:
    found = transcript(printed("a"), done(), printed("b"))
    assert [passage.number for passage in found.passages] == [1, 2, 3]
    assert text_of(found.passages) == "ab"
    assert [task.name for task in task_results(found.passages)] == ["Look"]


@given(passages)
def test_what_is_much_is_kept_at_both_ends_and_bounded(said: list[Passage]) -> None:
    found = Transcript()
    kept: dict[int, Passage] = {}
    for passage in said:
        numbered, left_out = found.add(passage)
        kept[numbered.number] = numbered
        for old in left_out:
            del kept[old.number]
    # What it says was left out is exactly what is not there
    assert found.passages == tuple(kept.values())
    sizes = [(bool(passage.task), passage.characters) for passage in found.passages]
    largest = max((size for _, size in sizes), default=0)
    assert sum(size for is_task, size in sizes if not is_task) <= OUTPUT_LIMIT_CHARACTERS + largest
    assert sum(size for is_task, size in sizes if is_task) <= TASKS_LIMIT_CHARACTERS + largest
    if said:
        assert found.passages[0].number == 1 or said[0].characters > OUTPUT_LIMIT_CHARACTERS // 2
        assert found.passages[-1].number == len(said)


def test_however_much_is_printed_what_became_of_tasks_is_kept() -> None:
    found = transcript(*(passage for number in range(100) for passage in (printed("x" * 50_000), done(str(number)))))
    assert [task.name for task in task_results(found.passages)] == [str(number) for number in range(100)]


def test_text_says_where_some_of_it_is_missing() -> None:
    found = [replace(printed(text), number=number) for text, number in (("a\n", 1), ("b\n", 5), ("c\n", 6))]
    assert text_of(found) == "a\n\n… [3 events left out by alertmend] …\nb\nc\n"


# ---------------------------------------------------------------------------------------------------------------------
# What is told


def test_a_run_is_told_from_its_record_in_order() -> None:
    found = tell_all(FINISHED, transcript(printed("a"), done()).passages)
    assert [(str(told.position), told.kind.value) for told in found] == [
        ("0-2", "state"),
        ("0-3", "state"),
        ("1-1", "output"),
        ("1-2", "task"),
        ("2-1", "state"),
        ("5-1", "end"),
    ]
    assert found[-1].data == {
        "at": NOON + 3 * MINUTE,
        "state": "finished",
        "outcome": "fixed",
        "reason": "status 200",
    }


def test_a_run_that_never_began_is_told_without_it() -> None:
    cancelled = run(state=RunState.FINISHED, outcome=Outcome.CANCELLED, finished_at=NOON)
    assert [told.data["state"] for told in tell_all(cancelled, [])] == ["queued", "finished"]


@pytest.mark.parametrize(
    "now",
    [
        run(),
        run(state=RunState.RUNNING, started_at=NOON),
        run(state=RunState.PROVING, started_at=NOON, proving_at=NOON),
        FINISHED,
    ],
    ids=lambda now: now.state.value,
)
def test_what_is_told_when_it_happens_is_what_is_told_afterwards(now: Run) -> None:
    assert tell_state(now) == tell_all(now, [])[-1]
    assert tell_state(now).data["state"] == now.state


@given(passages)
def test_wherever_one_begins_to_listen_one_hears_the_rest_without_gap_or_repeat(said: list[Passage]) -> None:
    events = tell_all(FINISHED, transcript(*said).passages)
    whole = list(with_gaps(events, after=BEGINNING))
    positions = [told.position for told in whole]
    assert positions == sorted(set(positions))
    _holds_without_a_hole(whole, len(said))
    for place, last in enumerate(positions):
        rest = [told for told in events if told.position > last]
        assert list(with_gaps(rest, after=last)) == whole[place + 1 :]


def _holds_without_a_hole(events: list[Told], said: int) -> None:
    heard = 0
    for told in events:
        if told.position.phase == 1:
            heard += told.data["left_out"] if told.kind is Kind.GAP else 1  # type: ignore[operator]
            assert heard == told.position.number
    assert heard == said


def test_what_was_left_out_while_nobody_listened_is_told_to_have_been() -> None:
    late = [tell(replace(printed(), number=number)) for number in (7, 8)]
    found = list(with_gaps(late, after=Position(1, 3)))
    assert [(str(told.position), told.kind) for told in found] == [
        ("1-6", Kind.GAP),
        ("1-7", Kind.OUTPUT),
        ("1-8", Kind.OUTPUT),
    ]
    assert found[0].data == {"left_out": 3}


# ---------------------------------------------------------------------------------------------------------------------
# Ids


@given(st.integers(0, 999), st.integers(0, 10**18 - 1))
def test_an_id_is_read_as_it_is_written(phase: int, number: int) -> None:
    assert parse_position(str(Position(phase, number))) == Position(phase, number)


@pytest.mark.parametrize(
    "id", ["", "1", "1-", "-1", "1-1-1", "a-1", "1-b", " 1-1", "1-1\n", "-1-1", "²-1", "1" * 30 + "-1"]
)
def test_what_is_no_id_is_none(id: str) -> None:
    assert parse_position(id) is None
