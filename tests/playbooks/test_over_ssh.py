"""Playbooks on a host that is really reached over SSH, from a controller that is another host to them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.playbooks.haproxy import BACKEND, haproxy, instances
from tests.playbooks.nginx import Nginx
from tests.playbooks.sshd import sshd
from tests.playbooks.stage import TARGET, Stage, wait_until


@pytest.fixture
def remote(stage: Stage, tmp_path: Path) -> Iterator[Stage]:
    """The stage with the target behind SSH."""
    folder = tmp_path / "ssh"
    folder.mkdir()
    with sshd(folder) as variables:
        stage.hosts[TARGET] = variables
        yield stage


def test_a_stopped_service_is_brought_back(remote: Stage, nginx: Nginx) -> None:
    end = remote.play("restart_service.yml", {"service": "nginx", "port": nginx.port, "settle": 0})

    assert end.return_code == 0, end.output
    assert nginx.answers()


def test_modules_of_our_own_are_brought_along(remote: Stage, nginx: Nginx, tmp_path: Path) -> None:
    nginx.start()
    remote.hosts["lb1"] = {**remote.hosts[TARGET], "ansible_python_interpreter": sys.executable}
    with (
        instances(tmp_path, "web3") as toys,
        haproxy(tmp_path, [f"{TARGET} 127.0.0.1:{nginx.port}", f"web3 127.0.0.1:{toys['web3'].port}"]) as proxy,
    ):
        wait_until(lambda: proxy.status(TARGET) == "UP")
        end = remote.play(
            "shift_canary.yml",
            {
                "load_balancers": ["lb1"],
                "socket": str(proxy.socket),
                "backend": BACKEND,
                "canary": [TARGET],
                "percent": 25,
            },
        )
        weights = {name: row["uweight"] for name, row in proxy.servers().items()}

    assert end.return_code == 0, end.output
    assert weights == {TARGET: "85", "web3": "256"}


def test_a_host_with_another_key_is_not_acted_on(remote: Stage, nginx: Nginx, tmp_path: Path) -> None:
    known = tmp_path / "ssh/known_hosts"
    stranger = (tmp_path / "ssh/client.pub").read_text()
    known.write_text(f"{known.read_text().split()[0]} {stranger}")

    end = remote.play("restart_service.yml", {"service": "nginx"})

    assert end.return_code == 4, end.output
    assert nginx.pid is None
