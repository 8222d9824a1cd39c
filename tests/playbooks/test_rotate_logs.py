"""rotate_logs.yml with the real logrotate on the access log of a real nginx."""

from __future__ import annotations

import os
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.playbooks.debian import find
from tests.playbooks.nginx import Nginx
from tests.playbooks.stage import PlayEnd, Stage, wait_until

MIB = 1 << 20
LOG = Path("/var/log/nginx/alertmend-test.log")
CONFIG = Path("/etc/logrotate.d/alertmend-test")
#: As Debian's package has it, for one log.
REOPEN = "postrotate\n kill -USR1 $(cat /run/nginx.pid)\n endscript"


@dataclass(frozen=True, kw_only=True)
class Logged:
    """An nginx with a log of its own that has grown to 2 MiB."""

    nginx: Nginx

    def request(self) -> None:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.nginx.port}/", timeout=5) as response:
            assert response.read() == b"healthy"


@pytest.fixture
def logged(nginx: Nginx) -> Iterator[Logged]:
    find(program="logrotate", package="logrotate")
    port = nginx.port
    nginx.site.write_text(
        f"server {{ listen 127.0.0.1:{port}; access_log {LOG}; location / {{ return 200 'healthy'; }} }}\n"
    )
    LOG.write_bytes(b"x" * 2 * MIB)
    configure(REOPEN)
    nginx.start()
    yield Logged(nginx=nginx)
    for file in (CONFIG, *LOG.parent.glob(f"{LOG.name}*")):
        file.unlink(missing_ok=True)


def configure(script: str) -> None:
    CONFIG.write_text(f"{LOG} {{\n daily\n missingok\n nocompress\n create 0640 www-data adm\n {script}\n}}\n")
    CONFIG.chmod(0o644)


def play(stage: Stage, *options: str, **variables: object) -> PlayEnd:
    sound = {"config": CONFIG.name, "log": str(LOG), "min_size_mib": 1}
    return stage.play("rotate_logs.yml", {**sound, **variables}, *options)


def test_a_large_log_is_rotated_its_writer_follows_and_a_second_run_changes_nothing(
    stage: Stage, logged: Logged
) -> None:
    first = play(stage)
    logged.request()
    second = play(stage)

    assert first.return_code == 0, first.output
    assert first.result == {"log": str(LOG), "size_bytes": 2 * MIB, "rotated": True}
    # The number of old logs to keep stands in /etc/logrotate.conf: without that the old one would be gone.
    assert LOG.with_name(f"{LOG.name}.1").stat().st_size == 2 * MIB
    wait_until(lambda: b"GET / " in LOG.read_bytes())
    assert (second.return_code, second.changed) == (0, 0), second.output


def test_it_fails_while_a_process_writes_to_the_old_log_on(stage: Stage, logged: Logged) -> None:
    configure("")

    end = play(stage, timeout=1)

    assert end.return_code == 2, end.output
    assert os.stat(LOG).st_size == 0
    assert "the old file is open still, in the processes" in end.output


def test_check_mode_says_that_it_would_rotate_and_does_not(stage: Stage, logged: Logged) -> None:
    end = play(stage, "--check")

    assert (end.return_code, end.changed) == (0, 1), end.output
    assert LOG.stat().st_size == 2 * MIB


def test_a_log_that_the_configuration_does_not_rotate_is_refused(stage: Stage, logged: Logged) -> None:
    end = play(stage, log="/var/log/nginx/access.log")

    assert (end.return_code, end.changed) == (2, 0), end.output


def test_a_broken_configuration_is_refused(stage: Stage, logged: Logged) -> None:
    configure("sizee nonsense")

    end = play(stage)

    assert (end.return_code, end.changed) == (2, 0), end.output
    assert LOG.stat().st_size == 2 * MIB


def test_values_that_cannot_be_are_refused(stage: Stage) -> None:
    sound = {"config": "nginx", "log": "/var/log/nginx/access.log"}
    wrong: dict[str, list[object]] = {
        "config": ["-f", "../cron.d/x", "", None, "a b", "x\n"],
        "log": ["access.log", "/log", "-v", "/var/../etc/passwd", "/var/log/$(id)", None],
        "min_size_mib": [0],
        "timeout": [0, 601],
    }

    cases = [{**sound, name: value} for name, values in wrong.items() for value in values]
    stage.refusals("rotate_logs.yml", cases)
