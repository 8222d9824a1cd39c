"""Limits on a run, as the run meets them; and a run in a container, as the engine is told of it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from tests.edge.playbook_site import Site
from webhook.core.confinement import Confinement, Container, Engine, ProcessLimits, Secrets
from webhook.edge.playbook.runner import AnsibleRunner
from webhook.world import PlaybookEnd

GIB = 1024**3
LIMITS = ProcessLimits(
    cpu=timedelta(seconds=20), memory_bytes=GIB, open_files=200, processes=30_000, file_size_bytes=3 * 1024**2
)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    (tmp_path / "bin").mkdir()
    path = f"{tmp_path / 'bin'}:{os.environ['PATH']}"
    found = Site(tmp_path, AnsibleRunner(work_dir=tmp_path / "storage/work", environment={**os.environ, "PATH": path}))
    yield found
    found.runner.close()


@pytest.mark.parametrize("warm", [True, False])
def test_every_process_of_a_run_is_limited_ansible_itself_included(site: Site, warm: bool) -> None:
    ask = "ulimit -t -v -n -u -f"
    tasks = [
        {"ansible.builtin.command": {"argv": ["bash", "-c", f"{ask} > {{{{ home }}}}/module"]}},
        {"ansible.builtin.debug": {"msg": "{{ lookup('ansible.builtin.pipe', 'bash -c \"" + ask + "\"') }}"}},
    ]
    result = site.run(tasks, confinement=Confinement(warm=warm, limits=LIMITS))
    assert result.end is PlaybookEnd.OK, result.reason
    numbers = [line.rpartition(" ")[2] for line in (site.home("web1") / "module").read_text().splitlines()]
    # In the order in which bash prints them: cpu, virtual memory, open files, processes, file size in KiB.
    assert numbers == ["20", str(GIB // 1024), "200", "30000", str(3 * 1024)]
    assert all(number in site.output for number in numbers)


@pytest.mark.parametrize(
    ("limits", "greedy"),
    [
        (ProcessLimits(memory_bytes=GIB), "x = bytearray(2 * 1024 ** 3)"),
        (ProcessLimits(cpu=timedelta(seconds=3)), "while True: pass"),
        (ProcessLimits(open_files=200), "x = [open('/dev/null') for _ in range(300)]"),
        (ProcessLimits(file_size_bytes=3 * 1024**2), "open('{{ home }}/large', 'wb').write(bytes(9 * 1024 ** 2))"),
    ],
)
def test_what_takes_too_much_fails(site: Site, limits: ProcessLimits, greedy: str) -> None:
    take = {"ansible.builtin.command": {"argv": ["{{ ansible_playbook_python }}", "-c", greedy]}}
    result = site.run([take], confinement=Confinement(limits=limits))
    assert result.end is PlaybookEnd.FAILED
    large = site.home("web1") / "large"
    assert not large.exists() or large.stat().st_size <= 3 * 1024**2


ENGINE = """#!/usr/bin/env python3
# Does as an engine would, without a container: what is mounted is found where it lies.
import json, os, sys
log = open(LOG, "a")
print(json.dumps(sys.argv[1:]), file=log, flush=True)
if sys.argv[1] == "run":
    mounts = [sys.argv[n + 1] for n, word in enumerate(sys.argv) if word == "-v"]
    folder = next(mount.split(":")[0] for mount in mounts if mount.split(":")[1].rstrip("/") == "/runner").rstrip("/")
    settings = open(sys.argv[sys.argv.index("--env-file") + 1]).read().replace("/runner", folder)
    print(json.dumps(settings.splitlines()), file=log, flush=True)
    start = sys.argv.index("IMAGE") + 1
    words = [word.replace("/runner/", folder + "/") for word in sys.argv[start:]]
    os.chdir(folder + "/project")
    os.environ.update(line.split("=", 1) for line in settings.splitlines())
    os.execvp(words[0], words)
"""


@pytest.fixture(params=list(Engine))
def engine(site: Site, request: pytest.FixtureRequest) -> Engine:
    """An engine on the PATH, that writes down what it is told."""
    program = site.folder / "bin" / request.param.value
    program.write_text(ENGINE.replace("LOG", repr(str(site.folder / "log"))))
    program.chmod(0o755)
    return Engine(request.param)


def told(site: Site) -> list[list[str]]:
    return [json.loads(line) for line in (site.folder / "log").read_text().splitlines()]


def test_a_container_gets_image_options_limits_mounts_and_no_secret(site: Site, engine: Engine) -> None:
    (site.folder / "become").write_text("become-s3cret\n")
    secrets = Secrets(become_password_file=str(site.folder / "become"), vault_password_file=str(site.folder / "become"))
    container = Container(image="IMAGE", engine=engine, options=("--network=host",))
    touch = {
        "ansible.builtin.copy": {"dest": "{{ home }}/seen", "content": "{{ ansible_become_password }}", "mode": "0600"}
    }
    job = site.job([touch], secrets=secrets, confinement=Confinement(limits=LIMITS, container=container))
    result = site.play(job)
    assert result.end is PlaybookEnd.OK, result.reason + site.output
    assert "cold" not in result.reason
    assert (site.home("web1") / "seen").read_text() == "become-s3cret"
    command, settings = next(line for line in told(site) if line[0] == "run"), told(site)[-1]
    assert command[command.index("IMAGE") + 1] == "ansible-playbook"
    assert command[command.index("--name") + 1] == f"ansible_runner_{job.run}"
    options = command[: command.index("IMAGE")]
    expected = ["--ulimit=cpu=20:20", f"--memory={GIB}", "--ulimit=nofile=200:200", "--pids-limit=30000"]
    assert all(option in options for option in [*expected, "--ulimit=fsize=3145728:3145728", "--network=host"])
    mounts = [options[n + 1] for n, word in enumerate(options) if word == "-v"]
    assert f"{site.folder}:{site.folder}:ro" in mounts
    assert f"{site.folder / 'become'}:{site.folder / 'become'}:ro" in mounts
    assert any(mount.split(":")[1].rstrip("/") == "/runner" for mount in mounts)
    assert "ANSIBLE_HOST_KEY_CHECKING=True" in settings and f"ALERTMEND_RUN={job.run}" in settings
    assert not any(line.startswith(("PATH=", "HOME=")) for line in settings)
    assert "become-s3cret" not in json.dumps(told(site))


def test_a_container_is_removed_by_its_name_when_its_run_is_cancelled(site: Site, engine: Engine) -> None:
    wait = {"ansible.builtin.wait_for": {"path": "{{ home }}/never", "sleep": 1}}
    job = site.job([wait], confinement=Confinement(container=Container(image="IMAGE", engine=engine)))
    result = site.play(job, is_cancelled=lambda: (site.folder / "log").exists() and "TASK" in site.output)
    assert result.end is PlaybookEnd.CANCELLED
    [removed] = [line for line in told(site) if line[0] == "rm"]
    assert (removed[1], removed[-1]) == ("--force", f"ansible_runner_{job.run}")


def test_an_engine_that_is_not_there_fails_the_run(site: Site) -> None:
    site.runner = AnsibleRunner(work_dir=site.work, environment={"PATH": str(site.folder / "bin")})
    container = Container(image="IMAGE", engine=Engine.PODMAN)
    job = site.job([{"ansible.builtin.debug": {"msg": "x"}}], confinement=Confinement(container=container))
    result = site.play(job)
    assert result.end is PlaybookEnd.FAILED
    assert result.reason == "the playbook could not be run: podman is not installed on this worker"
    assert list(site.work.iterdir()) == []
