"""The private folder of a run: made for it alone, held while anything of it lives, then removed."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import tempfile
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from webhook.edge.playbook.text import trusted, unsafe
from webhook.world import PlaybookJob


@contextmanager
def private_folder(work_dir: Path) -> Iterator[Path]:
    """A new folder with mode 0700; it is gone afterwards."""
    work_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    with _only_one(work_dir):
        folder = Path(tempfile.mkdtemp(prefix="run-", dir=work_dir))
        held = hold(folder)
    try:
        yield folder
    finally:
        os.close(held)
        shutil.rmtree(folder, ignore_errors=True)


def hold(folder: Path) -> int:
    """An open descriptor that keeps `sweep` from the folder until every process that has it is gone."""
    held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    fcntl.flock(held, fcntl.LOCK_SH)
    return held


def sweep(work_dir: Path) -> int:
    """How many folders were there that a killed worker had left, with all that was in them."""
    if not work_dir.is_dir():
        return 0
    with _only_one(work_dir):
        return sum(_removed(folder) for folder in work_dir.glob("run-*"))


def write_variables(folder: Path, job: PlaybookJob) -> None:
    """Lay out the folder as ansible-runner expects it, the run's variables in it."""
    for name in ("env", "project", "tmp", "ansible"):
        (folder / name).mkdir(mode=0o700)
    # A file: on the command line it would be seen in the process list, and a label's name would become syntax.
    variables = {str(name): trusted(value) for name, value in job.variables.items()}
    content: Mapping[str, object] = {**variables, "alertmend": unsafe(job.alertmend)}
    file = os.open(folder / "env/extravars", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(file, "w", encoding="utf-8") as extra_vars:
        json.dump(content, extra_vars)


def remove_litter(pids: Collection[int]) -> None:
    """Remove what modules that were killed left in Ansible's folder on this machine, with their arguments in it."""
    for folder in (Path.home() / ".ansible/tmp").glob("ansible-tmp-*"):
        # Named by the time, the process and a random number.
        if folder.name.split("-")[3:4] and folder.name.split("-")[3] in map(str, pids):
            shutil.rmtree(folder, ignore_errors=True)


def _removed(folder: Path) -> bool:
    with suppress(OSError):
        held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
            return True
        finally:
            os.close(held)
    return False


@contextmanager
def _only_one(work_dir: Path) -> Iterator[None]:
    """Nobody sweeps while someone makes a folder and does not hold it yet."""
    lock = os.open(work_dir, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)
