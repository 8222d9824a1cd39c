"""reload_service.yml on a real nginx, judged by what it serves and by its pids."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.playbooks.nginx import Nginx
from tests.playbooks.stage import PlayEnd, Stage, free_port

MEMORY = Path("/run/alertmend/reload_service/nginx")


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    MEMORY.unlink(missing_ok=True)
    yield
    MEMORY.unlink(missing_ok=True)


def play(stage: Stage, nginx: Nginx, *options: str, **variables: object) -> PlayEnd:
    given = {"service": "nginx", "config_test": ["nginx", "-t"], "files": [str(nginx.site)], **variables}
    return stage.play("reload_service.yml", given, *options)


def test_what_changed_is_served_after_a_reload_by_the_same_process_and_a_second_run_changes_nothing(
    stage: Stage, nginx: Nginx
) -> None:
    nginx.start()
    pid, moved = nginx.pid, free_port()
    nginx.configure(port=moved)

    first = play(stage, nginx, port=moved)
    second = play(stage, nginx, port=moved)

    assert first.return_code == 0, first.output
    assert first.result == {"service": "nginx", "reloaded": True}
    assert nginx.answers(port=moved)
    assert nginx.pid == pid
    assert (second.return_code, second.changed) == (0, 0), second.output
    assert second.result == {"service": "nginx", "reloaded": False}

    nginx.configure(port=nginx.port)
    third = play(stage, nginx, port=nginx.port)

    assert third.result == {"service": "nginx", "reloaded": True}, third.output
    assert nginx.answers()


def test_check_mode_says_that_it_would_reload_and_does_not(stage: Stage, nginx: Nginx) -> None:
    nginx.start()
    moved = free_port()
    nginx.configure(port=moved)

    end = play(stage, nginx, "--check", "--diff", files=["/etc/nginx"], port=moved)

    assert end.return_code == 0, end.output
    assert end.changed > 0
    assert end.result == {"service": "nginx", "reloaded": False}
    assert not nginx.answers(port=moved)
    assert not MEMORY.exists()


def test_a_broken_configuration_is_not_loaded(stage: Stage, nginx: Nginx) -> None:
    nginx.start()
    nginx.break_configuration()

    end = play(stage, nginx, force=True)

    assert (end.return_code, end.changed) == (2, 0), end.output
    assert "alertmend-test:1" in end.output
    assert nginx.answers()


def test_a_service_that_does_not_run_is_not_started(stage: Stage, nginx: Nginx) -> None:
    end = play(stage, nginx, force=True)

    assert (end.return_code, end.changed) == (2, 0), end.output
    assert "restart_service starts it" in end.output
    assert nginx.pid is None


def test_it_fails_when_the_port_does_not_answer_afterwards(stage: Stage, nginx: Nginx) -> None:
    nginx.start()
    silent = free_port()

    end = play(stage, nginx, port=silent, timeout=1)

    assert end.return_code == 2, end.output
    assert f"nginx was reloaded, but port {silent} does not answer within 1 s" in end.output


def test_values_that_cannot_be_are_refused_before_anything_acts(stage: Stage) -> None:
    sound = {"service": "nginx", "config_test": ["nginx", "-t"], "files": ["/etc/nginx"]}
    wrong: dict[str, list[object]] = {
        "service": ["-x", "../nginx", "nginx;id", "reboot.target", None, ""],
        "config_test": [[], "nginx -t", None, [["nginx"]]],
        "files": [["etc"], [], "nginx.conf", ["/etc\n/x"]],
        "port": [0, 70000],
        "address": ["-x"],
        "timeout": [0],
    }

    stage.refusals("reload_service.yml", [{**sound, name: value} for name, values in wrong.items() for value in values])
