"""The first process of a copy of this machine: mounts what it sees, then runs what it is told.

It is started in namespaces of its own, so that everything ends with it. Nothing but the standard library is imported.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

#: File systems that have no files of people. The copy gets its own of those that it needs.
_NO_FILES: Final = frozenset(
    {"autofs", "binfmt_misc", "bpf", "cgroup", "cgroup2", "configfs", "debugfs", "devpts", "devtmpfs", "efivarfs",
     "fusectl", "hugetlbfs", "mqueue", "nsfs", "proc", "pstore", "rpc_pipefs", "securityfs", "sysfs", "tracefs"}
)  # fmt: skip

#: What is written here is no trace of a playbook: services write it, and they are looked at while they run.
LOGS: Final = "/var/log"


def main(folder: Path) -> None:
    """Serve orders on standard input: a line of JSON each, and a line in answer."""
    try:
        root, layers = mount(folder)
    except (OSError, subprocess.CalledProcessError) as error:
        _answer({"problem": getattr(error, "stderr", None) or str(error)})
        return
    _answer({"ready": True})
    for line in sys.stdin:
        order = json.loads(line)
        _answer({"traces": sorted(traces(layers))} if "traces" in order else run(order, root, folder))


def mount(folder: Path) -> tuple[Path, dict[str, Path]]:
    """The root of the copy, and for each place in it the folder where what is changed there ends up."""
    _tell("mount", "--make-rprivate", "/")
    layers, root = folder / "layers", folder / "root"
    layers.mkdir()
    root.mkdir()
    # What is written has to lie on another file system than what it is laid over.
    _tell("mount", "-t", "tmpfs", "-o", "mode=0755", "tmpfs", str(layers))
    changed = {}
    for number, place in enumerate(_places(folder)):
        upper, work = layers / f"{number}", layers / f"{number}.work"
        upper.mkdir()
        work.mkdir()
        options = f"lowerdir={place},upperdir={upper},workdir={work}"
        _tell("mount", "-t", "overlay", "-o", options, "overlay", f"{root}{place if place != '/' else ''}")
        changed[place] = upper
    for place, kind in (("/proc", "proc"), ("/sys", "sysfs"), ("/dev/shm", "tmpfs")):
        if place == "/dev/shm":
            _tell("mount", "--rbind", "/dev", f"{root}/dev")
        _tell("mount", "-t", kind, kind, f"{root}{place}")
    # No service manager runs in here, whatever its folder says.
    if (root / "run/systemd").is_dir():
        _tell("mount", "-t", "tmpfs", "tmpfs", f"{root}/run/systemd")
    # Both see this one: what Ansible needs for itself is no trace of the playbook.
    _tell("mount", "--bind", str(folder), f"{root}{folder}")
    _tell("ip", "link", "set", "lo", "up")
    return root, changed


def _places(folder: Path) -> Iterator[str]:
    """Where file systems with files are mounted, outer ones first."""
    seen = set()
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, place, kind, *_ = line.split()
        place = place.encode().decode("unicode_escape")
        is_kernels = kind in _NO_FILES or place.startswith(("/dev", "/proc", "/sys"))
        if is_kernels or place in seen or place.startswith(str(folder)) or not os.path.isdir(place):
            continue
        seen.add(place)
        yield place


def traces(layers: Mapping[str, Path]) -> Iterator[str]:
    """What was changed, each with when; not what programs that run in the copy wrote to their logs meanwhile."""
    for place, layer in layers.items():
        for top, folders, names in os.walk(layer):
            inside = os.path.normpath(os.path.join(place, os.path.relpath(top, layer)))
            if inside == LOGS:
                folders.clear()
                continue
            for name in [*folders, *names]:
                path, found = os.path.join(inside, name), os.lstat(os.path.join(top, name))
                # A folder is in the layer as soon as anything in it is: it is told only when it is not as it was.
                if name in folders and _mode(path) == found.st_mode:
                    continue
                when = "" if name in folders else f"{found.st_size} {found.st_mtime_ns}"
                yield f"{found.st_mode} {when}\t{path}"


def _mode(path: str) -> int:
    """Of this machine's own file, which the copy does not change; 0 when there is none."""
    try:
        return os.lstat(path).st_mode
    except OSError:
        return 0


def run(order: Mapping[str, Any], root: Path, folder: Path) -> dict[str, Any]:
    """Run a program in the copy; its return code, and what it said."""
    output = folder / "output"
    pid = os.fork()
    if pid == 0:
        _become(order, root, output)
    while True:
        # Whatever lost its parent in here is this process's to bury.
        ended, status = os.wait()
        if ended == pid:
            code = os.waitstatus_to_exitcode(status)
            return {"code": code, "output": output.read_text(errors="replace")}


def _become(order: Mapping[str, Any], root: Path, output: Path) -> None:
    try:
        os.setsid()
        written = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        nothing = os.open(os.devnull, os.O_RDONLY)
        for descriptor, source in ((0, nothing), (1, written), (2, written)):
            os.dup2(source, descriptor)
        os.chroot(root)
        os.chdir("/")
        os.execve(order["command"][0], order["command"], order["environment"])
    finally:
        os._exit(127)


def _tell(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True)


def _answer(answer: Mapping[str, Any]) -> None:
    print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
