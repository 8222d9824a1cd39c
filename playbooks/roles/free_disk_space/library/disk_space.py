#!/usr/bin/python
# Licensed under the Apache License, Version 2.0
"""Removes what can be done without, in a given order, until a file system has room again."""

from __future__ import annotations

import fnmatch
import os
import re
import shutil
import stat
import time
from typing import Any, Callable, Iterator

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: disk_space
short_description: Remove journals, package caches, rotated logs and old releases until there is room
description:
  - Takes the steps in the order journal, package cache, rotated logs (oldest first), releases (oldest first).
  - Stops as soon as enough is free. With enough free at the start, or without any step, it only measures.
  - Removes nothing that a process has open, mapped, or as its folder, and nothing on another file system.
options:
  path:
    description: Where the file system is mounted.
    type: str
    required: true
  free_percent:
    description: Enough, of the blocks and of the inodes.
    type: int
    required: true
  journal_keep_mib:
    description: Size that the journal is cut down to. Without it, the journal is left alone.
    type: int
  package_cache:
    description: Whether to remove packages that were downloaded.
    type: bool
    default: false
  log_folders:
    description: Folders with rotated logs.
    type: list
    elements: str
    default: []
  log_patterns:
    description: Names of rotated logs.
    type: list
    elements: str
    default: []
  log_min_age_hours:
    description: Hours since a rotated log was last written.
    type: int
    default: 24
  release_folders:
    description: Folders with a folder for each release.
    type: list
    elements: str
    default: []
  release_keep:
    description: How many of the newest releases stay.
    type: int
    default: 3
author: alertmend (@alertmend)
attributes:
  check_mode:
    support: full
    description: Removes nothing, and says how much it would free; of the journal and the package cache an estimate.
"""

RETURN = r"""
free_percent:
  description: What is free now, of the blocks or of the inodes, whichever is less. In check mode what would be.
  type: float
  returned: always
is_enough:
  description: Whether that is what was asked for.
  type: bool
  returned: always
freed:
  description: Bytes freed, by step.
  type: dict
  returned: always
removed:
  description: Files and releases that were removed; the first hundred.
  type: list
  elements: str
  returned: always
in_use:
  description: Files and releases that are in use, and stayed therefore; the first hundred.
  type: list
  elements: str
  returned: always
