"""Checks of health: side by side, each within its time, each at most once at a time."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from webhook.checking import Checker, Checks, packaged

PATIENCE_SECONDS = 60


def failing() -> str:
    raise OSError("no route to host")


def test_what_is_well_says_so_in_words_and_what_raises_is_not() -> None:
    well, unwell = Checks(checkers={"a": Checker(ask=lambda: "fine"), "b": Checker(ask=failing)}).ask()
    assert (well.ok, well.words) == (True, "fine")
    assert (unwell.ok, unwell.words) == (False, "no route to host")
    assert well.latency_seconds >= 0


def test_they_are_asked_side_by_side() -> None:
    # Each answers only when all are there.
    together = threading.Barrier(5)

    def ask() -> str:
        together.wait(PATIENCE_SECONDS)
        return "met"

    checks = Checks(checkers={str(n): Checker(ask=ask, timeout_seconds=PATIENCE_SECONDS) for n in range(5)})
    assert all(checked.ok for checked in checks.ask())


@pytest.fixture
def hanging() -> Iterator[tuple[Checker, list[int]]]:
    """One that does not answer, and how often it was asked."""
    release, asked = threading.Event(), list[int]()

    def ask() -> str:
        asked.append(1)
        release.wait(PATIENCE_SECONDS)
        return "at last"

    yield Checker(ask=ask, timeout_seconds=0.05), asked
    release.set()


def test_one_that_hangs_fails_after_its_time_and_is_not_asked_once_more(hanging: tuple[Checker, list[int]]) -> None:
    checker, asked = hanging
    checks = Checks(checkers={"slow": checker, "quick": Checker(ask=lambda: "fine")})
    for _ in range(3):
        slow, quick = checks.ask()
        assert (slow.ok, quick.ok) == (False, True)
        assert slow.words.startswith("no answer for ")
    assert len(asked) == 1


def test_a_crowd_of_those_who_ask_shares_an_answer() -> None:
    asked = list[float]()

    def ask() -> str:
        asked.append(time.monotonic())
        return "fine"

    checks = Checks(checkers={"a": Checker(ask=ask)})
    began = time.monotonic()
    with ThreadPoolExecutor(50) as pool:
        list(pool.map(lambda _: checks.ask(), range(200)))
    # One for each tenth of a second that went by, however slow this machine is.
    assert len(asked) <= 2 + 10 * (time.monotonic() - began)


def test_no_answer_is_given_twice_to_who_asks_again() -> None:
    answers = iter(("fine", "still fine"))
    checks = Checks(checkers={"a": Checker(ask=lambda: next(answers))})
    assert [checks.ask()[0].words for _ in range(2)] == ["fine", "still fine"]


def latest(checks: Checks, *, patience_seconds: float = PATIENCE_SECONDS) -> dict[str, bool]:
    return {checked.name: checked.ok for checked in checks.latest(patience_seconds=patience_seconds)}


def test_the_latest_of_those_that_are_quick_is_what_they_answer_now() -> None:
    answers = iter((lambda: "fine", failing, lambda: "fine again"))
    checks = Checks(checkers={"a": Checker(ask=lambda: next(answers)())})
    assert [latest(checks) for _ in range(3)] == [{"a": True}, {"a": False}, {"a": True}]


def test_one_that_is_slow_is_not_waited_for_and_is_shown_as_it_was_until_its_time_is_over() -> None:
    goes_on = threading.Event()

    def ask() -> str:
        goes_on.wait(PATIENCE_SECONDS)
        return "fine"

    checks = Checks(checkers={"slow": Checker(ask=ask, timeout_seconds=PATIENCE_SECONDS), "b": Checker(ask=failing)})
    assert latest(checks, patience_seconds=0.2) == {"b": False}, "nothing is known of it yet"
    goes_on.set()
    assert latest(checks) == {"slow": True, "b": False}
    goes_on.clear()
    assert latest(checks, patience_seconds=0.2) == {"slow": True, "b": False}
    goes_on.set()


def test_the_latest_of_one_that_hangs_is_that_it_fails(hanging: tuple[Checker, list[int]]) -> None:
    checker, asked = hanging
    checks = Checks(checkers={"slow": checker})
    assert latest(checks, patience_seconds=0.2) == {"slow": False}
    assert len(asked) == 1


def test_an_answer_that_comes_too_late_is_none() -> None:
    goes_on = threading.Event()

    def ask() -> str:
        goes_on.wait(PATIENCE_SECONDS)
        return "fine"

    checks = Checks(checkers={"late": Checker(ask=ask, timeout_seconds=0.05)})
    assert not checks.ask()[0].ok
    [asking] = [thread for thread in threading.enumerate() if thread.name == "check late"]
    goes_on.set()
    asking.join(PATIENCE_SECONDS)
    goes_on.clear()
    assert latest(checks, patience_seconds=0) == {"late": False}
    goes_on.set()


def test_only_those_that_are_named_are_asked() -> None:
    checks = Checks(checkers={"a": Checker(ask=lambda: "fine"), "b": Checker(ask=failing)})
    assert [checked.name for checked in checks.ask(["a"])] == ["a"]


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installed package that brings checks."""
    (tmp_path / "good_check.py").write_text(
        "from webhook.checking import Checker\nCHECK = Checker(ask=lambda: 'the tape library hums')\nNONE = 1\n"
    )
    info = tmp_path / "good_check-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: good-check\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[alertmend.checks]\ntape = good_check:CHECK\nwrong = good_check:NONE\ngone = no_such_module:CHECK\n"
        "redis = good_check:CHECK\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    sys.modules.pop("good_check", None)


@pytest.mark.usefixtures("package")
def test_packages_bring_checks_of_their_own_and_broken_ones_fail_with_words() -> None:
    found = {checked.name: checked for checked in Checks(checkers=packaged()).ask()}
    assert (found["tape"].ok, found["tape"].words) == (True, "the tape library hums")
    assert found["wrong"].words == "good-check 1.0 is broken: good_check:NONE is no webhook.checking.Checker"
    assert "good-check 1.0 is broken: ModuleNotFoundError" in found["gone"].words


@pytest.mark.usefixtures("package")
def test_a_check_under_a_name_that_is_taken_is_not_asked_and_says_so() -> None:
    found = {checked.name: checked for checked in Checks(checkers=packaged(taken=("redis", "runs"))).ask()}
    assert "redis" not in found
    clash = found["redis of good-check 1.0"]
    assert (clash.ok, clash.words) == (False, "a built-in check is called redis, so that this one is not asked")
