"""free_disk_space.yml on a file system of its own, judged by what is left on it."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.playbooks.stage import PlayEnd, Stage

MIB = 1 << 20
DAY = 86400


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """Where a file system of 20 MiB is mounted."""
    place = tmp_path / "disk"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=20m,nr_inodes=500", "tmpfs", place], check=True)
    # A file that is mapped is known by its number alone: those of a new file system are the numbers of many another.
    for _ in range(50_000):
        (place / "number").touch()
        (place / "number").unlink()
    yield place
    subprocess.run(["umount", place], check=True)


def write(file: Path, *, mib: float, days: float = 10) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(b"x" * int(mib * MIB))
    os.utime(file, (time.time() - days * DAY,) * 2)
    return file


def play(stage: Stage, disk: Path, *options: str, path: Path | None = None, **variables: object) -> PlayEnd:
    sound = {"path": str(disk), "free_percent": 50, "log_folders": [str(disk / "log")], "package_cache": False}
    return stage.play("free_disk_space.yml", {**sound, **variables}, *options, path=path)


def names(folder: Path) -> set[str]:
    return {file.name for file in folder.iterdir()}


def test_the_oldest_rotated_logs_go_until_there_is_room_and_a_second_run_changes_nothing(
    stage: Stage, disk: Path
) -> None:
    log = disk / "log"
    write(log / "app.log", mib=6, days=0)
    for age in (1, 2, 3, 4):
        write(log / f"app.log.{age}.gz", mib=2, days=age * 10)
    write(log / "fresh.log.1", mib=1, days=0.5)

    first = play(stage, disk)
    second = play(stage, disk)

    assert first.return_code == 0, first.output
    assert names(log) == {"app.log", "app.log.1.gz", "fresh.log.1"}
    assert first.result["freed_bytes"] == {"logs": 6 * MIB}
    assert (second.return_code, second.changed) == (0, 0), second.output


def test_what_is_open_stays_and_so_does_what_a_link_leads_to(stage: Stage, disk: Path, tmp_path: Path) -> None:
    elsewhere = write(tmp_path / "elsewhere/precious.1", mib=1, days=100)
    held = write(disk / "log/held.log.1", mib=5, days=90)
    write(disk / "log/loose.log.1", mib=8, days=80)
    (disk / "log/link.1").symlink_to(elsewhere)
    (disk / "log/folder").symlink_to(elsewhere.parent)

    with held.open():
        end = play(stage, disk)

    assert end.return_code == 0, end.output
    assert end.result["in_use"] == [str(held)]
    assert end.result["removed"] == [str(disk / "log/loose.log.1")]
    assert held.exists()
    assert elsewhere.exists()


def test_check_mode_says_what_would_go_and_removes_nothing(stage: Stage, disk: Path) -> None:
    old = write(disk / "log/app.log.1", mib=15)

    end = play(stage, disk, "--check")

    assert (end.return_code, end.changed) == (0, 1), end.output
    assert end.result["freed_bytes"] == {"logs": 15 * MIB}
    assert old.exists()


def test_it_fails_when_there_is_too_little_room_still(stage: Stage, disk: Path) -> None:
    write(disk / "log/app.log", mib=15, days=0)
    write(disk / "log/app.log.1", mib=2)

    end = play(stage, disk)

    assert end.return_code == 2, end.output
    assert "has 25.0% free, less than 50%, after all that may go is gone (1 removed, 0 in use)" in end.output
    assert end.result["freed_bytes"] == {"logs": 2 * MIB}


def test_old_releases_go_and_the_current_the_running_and_the_newest_stay(stage: Stage, disk: Path) -> None:
    releases = disk / "app/releases"
    for number in range(1, 8):
        write(releases / f"r{number}/app.bin", mib=2)
        os.utime(releases / f"r{number}", (time.time() - (10 - number) * DAY,) * 2)
    (disk / "app/current").symlink_to("releases/r2")

    with (releases / "r3/app.bin").open():
        end = play(stage, disk, free_percent=60, release_folders=[str(releases)], release_keep=2)

    assert end.return_code == 0, end.output
    assert names(releases) == {"r2", "r3", "r6", "r7"}
    assert end.result["freed_bytes"] == {"releases": 6 * MIB}


def test_the_package_cache_and_the_journal_go_before_any_log(stage: Stage, disk: Path, tmp_path: Path) -> None:
    write(disk / "cache/archives/thing_1_all.deb", mib=6)
    (disk / "cache/archives/partial").mkdir()
    write(disk / "log/app.log.1", mib=6)

    end = play(stage, disk, package_cache=True, path=apt_with_its_cache_in(disk / "cache", tmp_path))

    assert end.return_code == 0, end.output
    assert end.result["freed_bytes"] == {"package_cache": 6 * MIB}
    assert names(disk / "cache/archives") <= {"partial", "lock"}
    assert names(disk / "log") == {"app.log.1"}


def apt_with_its_cache_in(folder: Path, tmp_path: Path) -> Path:
    """A folder with the real apt-get and apt-config, told of another cache."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("apt-get", "apt-config"):
        real = shutil.which(name)
        (programs / name).write_text(f'#!/bin/sh\nexec {real} -o Dir::Cache={folder} "$@"\n')
        (programs / name).chmod(0o755)
    return programs


def test_values_that_cannot_be_are_refused(stage: Stage, disk: Path, tmp_path: Path) -> None:
    sound: dict[str, object] = {"path": str(disk), "package_cache": False}
    wrong: dict[str, list[object]] = {
        "path": ["var", "", None, "/var/../etc", "/proc", "/x\n", "-x", str(tmp_path), "/{{ 1 }}"],
        "free_percent": [0, 91],
        "journal_keep_mib": [1],
        "log_folders": [["/var"], ["/etc/ssl"], ["/usr/share"], ["/var/log/.."], ["var/log"], "/"],
        "log_patterns": [["*"], ["*.*"], ["../*.gz"], [""]],
        "log_min_age_hours": [0],
        "release_folders": [["/srv"], ["/root/x"]],
        "release_keep": [0],
    }

    cases = [{**sound, name: value} for name, values in wrong.items() for value in values]
    stage.refusals("free_disk_space.yml", cases)
