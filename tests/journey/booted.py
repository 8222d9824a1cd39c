"""This machine's own programs and files, booted once more by systemd: what is written there is gone with it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.docs.pages import REPOSITORY
from tests.journey.harness import until
from tests.playbooks.debian import find

#: What is run lies here, under the home of someone or under /tmp perhaps.
PLACES = sorted({str(REPOSITORY), sys.prefix, sys.base_prefix})
#: Its arguments: a folder, a name, and what systemd-nspawn is told besides. Nothing of this machine's is started.
#: Where no systemd hands out control groups, it makes its own.
BOOT = """\
set -eu
folder=$1 name=$2; shift 2
mount -t tmpfs layer "$folder"
mkdir "$folder/upper" "$folder/work" "$folder/root"
mount -t overlay -o "lowerdir=/,upperdir=$folder/upper,workdir=$folder/work" layer "$folder/root"
rm -rf "$folder"/root/etc/systemd/system/* "$folder"/root/{opt,etc,var/lib,var/lib/private}/alertmend
if [ ! -d /run/systemd/system ]; then
  set -- --keep-unit "$@"
  for top in /sys/fs/cgroup /sys/fs/cgroup/unified /sys/fs/cgroup/systemd; do
    if [ -e "$top/cgroup.procs" ]; then mkdir "$top/$name"; echo $$ > "$top/$name/cgroup.procs"; fi
  done
fi
UNIFIED_CGROUP_HIERARCHY=1 exec systemd-nspawn --quiet --directory="$folder/root" --machine="$name" \\
  --register=no --private-network --resolv-conf=off --timezone=off --link-journal=no --console=pipe \\
  --boot "$@" systemd.unit=basic.target
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Booted:
    """A machine with a network of its own, on which nothing runs yet."""

    #: Its first process, as seen from here.
    pid: int

    def asked(self, script: str) -> subprocess.CompletedProcess[str]:
        """What came of a script that root ran there, in the checkout."""
        command = ["nsenter", f"--target={self.pid}", "--all", f"--wdns={REPOSITORY}", "bash", "-c", script]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)

    def tell(self, script: str) -> str:
        """What a script said that ended well."""
        answer = self.asked(script)
        assert answer.returncode == 0, f"{script}\n{answer.stdout}{answer.stderr}"
        return answer.stdout.strip()

    def write(self, file: str, text: str, *, more: bool = False) -> None:
        """A file with a text, or with that text at its end."""
        self.tell(f"mkdir -p $(dirname {file}); cat {'>>' if more else '>'} {file} <<'END'\n{text}\nEND")


@contextmanager
def booted(folder: Path) -> Iterator[Booted]:
    """It runs until it is left."""
    find(program="systemd-nspawn", package="systemd-container")
    (folder / "layer").mkdir()
    name = f"alertmend-{folder.stat().st_ino}"
    shown = [f"--bind-ro={place}" for place in PLACES]
    command = ["unshare", "--mount", "bash", "-c", BOOT, "boot", str(folder / "layer"), name, *shown]
    with (folder / "boot.log").open("wb") as said:
        nspawn = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=said, stderr=said)
    try:
        until(lambda: nspawn.poll() is not None or _found(nspawn.pid), "it has booted")
        assert nspawn.poll() is None, (folder / "boot.log").read_text()
        yield _found(nspawn.pid)[0]
    finally:
        nspawn.terminate()
        with suppress(subprocess.TimeoutExpired):
            nspawn.wait(30)
        nspawn.kill()
        nspawn.wait()
        _leave(name)


def _found(nspawn: int) -> list[Booted]:
    children = Path(f"/proc/{nspawn}/task/{nspawn}/children").read_text().split()
    # What prepares it is a child, too, but one that sees the processes of this machine, and perhaps another systemd.
    inside = [child for child in children if _namespace(child) not in ("", _namespace("self"))]
    machines = [Booted(pid=int(child)) for child in inside]
    return [machine for machine in machines if machine.asked("systemctl is-active basic.target").returncode == 0]


def _namespace(process: str) -> str:
    with suppress(OSError):
        return os.readlink(f"/proc/{process}/ns/pid")
    return ""


def _leave(name: str) -> None:
    for top in Path("/sys/fs/cgroup").glob(f"**/{name}"):
        for group in sorted([top, *(folder for folder in top.rglob("*") if folder.is_dir())], reverse=True):
            with suppress(OSError):
                group.rmdir()
