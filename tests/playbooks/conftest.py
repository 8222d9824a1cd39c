"""A stage for each test, and nginx on it: installed where it is missing, and left as it was found."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.playbooks.debian import find
from tests.playbooks.nginx import Nginx
from tests.playbooks.stage import Stage, free_port
from tests.playbooks.warm import Warm


@pytest.fixture(scope="session")
def warm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warm]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
    ours = {
        "ANSIBLE_HOME": str(tmp_path_factory.mktemp("ansible")),
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_SHOW_CUSTOM_STATS": "1",
        "ANSIBLE_PIPELINING": "1",
    }
    warm = Warm(kept | ours)
    yield warm
    warm.close()


@pytest.fixture
def stage(tmp_path: Path, warm: Warm) -> Iterator[Stage]:
    """The stage, with the certainty that only the target was touched."""
    stage = Stage(folder=tmp_path, warm=warm)
    yield stage
    assert not stage.trespass.exists()


@pytest.fixture
def nginx() -> Iterator[Nginx]:
    """Stopped, configured on a free port; there is one on a machine, so tests wait for each other."""
    find(program="nginx", package="nginx-light")
    with open("/tmp/alertmend-nginx.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        nginx = Nginx(port=free_port())
        ran_before = nginx.pid is not None
        try:
            nginx.configure(port=nginx.port)
            nginx.stop()
            yield nginx
        finally:
            nginx.site.unlink(missing_ok=True)
            nginx.stop()
            if ran_before:
                nginx.start()