"""

#: More names than this help nobody.
MAX_NAMED = 100
MIB = 1 << 20


class Room:
    """A file system, and what was freed on it. In check mode what would be freed counts as free."""

    def __init__(self, path: str, wanted_percent: int, pretend: bool) -> None:
        self.path = path
        self.wanted_percent = wanted_percent
        self.pretend = pretend
        self.device = os.stat(path).st_dev
        self.freed: dict[str, int] = {}
        self.pretended_inodes = 0
        self.removed: list[str] = []
        self.in_use: list[str] = []

    def free_percent(self) -> float:
        """What is free of the blocks or of the inodes, whichever is less."""
        found = os.statvfs(self.path)
        pretended = sum(self.freed.values()) if self.pretend else 0
        # As df counts: what is reserved for root is neither used nor free.
        used = (found.f_blocks - found.f_bfree) * found.f_frsize
        usable = used + found.f_bavail * found.f_frsize
        blocks = (found.f_bavail * found.f_frsize + pretended) * 100 / max(usable, 1)
        if not found.f_files:
            return blocks
        inodes = found.f_ffree + (self.pretended_inodes if self.pretend else 0)
        return min(blocks, inodes * 100 / found.f_files)

    def is_enough(self) -> bool:
        """Whether to stop."""
        return self.free_percent() >= self.wanted_percent

    def holds(self, path: str) -> bool:
        """Whether a folder is there, is no link, and lies on this file system."""
        try:
            found = os.lstat(path)
        except OSError:
            return False
        return stat.S_ISDIR(found.st_mode) and found.st_dev == self.device and os.path.realpath(path) == path

    def note(self, step: str, size: int, name: str) -> None:
        """Account for something removed."""
        self.freed[step] = self.freed.get(step, 0) + size
        self.pretended_inodes += 1
        self.removed.append(name)


class Use:
    """What all processes have open."""

    def __init__(self) -> None:
        self.files: set[tuple[int, int]] = set()
        # Where a mapped file lies is told by some file systems in a way that does not compare: its number has to do.
        self.mapped: set[int] = set()
        for pid in filter(str.isdigit, os.listdir("/proc")):
            self._look(f"/proc/{pid}")

    def has(self, found: os.stat_result) -> bool:
        """Whether any process has it."""
        return (found.st_dev, found.st_ino) in self.files or found.st_ino in self.mapped

    def has_any_below(self, folder: str) -> bool:
        """Whether any process has the folder or anything in it."""
        for top, _, names, descriptor in os.fwalk(folder):
            if self.has(os.fstat(descriptor)):
                return True
            for name in names:
                if self.has(os.lstat(os.path.join(top, name))):
                    return True
        return False

    def _look(self, process: str) -> None:
        try:
            links = [f"{process}/{name}" for name in ("cwd", "root", "exe")]
            links += [f"{process}/fd/{name}" for name in os.listdir(f"{process}/fd")]
            with open(f"{process}/maps", encoding="utf-8", errors="replace") as file:
                self.mapped.update(int(fields[4]) for fields in map(str.split, file) if fields[4] != "0")
        except OSError:
            # It ended while it was looked at.
            return
        for link in links:
            try:
                found = os.stat(link)
            except OSError:
                continue
            self.files.add((found.st_dev, found.st_ino))


def cut_journal(room: Room, module: AnsibleModule, keep_mib: int) -> None:
    """Remove the oldest of the journal."""
    program = module.get_bin_path("journalctl")
    folder = next(filter(room.holds, ("/var/log/journal", "/run/log/journal")), None)
    if program is None or folder is None:
        return
    before = size_below(folder)
    if not room.pretend:
        module.run_command([program, "--quiet", f"--vacuum-size={keep_mib}M"], check_rc=True)
        after = size_below(folder)
    else:
        after = min(before, keep_mib * MIB)
    if after < before:
        room.note("journal", before - after, folder)


def empty_package_cache(room: Room, module: AnsibleModule) -> None:
    """Remove packages that were downloaded."""
    folder, clean = package_cache(module)
    if folder is None or not room.holds(folder):
        return
    before = size_below(folder)
    if not room.pretend:
        module.run_command(clean, check_rc=True)
        after = size_below(folder)
    else:
        after = before - size_below(folder, "*.deb", "*.rpm")
    if after < before:
        room.note("package_cache", before - after, folder)


def package_cache(module: AnsibleModule) -> tuple[str | None, list[str]]:
    """Where packages are kept, and the command that removes them."""
    apt = module.get_bin_path("apt-get")
    if apt is not None:
        _, out, _ = module.run_command(["apt-config", "shell", "folder", "Dir::Cache::archives/d"], check_rc=True)
        told = re.search(r"folder='([^']+)'", out)
        return (told.group(1).rstrip("/") if told else None), [apt, "clean"]
    for name in ("dnf", "yum"):
        program = module.get_bin_path(name)
        if program is not None:
            return f"/var/cache/{name}", [program, "clean", "packages"]
    return None, []


def size_below(folder: str, *patterns: str) -> int:
    """Bytes on disk of the files below a folder whose names fit."""
    size = 0
    for top, _, names in os.walk(folder):
        for name in names:
            if not patterns or any(fnmatch.fnmatch(name, pattern) for pattern in patterns):
                try:
                    size += os.lstat(os.path.join(top, name)).st_blocks * 512
                except FileNotFoundError:
                    continue
    return size


def remove_logs(room: Room, use: Use, folders: list[str], patterns: list[str], min_age_hours: int) -> None:
    """Remove rotated logs, oldest first."""
    last = time.time() - min_age_hours * 3600
    found = [log for folder in folders if room.holds(folder) for log in rotated(room, folder, patterns, last)]
    for _, folder, name, before in sorted(found, key=lambda log: log[0]):
        path = os.path.join(folder, name)
        if room.is_enough():
            return
        if use.has(before):
            room.in_use.append(path)
        elif remove(folder, name, before, pretend=room.pretend):
            room.note("logs", before.st_blocks * 512, path)


def rotated(room: Room, top: str, patterns: list[str], last: float) -> Iterator[tuple[float, str, str, os.stat_result]]:
    """Rotated logs in a folder and below it, each with the time it was written."""
    for folder, folders, names, descriptor in os.fwalk(top):
        # Not into another file system.
        folders[:] = [name for name in folders if os.lstat(os.path.join(folder, name)).st_dev == room.device]
        for name in names:
            if any(fnmatch.fnmatch(name, pattern) for pattern in patterns):
                found = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
                # With a second name it frees nothing.
                if stat.S_ISREG(found.st_mode) and found.st_nlink == 1 and found.st_mtime <= last:
                    yield found.st_mtime, folder, name, found


def remove(folder: str, name: str, before: os.stat_result, *, pretend: bool) -> bool:
    """Whether the very file that was looked at has been removed, whatever the folder's path leads to by now."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        now = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
        if (now.st_dev, now.st_ino) != (before.st_dev, before.st_ino):
            return False
        if not pretend:
            os.unlink(name, dir_fd=descriptor)
        return True
    except FileNotFoundError:
        return False
    finally:
        os.close(descriptor)


