"""A rolling upgrade: a version from before and this one side by side on one Redis and database, with runs under way.

`tests/data/before` holds a wheel of commit a08ff73, whose schema was an older one.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
import zipfile
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, text

from tests.edge.conftest import START_SECONDS, start_postgres
from tests.journey.harness import Processes, answers, firing, free_port, http, notification, until
from webhook.edge.ledger import SqlLedger, open_engine

[BEFORE] = (Path(__file__).parents[1] / "data/before").glob("*.whl")


@dataclass(kw_only=True)
class Site:
    """A configuration, and what became of it."""

    processes: Processes
    database: str

    def __post_init__(self) -> None:
        port = free_port()
        self.processes.redis(port)
        self.folder = self.processes.folder / "site"
        for name in ("rules", "playbooks"):
            (self.folder / name).mkdir(parents=True)
        python = "ansible_connection: local, ansible_python_interpreter: '{{ ansible_playbook_python }}'"
        hosts = ", ".join(f"h{number}: {{}}" for number in range(9))
        self._write("inventory.yml", f"all:\n  vars: {{{python}}}\n  hosts: {{{hosts}}}\n")
        redis = f"redis: {{url: 'redis://127.0.0.1:{port}/0'}}\n"
        files = "inventory: inventory.yml\nrule_files: [rules/*.yml]\n"
        self._write("alertmend.yml", f"{files}{redis}database: {{url: '{self.database}'}}\n")
        self._write(
            "rules/rules.yml",
            "rules:\n"
            "  - {name: slow, match: ['alertname=\"Slow\"'], playbook: slow.yml}\n"
            "  - {name: mark, match: ['alertname=\"Down\"'], playbook: mark.yml}\n",
        )
        for name, wait in (("mark", "true"), ("slow", f"until [ -e {self.folder}/release ]; do sleep 0.2; done")):
            line = f"{{{{ inventory_hostname }}}} >> {self.folder}"
            self._write(
                f"playbooks/{name}.yml",
                "- hosts: all\n  gather_facts: false\n  tasks:\n"
                f'    - ansible.builtin.shell: "echo {line}/begun; {wait}; echo {line}/marks"\n',
            )

    def _write(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text)

    def serve(self, name: str, python: str | Path, role: str) -> tuple[subprocess.Popen[bytes], str]:
        """One role of a version; its process and URL."""
        port = free_port()
        command = [str(python), "-m", "webhook.cli", "serve", f"--role={role}"]
        command += [f"--config.file={self.folder / 'alertmend.yml'}", f"--storage.path={self.folder / name}"]
        return self.processes.start(
            name, [*command, f"--web.listen-address=127.0.0.1:{port}"]
        ), f"http://127.0.0.1:{port}"

    def lines(self, name: str) -> list[str]:
        with suppress(FileNotFoundError):
            return (self.folder / name).read_text().split()
        return []

    def rows(self, query: str) -> list[Any]:
        engine = create_engine(self.database.replace("postgresql:", "postgresql+psycopg:"))
        with engine.connect() as connection:
            found = list(connection.execute(text(query)))
        engine.dispose()
        return found

    def finished(self) -> int:
        return len(self.rows("SELECT id FROM runs WHERE outcome = 'unproved'"))


@pytest.fixture
def site(processes: Processes) -> Iterator[Site]:
    with tempfile.TemporaryDirectory(prefix="alertmend-pg-", ignore_cleanup_errors=True) as name:
        server = start_postgres(Path(name))
        try:
            yield Site(processes=processes, database=f"postgresql://postgres@/postgres?host={name}")
        finally:
            processes.end()
            server.send_signal(signal.SIGQUIT)
            server.wait(START_SECONDS)


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment with the version from before, over the same dependencies."""
    folder = tmp_path_factory.mktemp("before") / "env"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    [packages] = folder.glob("lib/*/site-packages")
    with zipfile.ZipFile(BEFORE) as wheel:
        wheel.extractall(packages)
    # Searched after its own: the package itself is the old one.
    ours = next(path for path in sys.path if path.endswith("site-packages"))
    (packages / "dependencies.pth").write_text(f"{ours}\n")
    for program in Path(sys.executable).parent.glob("ansible*"):
        (folder / "bin" / program.name).symlink_to(program)
    return folder / "bin/python"


def _deliver(url: str, host: str, **labels: str) -> None:
    http.post(f"{url}/api/v1/alertmanager", json=notification(firing(host, **labels)), timeout=20).raise_for_status()


def test_a_site_is_upgraded_machine_by_machine_with_runs_under_way(site: Site, before: Path) -> None:
    # Given the version from before, with a run under way
    old_web, old_url = site.serve("old-web", before, "web")
    until(lambda: answers(f"{old_url}/healthz"), "the old receiver is there")
    old_worker, _ = site.serve("old-worker", before, "worker")
    _deliver(old_url, "h0")
    until(lambda: site.finished() == 1, "the old version works")
    _deliver(old_url, "h1", alertname="Slow")
    until(lambda: "h1" in site.lines("begun"), "the long one has begun")
    old_schema = site.rows("SELECT version_num FROM alembic_version")
    # When the new one comes beside it, and both take notifications
    new_worker, _ = site.serve("new-worker", sys.executable, "worker")
    _, new_url = site.serve("new-web", sys.executable, "web")
    until(lambda: answers(f"{new_url}/readyz"), "the new receiver is ready")
    assert site.rows("SELECT version_num FROM alembic_version") != old_schema
    for url, host in ((old_url, "h2"), (new_url, "h3"), (old_url, "h4")):
        _deliver(url, host)
    # One firing, told to both
    for url in (old_url, new_url):
        _deliver(url, "h5")
    # The old version lets a playbook fail that begins while it is told to end: here all but the long one have run
    until(lambda: site.finished() == 5, "what both took has run")
    # And the old one is taken away
    for process in (old_worker, old_web):
        process.terminate()
    (site.folder / "release").touch()
    assert [process.wait(60) for process in (old_worker, old_web)] == [0, 0]
    _deliver(new_url, "h6")
    until(lambda: site.finished() == 7, "everything has run")
    # Then nothing is lost and nothing doubled
    assert sorted(site.lines("marks")) == sorted(site.lines("begun")) == [f"h{number}" for number in range(7)]
    started = Counter(row[0] for row in site.rows("SELECT run FROM audit WHERE event = 'run_started'"))
    assert set(started.values()) == {1} and len(started) == 7
    engine = open_engine(site.database)
    assert SqlLedger(engine=engine).verify() is None
    engine.dispose()
    assert new_worker.poll() is None
