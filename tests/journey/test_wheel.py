"""The wheel, in an environment that has never seen this checkout: it holds all that it needs."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.pages import REPOSITORY
from tests.journey.harness import Processes, answers, free_port, until


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of a fresh environment with what the lock names, and the wheel."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", str(folder)]
    subprocess.run([*build, str(REPOSITORY)], check=True)
    [wheel] = folder.glob("alertmend-*.whl")
    subprocess.run([sys.executable, "-m", "venv", str(folder / "env")], check=True)
    pip = [str(folder / "env/bin/pip"), "install", "-q", "--no-compile", "--disable-pip-version-check"]
    subprocess.run([*pip, "--require-hashes", "-r", str(REPOSITORY / "requirements.lock")], check=True)
    subprocess.run([*pip, "--no-deps", str(wheel)], check=True)
    return folder / "env/bin"


@pytest.fixture
def alertmend(installed: Path, processes: Processes, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The program; nothing of this checkout is to be found from where it is started."""
    monkeypatch.setenv("PATH", f"{installed}:{os.environ['PATH']}")
    monkeypatch.delenv("PYTHONPATH", raising=False)
    yield str(installed / "alertmend")


def test_what_init_writes_is_sound_and_served_and_the_library_lies_beside_it(
    alertmend: str, processes: Processes
) -> None:
    site = processes.folder / "site"

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([alertmend, *words], cwd=processes.folder, capture_output=True, text=True, check=False)

    assert run("init", "--library", str(site)).returncode == 0
    assert (site / "alerts/node.yml").exists()
    shipped = {str(file.relative_to(REPOSITORY)) for file in (REPOSITORY / "playbooks").rglob("*.yml")}
    assert shipped <= {str(file.relative_to(site)) for file in site.rglob("*.yml")}
    # A rule of the library's, beside the one that init writes
    (site / "rules/nginx.yml").write_text(
        "rules:\n- name: nginx\n  match: ['alertname=\"NginxDown\"']\n  target: host\n  mode: observe\n"
        "  playbook: restart_service.yml\n  vars: {service: nginx}\n"
    )
    checked = run("check", f"--config.file={site / 'alertmend.yml'}")
    assert checked.returncode == 0, checked.stdout
    assert "2 rules" in checked.stderr
    assert run("test", str(site / "tests/toy.yml")).returncode == 0
    port = free_port()
    serve = [alertmend, "serve", f"--config.file={site / 'alertmend.yml'}", f"--storage.path={site / 'data'}"]
    processes.start("alertmend", [*serve, f"--web.listen-address=127.0.0.1:{port}"])
    until(lambda: answers(f"http://127.0.0.1:{port}/readyz"), "it is ready")
    listed = run("rules", "list", "--output=csv", f"--server.url=http://127.0.0.1:{port}")
    assert "nginx" in listed.stdout
    examined = run("doctor", f"--config.file={site / 'alertmend.yml'}", f"--storage.path={site / 'data'}")
    assert examined.returncode == 0, examined.stdout
