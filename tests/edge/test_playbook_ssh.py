"""Playbooks over a real sshd on loopback: keys, kept connections, and what is left on the other side."""

from __future__ import annotations

import getpass
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.edge.playbook_site import Site, marked, until
from webhook.core.confinement import Secrets
from webhook.edge.playbook.runner import AnsibleRunner
from webhook.world import PlaybookEnd

SSHD = "/usr/sbin/sshd"
DEBUG: list[dict[str, Any]] = [{"ansible.builtin.command": {"argv": ["true"]}}]


@dataclass
class Remote:
    """A host that is reached by SSH, and is this machine."""

    folder: Path
    port: int
    key: Path

    @property
    def secrets(self) -> Secrets:
        return Secrets(ssh_private_key_file=str(self.key))

    def logins(self) -> int:
        """How often someone came in."""
        return (self.folder / "sshd.log").read_text().count("Accepted publickey")


def _keygen(file: Path) -> Path:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(file)], check=True)
    return file


@pytest.fixture
def remote(tmp_path: Path) -> Iterator[Remote]:
    folder = tmp_path / "remote"
    folder.mkdir()
    host_key, key = _keygen(folder / "host"), _keygen(folder / "key")
    (folder / "authorized").write_text(key.with_suffix(".pub").read_text())
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    (folder / "known_hosts").write_text(f"[127.0.0.1]:{port} {host_key.with_suffix('.pub').read_text()}")
    settings = f"""Port {port}
ListenAddress 127.0.0.1
HostKey {host_key}
AuthorizedKeysFile {folder / "authorized"}
StrictModes no
UsePAM no
PidFile none
PermitRootLogin yes
Subsystem sftp internal-sftp
"""
    (folder / "sshd_config").write_text(settings)
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    with (folder / "sshd.log").open("wb") as log:
        server = subprocess.Popen([SSHD, "-D", "-e", "-f", str(folder / "sshd_config")], stderr=log)
    until(lambda: b"listening" in (folder / "sshd.log").read_bytes())
    yield Remote(folder, port, key)
    server.terminate()
    server.wait()


@pytest.fixture
def site(tmp_path: Path, remote: Remote) -> Iterator[Site]:
    found = Site(tmp_path, AnsibleRunner(work_dir=tmp_path / "storage/work"))
    reach = {
        "ansible_connection": "ssh",
        "ansible_host": "127.0.0.1",
        "ansible_port": remote.port,
        "ansible_user": getpass.getuser(),
        "ansible_python_interpreter": sys.executable,
        "ansible_ssh_common_args": f"-o UserKnownHostsFile={remote.folder / 'known_hosts'} -o IdentitiesOnly=yes",
        "home": str(found.home("web1")),
    }
    found.inventory.write_text(json.dumps({"all": {"hosts": {"web1": reach}}}))
    yield found
    found.runner.close()
    for pid in masters(found):
        os.kill(pid, 15)


def masters(site: Site) -> list[int]:
    """The processes that keep connections open: they call themselves by their sockets."""
    folders = [str(site.folder), *map(str, site.runner._connections.short)]
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().decode(errors="replace")
        except OSError:
            continue
        if words.startswith("ssh: ") and any(name in words for name in folders):
            found.append(int(folder.name))
    return found


def test_it_comes_in_with_the_key_of_its_credential_alone(site: Site, remote: Remote) -> None:
    assert site.run(DEBUG).end is PlaybookEnd.FAILED
    result = site.run(DEBUG, secrets=remote.secrets)
    assert result.end is PlaybookEnd.OK, result.reason
    assert remote.logins() == 1


def test_a_host_that_is_another_than_it_was_is_not_reached(site: Site, remote: Remote) -> None:
    other = _keygen(remote.folder / "other").with_suffix(".pub").read_text()
    (remote.folder / "known_hosts").write_text(f"[127.0.0.1]:{remote.port} {other}")
    result = site.run(DEBUG, secrets=remote.secrets)
    assert result.end is PlaybookEnd.FAILED
    assert "could not be reached" in result.reason
    assert remote.logins() == 0


def test_a_connection_is_kept_for_the_next_run_and_for_nobody_elses_key(site: Site, remote: Remote) -> None:
    for _ in range(2):
        result = site.run(DEBUG, secrets=remote.secrets)
        assert result.end is PlaybookEnd.OK, result.reason
    assert remote.logins() == 1
    assert len(masters(site)) == 1
    assert site.run(DEBUG).end is PlaybookEnd.FAILED
    assert len(masters(site)) == 1


def over_there(site: Site) -> list[int]:
    """What runs on the other side: it calls itself by the site's folder."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            is_it = (folder / "cmdline").read_bytes().startswith(f"{site.folder}/task\0".encode())
        except OSError:
            continue
        found += [int(folder.name)] if is_it else []
    return found


def hang(site: Site, **more: Any) -> dict[str, Any]:
    command = ["bash", "-c", f"exec -a {site.folder}/task sleep 300"]
    return {"ansible.builtin.command": {"argv": command}, **more}


@pytest.mark.parametrize(("pipelining", "is_left"), [("no", False), ("yes", True)])
def test_what_is_left_there_when_a_run_is_ended_here(
    site: Site, remote: Remote, pipelining: str, is_left: bool
) -> None:
    task = hang(site, vars={"ansible_pipelining": pipelining})
    job = site.job([task], secrets=remote.secrets)
    result = site.play(job, is_cancelled=lambda: bool(over_there(site)))
    assert result.end is PlaybookEnd.CANCELLED
    assert not marked(job.run)
    if is_left:
        assert over_there(site)
        for pid in over_there(site):
            os.kill(pid, 9)
    else:
        until(lambda: not over_there(site))


def test_async_is_ended_over_there_by_itself(site: Site, remote: Remote) -> None:
    job = site.job([hang(site, **{"async": 4, "poll": 1})], secrets=remote.secrets)
    began = time.monotonic()
    result = site.play(job, is_cancelled=lambda: bool(over_there(site)))
    assert result.end is PlaybookEnd.CANCELLED
    assert time.monotonic() - began < 60
    until(lambda: not over_there(site))
