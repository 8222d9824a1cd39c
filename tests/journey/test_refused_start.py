"""What `alertmend serve` does not start with: it ends with words, rather than run without a part of itself."""

import socket
import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.journey.harness import Alertmend, Processes, free_port
from webhook.cli import cli


def refused(alertmend: Alertmend, options: Sequence[str]) -> str:
    """What it says before it ends with exit status 2."""
    config = f"--config.file={alertmend.folder / 'alertmend.yml'}"
    command = [sys.executable, "-m", "webhook.cli", "serve", config, "--storage.path=data", *options]
    answer = subprocess.run(command, cwd=alertmend.folder, capture_output=True, text=True, timeout=60, check=False)
    assert answer.returncode == 2, answer.stderr
    return answer.stderr


@pytest.fixture
def alertmend(processes: Processes) -> Alertmend:
    return Alertmend(processes)


def test_a_rule_with_a_mistake_is_named_with_its_place(alertmend: Alertmend) -> None:
    alertmend.write("rules/rules.yml", "rules:\n  - name: web\n    macht: []\n")
    said = refused(alertmend, [f"--web.listen-address=127.0.0.1:{alertmend.port}"])
    assert "rules/rules.yml:3:5: rules: unknown key 'macht'; did you mean 'match'?" in said


def test_a_web_config_with_a_mistake_is_named_with_its_place(alertmend: Alertmend) -> None:
    alertmend.write("web.yml", "basic_auth_users: {alice: plain}\n")
    said = refused(alertmend, [f"--web.listen-address=127.0.0.1:{alertmend.port}", "--web.config.file=web.yml"])
    assert "web.yml:1:27: alice: this is not a bcrypt hash" in said


def test_check_finds_before_what_serve_would_refuse(alertmend: Alertmend) -> None:
    alertmend.write("web.yml", "basic_auth_users: {alice: plain}\n")
    alertmend.write("rules/rules.yml", "rules:\n  - name: web\n    macht: []\n")
    files = [f"--config.file={alertmend.folder / 'alertmend.yml'}", f"--web.config.file={alertmend.folder / 'web.yml'}"]
    answer = CliRunner().invoke(cli, ["check", *files])
    assert answer.exit_code == 2
    assert "'macht'" in answer.stdout and "bcrypt" in answer.stdout
    assert "4 problems" in answer.stderr


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]"])
def test_an_address_that_is_taken_is_named(alertmend: Alertmend, host: str) -> None:
    family = socket.AF_INET6 if "[" in host else socket.AF_INET
    with socket.create_server((host.strip("[]"), 0), family=family) as taken:
        address = f"{host}:{taken.getsockname()[1]}"
        assert f"cannot listen on {address}: address already in use" in refused(
            alertmend, [f"--web.listen-address={address}"]
        )


def test_beyond_loopback_it_wants_to_know_whom_to_let_in(alertmend: Alertmend) -> None:
    assert "--web.config.file" in refused(alertmend, [f"--web.listen-address=0.0.0.0:{free_port()}"])


def started(alertmend: Alertmend, storage: Path) -> subprocess.CompletedProcess[str]:
    """`alertmend serve` on a storage path; it has to end by itself."""
    options = [f"--config.file={alertmend.folder / 'alertmend.yml'}", f"--storage.path={storage}"]
    command = [
        sys.executable,
        "-m",
        "webhook.cli",
        "serve",
        *options,
        f"--web.listen-address=127.0.0.1:{alertmend.port}",
    ]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("storage", ["/proc/alertmend", "/dev/null/data", "/sys"])
def test_a_storage_path_in_which_nothing_can_be_kept_is_named(alertmend: Alertmend, storage: str) -> None:
    answer = started(alertmend, Path(storage))
    assert answer.returncode == 2
    assert f"nothing can be kept in {storage}: " in answer.stderr and "Traceback" not in answer.stderr


def test_a_database_that_is_none_is_named_and_left_as_it_is(alertmend: Alertmend, tmp_path: Path) -> None:
    (tmp_path / "alertmend.db").write_text("This was something else. " * 100)
    answer = started(alertmend, tmp_path)
    assert answer.returncode == 3
    assert f"file is not a database ({tmp_path}/alertmend.db)" in answer.stderr and "Traceback" not in answer.stderr
    assert (tmp_path / "alertmend.db").read_text().startswith("This was something else. ")


def test_a_database_of_a_newer_version_is_left_to_that_version(alertmend: Alertmend, tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "alertmend.db")) as database:
        database.execute("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)")
        database.execute("INSERT INTO alembic_version VALUES ('9999')")
        database.commit()
    answer = started(alertmend, tmp_path)
    assert answer.returncode == 2
    assert "written by a newer alertmend" in answer.stderr and "Traceback" not in answer.stderr


def test_a_valkey_that_cannot_read_its_files_says_where_its_log_lies(alertmend: Alertmend, tmp_path: Path) -> None:
    (tmp_path / "appendonlydir").mkdir()
    (tmp_path / "appendonlydir/appendonly.aof.manifest").write_text("nonsense\n")
    answer = started(alertmend, tmp_path)
    assert answer.returncode == 3
    assert f"see {tmp_path}/valkey.log" in answer.stderr and "Traceback" not in answer.stderr
    assert "AOF manifest" in (tmp_path / "valkey.log").read_text()
