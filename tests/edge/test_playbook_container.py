"""A run in a real container: Ansible and this machine's programs in an otherwise empty image."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.edge.playbook_site import Site
from tests.playbooks.podman import IMAGE, Podman, running
from webhook.core.confinement import Confinement, Container
from webhook.edge.playbook.runner import AnsibleRunner
from webhook.world import PlaybookEnd

ENVIRONMENT = Path(sys.prefix)


@pytest.fixture
def podman(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Podman]:
    with running(tmp_path_factory.mktemp("podman")) as found:
        yield found


@pytest.fixture
def site(tmp_path: Path, podman: Podman) -> Iterator[Site]:
    engine = tmp_path / "bin/podman"
    engine.parent.mkdir()
    own = {name: podman.environment[name] for name in ("CONTAINERS_CONF", "XDG_RUNTIME_DIR")}
    settings = shlex.join([*(f"{name}={value}" for name, value in own.items()), f"PATH={os.defpath}:/usr/sbin:/sbin"])
    engine.write_text(f'#!/bin/sh\nexec env {settings} {shlex.join(podman.command())} "$@"\n')
    engine.chmod(0o755)
    environment = {**os.environ, "PATH": f"{engine.parent}:{os.environ['PATH']}"}
    found = Site(tmp_path, AnsibleRunner(work_dir=tmp_path / "storage/work", environment=environment))
    yield found
    found.runner.close()


def contained(site: Site) -> Confinement:
    folders = ["/usr", "/lib", "/lib64", sys.base_prefix, str(ENVIRONMENT), str(Path(__file__).parents[2])]
    mounts = [f"--volume={folder}:{folder}:ro" for folder in dict.fromkeys(folders) if Path(folder).exists()]
    settings = [f"--env=PATH={ENVIRONMENT}/bin:/usr/bin:/bin", "--env=LANG=C.UTF-8"]
    options = ["--cgroups=disabled", f"--volume={site.home('web1')}:{site.home('web1')}", *mounts, *settings]
    return Confinement(container=Container(image=IMAGE, options=tuple(options)))


def test_a_run_in_a_container_sees_what_it_is_given_and_gives_back_what_it_did(site: Site) -> None:
    look = {"ansible.builtin.shell": {"cmd": "ls -d /runner /home /root > {{ home }}/seen; true"}}
    label = {"ansible.builtin.copy": {"dest": "{{ home }}/label", "content": "{{ alertmend.alerts[0].labels.a }}"}}
    label["ansible.builtin.copy"]["mode"] = "0600"
    result = site.run([look, label], confinement=contained(site), alerts=[{"labels": {"a": "{{ 7 * 7 }}"}}])
    assert result.end is PlaybookEnd.OK, result.reason + site.output
    assert (result.tasks.ok, result.tasks.changed) == (2, 2)
    assert "WARNING" not in site.output
    assert "/runner" in (site.home("web1") / "seen").read_text()
    assert (site.home("web1") / "label").read_text() == "{{ 7 * 7 }}"


def test_a_run_in_a_container_is_ended_with_the_container(site: Site, podman: Podman) -> None:
    program = ["sh", "-c", f"exec -a {site.folder} sleep 300"]
    job = site.job([{"ansible.builtin.command": {"argv": ["bash", *program[1:]]}}], confinement=contained(site))

    def runs() -> bool:
        found = subprocess.run(["pgrep", "-f", f"^{site.folder} 300"], capture_output=True, check=False)
        return found.returncode == 0

    assert site.play(job, is_cancelled=runs).end is PlaybookEnd.CANCELLED
    assert not runs()
    assert podman.tell("ps", "--all", "--quiet") == ""
