"""A stage for each test, and nginx on it: installed where it is missing, and left as it was found."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.playbooks.stage import Nginx, Stage, free_port


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(folder=tmp_path)


@pytest.fixture(scope="session")
def installed_nginx() -> None:
    if shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin"):
        return
    # The package's own start must not end the installation where port 80 is taken.
    quiet = os.environ | {"DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    for words in ("update", "install -y --no-install-recommends nginx-light"):
        subprocess.run(["apt-get", *words.split()], env=quiet, stdin=subprocess.DEVNULL, check=True)


@pytest.fixture
def nginx(installed_nginx: None) -> Iterator[Nginx]:
    """Stopped, configured on a free port; there is one on a machine, so tests wait for each other."""
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
