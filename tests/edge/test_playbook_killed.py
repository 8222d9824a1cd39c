"""However a run ends, and whoever is killed: what is left in the process table, and what happens afterwards."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.edge.playbook_site import Site, marked, until
from webhook.edge.playbook.runner import AnsibleRunner
from webhook.edge.playbook.tree import end_leftovers
from webhook.world import PlaybookEnd, PlaybookJob, PlaybookResult


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    found = Site(tmp_path, AnsibleRunner(work_dir=tmp_path / "storage/work"))
    yield found
    found.runner.close()
    for pid in fled(found):
        os.kill(pid, signal.SIGKILL)


def escape(site: Site, *, keeps_mark: bool = False) -> dict[str, Any]:
    """A task that does all it can to get away: a session of its own, orphaned twice, its environment thrown away."""
    stay = f"exec -a {site.folder} sleep 300"
    clean = [] if keeps_mark else ["env", "-i", "PATH=/usr/bin:/bin"]
    flee = [*clean, "setsid", "-f", "bash", "-c", f'setsid -f bash -c "{stay}" & {stay}']
    return {"ansible.builtin.command": {"argv": flee}}


WAIT = {"ansible.builtin.wait_for": {"path": "{{ home }}/go", "sleep": 1, "timeout": 200}}


def fled(site: Site) -> list[int]:
    """The processes that got away so far: they call themselves by the site's folder."""
    return processes(lambda line: line.startswith(f"{site.folder}\0".encode()))


def is_ours(site: Site, job: PlaybookJob) -> bool:
    """Whether anything of the run is left, marked or fled."""
    return bool(marked(job.run) or fled(site))


@dataclass
class Going:
    """A run under way in a thread."""

    site: Site
    job: PlaybookJob
    cancelled_at: float = 0.0
    results: list[PlaybookResult] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.thread = threading.Thread(target=self._go)
        self.thread.start()

    def _go(self) -> None:
        self.results.append(self.site.play(self.job, is_cancelled=lambda: self.cancelled_at > 0))

    def has_fled(self) -> None:
        """Wait until the task has done all that it could."""
        until(lambda: len(fled(self.site)) >= 2)
        until(lambda: any("wait_for" in line for line in marked(self.job.run)))

    def result(self) -> PlaybookResult:
        self.thread.join()
        return self.results[0]


def processes(is_it: Callable[[bytes], bool]) -> list[int]:
    return [int(f.name) for f in Path("/proc").glob("[0-9]*") if is_it(_read(f / "cmdline"))]


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def parent(pid: int) -> int:
    fields = _read(Path(f"/proc/{pid}/stat")).decode().rpartition(")")[2].split()
    return int(fields[1]) if fields else 0


def server(worker: int) -> int:
    """The process that forks a worker's runs."""
    [found] = [pid for pid in processes(lambda line: b"playbook.forker" in line) if parent(pid) == worker]
    return found


def supervisor(worker: int) -> int:
    """The process behind the worker's one run."""
    [found] = [pid for pid in processes(lambda line: b"playbook.forker" in line) if parent(pid) == server(worker)]
    return found


def test_a_timeout_ends_the_whole_tree(site: Site) -> None:
    job = site.job([escape(site), WAIT], seconds=8)
    going = Going(site, job)
    until(lambda: len(fled(site)) >= 2)
    assert going.result().end is PlaybookEnd.TIMEOUT
    assert not is_ours(site, job)


def test_a_cancel_ends_the_whole_tree(site: Site) -> None:
    job = site.job([escape(site), WAIT])
    going = Going(site, job)
    going.has_fled()
    going.cancelled_at = time.monotonic()
    assert going.result().end is PlaybookEnd.CANCELLED
    print(f"cancelled within {time.monotonic() - going.cancelled_at:.2f} s")
    assert not is_ours(site, job)


