"""kill_runaway_process.yml on real processes, judged by whether they live."""

from __future__ import annotations

import getpass
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.playbooks.stage import PlayEnd, Stage, wait_until

#: A program of one's own: the base name of a file is what is looked for.
PROGRAM = "alertmend-busy"

Start = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts processes of the program `alertmend-busy`; they are gone afterwards."""
    program = tmp_path / PROGRAM
    shutil.copy(shutil.which("bash") or "/bin/bash", program)
    started = []

    def begin(script: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen([program, "-c", script], stdout=subprocess.PIPE)
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        return process

    yield begin
    for process in started:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


BUSY = "echo ready; while :; do :; done"
STUBBORN = f"trap '' TERM; {BUSY}"
IDLE = "echo ready; read -t 1000 <> <(:)"


def play(stage: Stage, *options: str, **variables: object) -> PlayEnd:
    sound = {"program": PROGRAM, "user": getpass.getuser(), "cpu_percent": 5, "min_age": 0, "sample": 1}
    return stage.play("kill_runaway_process.yml", {**sound, **variables}, *options)


def test_it_ends_the_busy_one_and_leaves_the_idle_one_and_a_second_run_changes_nothing(
    stage: Stage, start: Start
) -> None:
    busy, idle = start(BUSY), start(IDLE)

    first = play(stage)
    second = play(stage)

    assert (first.return_code, first.changed) == (0, 1), first.output
    assert busy.wait(60) == -15
    assert idle.poll() is None
    assert first.result["ended"] == [{"pid": busy.pid, "signal": "TERM"}]
    assert (second.return_code, second.changed) == (0, 0), second.output
    assert second.result["ended"] == []


def test_what_does_not_listen_is_killed_after_the_grace(stage: Stage, start: Start) -> None:
    stubborn = start(STUBBORN)

    end = play(stage, grace=1)

    assert end.return_code == 0, end.output
    assert stubborn.wait(60) == -9
    assert end.result["ended"] == [{"pid": stubborn.pid, "signal": "KILL"}]


def test_check_mode_names_it_and_leaves_it(stage: Stage, start: Start) -> None:
    busy = start(BUSY)

    end = play(stage, "--check", memory_mib=1, cpu_percent=None)

    assert (end.return_code, end.changed) == (0, 1), end.output
    assert str(busy.pid) in str(end.result["found"])
    assert end.result["ended"] == []
    assert busy.poll() is None


def test_many_that_run_away_are_left_to_a_person(stage: Stage, start: Start) -> None:
    both = [start(BUSY), start(BUSY)]

    end = play(stage)

    assert (end.return_code, end.changed) == (2, 0), end.output
    assert "2 processes run away, and at_most is 1" in end.output
    assert all(process.poll() is None for process in both)


def test_one_that_is_started_again_has_not_been_ended(stage: Stage, start: Start, tmp_path: Path) -> None:
    program, stop = tmp_path / PROGRAM, tmp_path / "stop"
    guardian = subprocess.Popen(
        ["sh", "-c", f"while [ ! -e {stop} ]; do {program} -c 'while :; do :; done'; done"], start_new_session=True
    )
    try:
        wait_until(lambda: subprocess.run(["pgrep", "-f", str(program)], capture_output=True).returncode == 0)

        end = play(stage)

        assert end.return_code == 2, end.output
        assert "1 run away again: something starts them" in end.output
    finally:
        stop.touch()
        subprocess.run(["pkill", "-KILL", "--session", str(guardian.pid)], check=False)
        guardian.wait()


def test_values_that_cannot_be_are_refused(stage: Stage) -> None:
    sound = {"program": "convert", "user": "www-data", "cpu_percent": 90}
    wrong: dict[str, list[object]] = {
        "program": ["-9", "", None, "/usr/bin/convert", "a b", "$(id)", "sshd", "systemd", "alertmend"],
        "user": ["-u", "", None, "Root", "nobody-that-exists"],
        "cpu_percent": [0, None, "much"],
        "memory_mib": [0, "all"],
        "at_most": [0, 21],
        "grace": [-1, 121],
        "sample": [0, 61],
        "min_age": [-1],
    }

    cases = [{**sound, name: value} for name, values in wrong.items() for value in values]
    stage.refusals("kill_runaway_process.yml", cases)