def remove_releases(room: Room, use: Use, folders: list[str], keep: int) -> None:
    """Remove old releases, oldest first."""
    for folder in filter(room.holds, folders):
        with os.scandir(folder) as entries:
            releases = [entry.path for entry in entries if room.holds(entry.path)]
        releases.sort(key=lambda path: os.lstat(path).st_mtime)
        named = {os.path.realpath(entry.path) for entry in os.scandir(os.path.dirname(folder)) if entry.is_symlink()}
        for path in releases[: -max(keep, 1)]:
            if room.is_enough():
                return
            if any(target == path or target.startswith(path + "/") for target in named):
                continue
            if use.has_any_below(path):
                room.in_use.append(path)
                continue
            size = size_below(path)
            if not room.pretend:
                shutil.rmtree(path)
            room.note("releases", size, path)


def make_room(room: Room, module: AnsibleModule) -> None:
    """Take the steps until there is enough."""
    given = module.params
    use = Use()
    steps: list[tuple[bool, Callable[[], None]]] = [
        (given["journal_keep_mib"] is not None, lambda: cut_journal(room, module, given["journal_keep_mib"])),
        (given["package_cache"], lambda: empty_package_cache(room, module)),
        (
            bool(given["log_folders"]),
            lambda: remove_logs(room, use, given["log_folders"], given["log_patterns"], given["log_min_age_hours"]),
        ),
        (
            bool(given["release_folders"]),
            lambda: remove_releases(room, use, given["release_folders"], given["release_keep"]),
        ),
    ]
    for is_wanted, take in steps:
        if is_wanted and not room.is_enough():
            take()


def main() -> None:
    """Run as a module."""
    listed: dict[str, Any] = dict(type="list", elements="str", default=[])
    module = AnsibleModule(
        argument_spec=dict(
            path=dict(type="str", required=True),
            free_percent=dict(type="int", required=True),
            journal_keep_mib=dict(type="int"),
            package_cache=dict(type="bool", default=False),
            log_folders=listed,
            log_patterns=listed,
            log_min_age_hours=dict(type="int", default=24),
            release_folders=listed,
            release_keep=dict(type="int", default=3),
        ),
        supports_check_mode=True,
    )
    path = module.params["path"]
    if not os.path.ismount(path):
        module.fail_json(msg="no file system is mounted there")
    if os.geteuid() != 0:
        module.fail_json(msg="only root sees what others have open")
    room = Room(path, module.params["free_percent"], module.check_mode)
    make_room(room, module)
    module.exit_json(
        changed=bool(room.removed),
        free_percent=round(room.free_percent(), 1),
        is_enough=room.is_enough(),
        freed=room.freed,
        removed=room.removed[:MAX_NAMED],
        in_use=room.in_use[:MAX_NAMED],
    )


if __name__ == "__main__":
    main()
