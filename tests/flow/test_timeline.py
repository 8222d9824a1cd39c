"""Virtual time: it passes only when everyone waits, and always in the same order."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

import pytest

from webhook.rehearsal.timeline import Timeline

START = datetime(2026, 1, 5, 12, tzinfo=UTC)


def seconds(number: float) -> timedelta:
    return timedelta(seconds=number)


@pytest.fixture
def timeline() -> Timeline:
    return Timeline(START)


def test_what_is_to_happen_happens_at_its_time_and_in_order(timeline: Timeline) -> None:
    seen: list[tuple[str, timedelta]] = []
    for name, at in [("late", 30), ("early", 10), ("also early", 10)]:
        timeline.at(START + seconds(at), lambda name=name: seen.append((name, timeline() - START)))
    timeline.go_to(START + seconds(20))
    assert seen == [("early", seconds(10)), ("also early", seconds(10))]
    assert timeline() == START + seconds(20) and timeline.next_at == START + seconds(30)
    timeline.go_to(START + seconds(40))
    assert seen[2:] == [("late", seconds(30))] and timeline.next_at is None


def test_work_that_waits_lets_others_go_on(timeline: Timeline) -> None:
    seen: list[str] = []

    def work(name: str, *spans: float) -> None:
        for span in spans:
            seen.append(f"{name} {(timeline() - START).seconds}")
            timeline.wait(seconds(span))
        seen.append(f"{name} ends {(timeline() - START).seconds}")

    timeline.start(lambda: work("a", 10, 10), name="a")
    timeline.start(lambda: work("b", 5, 20), name="b")
    timeline.go_to(START + seconds(60))
    assert seen == ["a 0", "b 0", "b 5", "a 10", "a ends 20", "b ends 25"]


def test_work_may_start_other_work(timeline: Timeline) -> None:
    seen: list[str] = []

    def outer() -> None:
        timeline.wait(seconds(1))
        timeline.start(lambda: seen.append(timeline.name), name="inner")
        timeline.wait(seconds(1))
        seen.append(timeline.name)

    timeline.start(outer, name="outer")
    timeline.go_to(START + seconds(5))
    assert seen == ["inner", "outer"]


def test_an_error_comes_out_where_the_time_is_moved(timeline: Timeline) -> None:
    def broken() -> None:
        timeline.wait(seconds(1))
        raise ZeroDivisionError

    timeline.start(broken, name="broken")
    with pytest.raises(ZeroDivisionError):
        timeline.go_to(START + seconds(5))


def test_what_still_waits_is_ended_and_leaves_no_thread(timeline: Timeline) -> None:
    ended: list[str] = []

    def work() -> None:
        try:
            timeline.wait(seconds(100))
        except Exception:
            pytest.fail("whoever handles errors must not hold it up")
        finally:
            ended.append("ended")

    before = threading.active_count()
    timeline.start(work, name="long")
    timeline.start(work, name="never begun")
    timeline.go_to(START)
    timeline.start(work, name="not yet begun")
    timeline.close()
    assert ended == ["ended", "ended"]
    assert threading.active_count() == before


def test_only_what_was_started_can_wait(timeline: Timeline) -> None:
    with pytest.raises(AssertionError):
        timeline.wait(seconds(1))


def test_the_past_is_now(timeline: Timeline) -> None:
    seen: list[datetime] = []
    timeline.at(START - seconds(10), lambda: seen.append(timeline()))
    timeline.go_to(START - seconds(5))
    assert timeline() == START and seen == []
    timeline.go_to(START)
    assert seen == [START]