WORKER = """
import sys
from datetime import timedelta
from pathlib import Path
from webhook.edge.playbook.runner import AnsibleRunner
from webhook.world import PlaybookJob
run, playbook, inventory, work = sys.argv[1:]
job = PlaybookJob(run=run, playbook=Path(playbook), playbooks=Path(playbook).parent, inventory=Path(inventory),
                  target="web1", variables={}, alertmend={}, timeout=timedelta(minutes=5))
AnsibleRunner(work_dir=Path(work)).run(job, is_cancelled=lambda: False, hear=lambda passage: None)
"""


@pytest.fixture
def worker(site: Site) -> Iterator[tuple[subprocess.Popen[bytes], PlaybookJob]]:
    """A worker of its own, with a run that has fled."""
    job = site.job([escape(site), WAIT])
    arguments = [job.run, str(job.playbook), str(site.inventory), str(site.work)]
    process = subprocess.Popen([sys.executable, "-c", WORKER, *arguments])
    until(lambda: len(fled(site)) >= 2 and any("wait_for" in line for line in marked(job.run)))
    yield process, job
    process.kill()
    process.wait()


def test_a_worker_that_is_killed_leaves_no_process_and_no_file(site: Site, worker: Any) -> None:
    process, job = worker
    process.kill()
    process.wait()
    until(lambda: not is_ours(site, job))
    until(lambda: not list(site.work.iterdir()))


def test_a_worker_that_is_killed_with_its_server_leaves_no_process_and_no_file(site: Site, worker: Any) -> None:
    process, job = worker
    os.kill(server(process.pid), signal.SIGKILL)
    process.kill()
    process.wait()
    until(lambda: not is_ours(site, job))
    until(lambda: not list(site.work.iterdir()))


def test_a_supervisor_that_is_killed_leaves_nothing_running(site: Site) -> None:
    job = site.job([escape(site), WAIT])
    going = Going(site, job)
    going.has_fled()
    os.kill(supervisor(os.getpid()), signal.SIGKILL)
    result = going.result()
    assert result.end is PlaybookEnd.FAILED
    assert result.reason == "the process that ran the playbook was killed"
    until(lambda: not is_ours(site, job))
    assert list(site.work.iterdir()) == []


def test_a_server_that_is_killed_takes_no_run_with_it_and_is_started_again(site: Site) -> None:
    going = Going(site, site.job([WAIT]))
    until(lambda: any("wait_for" in line for line in marked(going.job.run)))
    os.kill(server(os.getpid()), signal.SIGKILL)
    (site.home("web1") / "go").touch()
    assert going.result().end is PlaybookEnd.OK
    assert site.run([{"ansible.builtin.debug": {"msg": "again"}}]).end is PlaybookEnd.OK


def test_a_server_that_is_killed_with_its_run_leaves_nothing_that_bears_the_runs_mark(site: Site) -> None:
    job = site.job([escape(site, keeps_mark=True), WAIT])
    going = Going(site, job)
    going.has_fled()
    found = [supervisor(os.getpid()), server(os.getpid())]
    for pid in found:
        os.kill(pid, signal.SIGSTOP)
    for pid in found:
        os.kill(pid, signal.SIGKILL)
    assert going.result().end is PlaybookEnd.FAILED
    assert not is_ours(site, job)
    assert end_leftovers(job.run) == 0


def test_what_a_run_leaves_behind_on_purpose_is_left_alone(site: Site) -> None:
    """As a kept SSH connection is: by its own end, by that of the next run, and by that of one that is killed."""
    assert site.run([escape(site)]).end is PlaybookEnd.OK
    kept = fled(site)
    assert len(kept) == 2
    site.run([{"ansible.builtin.debug": {"msg": "the next"}}])
    job = site.job([WAIT])
    going = Going(site, job)
    until(lambda: any("wait_for" in line for line in marked(job.run)))
    os.kill(supervisor(os.getpid()), signal.SIGKILL)
    going.result()
    until(lambda: not marked(job.run))
    assert fled(site) == kept
