"""The receivers of the kustomize base, with the files that it gives them: whoever signs in at one is known to all."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import httpx

from tests.docs.kustomize import render
from tests.docs.pages import REPOSITORY
from tests.docs.pod import laid_out
from tests.journey.harness import Processes, answers, firing, free_port, notification, until

KUBERNETES = REPOSITORY / "deploy/kubernetes"


def test_receivers_know_whom_another_let_in_and_show_prometheus_their_metrics(
    processes: Processes, tmp_path: Path
) -> None:
    # Given two receivers with the secrets of a site, each with a storage path of its own
    secrets = tmp_path / "secrets"
    subprocess.run([KUBERNETES / "secrets.sh", secrets], check=True)
    redis = free_port()
    processes.redis(redis)
    (secrets / "alertmend-receiver/redis-url").write_text(f"redis://127.0.0.1:{redis}")
    (secrets / "alertmend-receiver/db-url").write_text(f"sqlite:///{tmp_path / 'record.db'}")
    first, second = (_receiver(processes, f"receiver{number}", secrets) for number in (1, 2))

    # When someone signs in at one, then the other knows them
    with httpx.Client(trust_env=False, timeout=60) as browser:
        [token] = re.findall(r'name="token" value="([^"]+)"', browser.get(f"{first}/login").text)
        form = {"user": "admin", "password": (secrets / "admin-password").read_text(), "token": token}
        assert browser.post(f"{first}/login", data=form, headers={"Origin": first}).status_code == 303
        assert browser.get(f"{second}/api/v1/runs").status_code == 200
    # Prometheus may look, and who delivers may not
    with httpx.Client(trust_env=False, timeout=60) as anyone:
        assert anyone.get(f"{second}/metrics").status_code == 401
        token = (secrets / "alertmend-receiver/am-token").read_text()
        bearer = {"Authorization": f"Bearer {token}"}
        assert anyone.get(f"{second}/metrics", headers=bearer).status_code == 403
        delivered = anyone.post(f"{first}/api/v1/alertmanager", headers=bearer, json=notification(firing("web1")))
        assert delivered.status_code == 202
        names = (secrets / "alertmend-prometheus" / name for name in ("username", "password"))
        user, password = (name.read_text() for name in names)
        assert "alertmend_build_info{" in anyone.get(f"{second}/metrics", auth=(user, password)).text


def _receiver(processes: Processes, name: str, secrets: Path) -> str:
    """Serve as the pods of the base do; its URL."""
    port = free_port()
    words = laid_out(render(KUBERNETES / "base"), "receiver", secrets=secrets, below=processes.folder / name)
    command = [sys.executable, "-m", "webhook.cli", *words, f"--web.listen-address=127.0.0.1:{port}"]
    processes.start(name, command)
    url = f"http://127.0.0.1:{port}"
    until(lambda: answers(f"{url}/startupz"), f"{name} has started")
    return url
