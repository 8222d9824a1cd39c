"""restart_service.yml, judged by ports, pids and files on a real machine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.playbooks.nginx import Nginx
from tests.playbooks.stage import PlayEnd, Stage, control, free_port

NGINX_TEST = ["nginx", "-t"]


def play(stage: Stage, *options: str, **variables: object) -> PlayEnd:
    return stage.play("restart_service.yml", {"settle": 0, **variables}, *options)


def test_it_brings_back_a_stopped_nginx(stage: Stage, nginx: Nginx) -> None:
    end = play(stage, service="nginx", port=str(nginx.port), config_test=NGINX_TEST, settle=1)

    assert end.return_code == 0, end.output
    assert nginx.answers()
    assert end.result == {"service": "nginx", "was_running": False, "restarted": True}


def test_a_second_run_changes_nothing(stage: Stage, nginx: Nginx) -> None:
    first = play(stage, service="nginx", port=nginx.port)
    pid = nginx.pid

    second = play(stage, service="nginx", port=nginx.port)

    assert (first.return_code, first.changed) == (0, 1), first.output
    assert (second.return_code, second.changed) == (0, 0), second.output
    assert nginx.pid == pid
    assert second.result == {"service": "nginx", "was_running": True, "restarted": False}


def test_without_a_port_running_is_healthy(stage: Stage, nginx: Nginx) -> None:
    started = play(stage, service="nginx")
    pid = nginx.pid

    left_alone = play(stage, service="nginx")

    assert (started.return_code, left_alone.return_code) == (0, 0), started.output
    assert pid is not None
    assert nginx.pid == pid


def test_it_restarts_what_runs_and_does_not_answer(stage: Stage, nginx: Nginx) -> None:
    nginx.start()
    moved = free_port()
    nginx.configure(port=moved)

    end = play(stage, service="nginx", port=moved)

    assert end.return_code == 0, end.output
    assert nginx.answers(port=moved)
    assert end.result == {"service": "nginx", "was_running": True, "restarted": True}


def test_force_restarts_what_is_healthy(stage: Stage, nginx: Nginx) -> None:
    nginx.start()
    pid = nginx.pid

    end = play(stage, service="nginx", port=nginx.port, force=True)

    assert end.return_code == 0, end.output
    assert nginx.answers()
    assert nginx.pid not in (None, pid)


def test_check_mode_says_what_it_would_do_to_a_stopped_service_and_changes_nothing(stage: Stage, nginx: Nginx) -> None:
    end = play(stage, "--check", "--diff", service="nginx", port=nginx.port, config_test=NGINX_TEST)

    assert (end.return_code, end.changed) == (0, 1), end.output
    assert nginx.pid is None
    assert end.result == {"service": "nginx", "was_running": False, "restarted": False}


def test_check_mode_changes_nothing_about_a_running_service(stage: Stage, nginx: Nginx) -> None:
    nginx.start()
    pid = nginx.pid

    healthy = play(stage, "--check", "--diff", service="nginx", port=nginx.port)
    forced = play(stage, "--check", "--diff", service="nginx", port=nginx.port, force=True)

    assert (healthy.return_code, healthy.changed) == (0, 0), healthy.output
    assert (forced.return_code, forced.changed) == (0, 1), forced.output
    assert nginx.pid == pid


@pytest.mark.parametrize("options", [(), ("--check",)])
def test_a_broken_configuration_leaves_the_running_service_alone(
    stage: Stage, nginx: Nginx, options: tuple[str, ...]
) -> None:
    nginx.start()
    pid = nginx.pid
    nginx.break_configuration()

    end = play(stage, *options, service="nginx", port=nginx.port, config_test=NGINX_TEST, force=True)

    assert (end.return_code, end.changed) == (2, 0), end.output
    assert "alertmend-test:1" in end.output
    assert nginx.pid == pid
    assert nginx.answers()


def test_it_fails_when_the_port_never_answers(stage: Stage, nginx: Nginx) -> None:
    silent = free_port()

    end = play(stage, service="nginx", port=silent, timeout=2)

    assert end.return_code == 2, end.output
    assert f"nginx was restarted, but port {silent} does not answer within 2 s" in end.output
    assert end.result == {"service": "nginx", "was_running": False, "restarted": True}


def test_it_fails_with_words_on_an_unknown_service(stage: Stage) -> None:
    end = play(stage, service="no-such-service")

    assert (end.return_code, end.changed) == (2, 0), end.output
    assert "Could not find the requested service no-such-service" in end.output


# Each would touch a file or restart something, if it got as far as a shell, a template or a service manager.
HOSTILE = [
    "-x",
    "",
    "nginx; touch {trace}",
    "nginx\ntouch {trace}",
    "nginx\n",
    "$(touch {trace})",
    "nginx' 'touch {trace}",
    "{{{{ lookup('pipe', 'touch {trace}') }}}}",
    "../../{trace}",
    "nginx*",
    "nginx\x1b[K",
    "ngin\N{CYRILLIC SMALL LETTER HA}",
    "reboot.target",
    "n" * 256,
]


def test_a_hostile_name_is_refused_and_nothing_happens(stage: Stage, tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    cases = [{"service": name.format(trace=trace), "force": True} for name in HOSTILE]

    refusals = stage.refusals("restart_service.yml", cases)

    assert all("service must be the name of one service" in words for words in refusals), refusals
    assert not trace.exists()


CANNOT_BE: dict[str, list[object]] = {
    "service": [None, 7, ["nginx"]],
    "port": [0, 65536, "", "{{ lookup('pipe', 'systemctl restart shop') }}"],
    "address": ["-oProxyCommand=x"],
    "timeout": [0, 601],
    "settle": [61],
    "force": ["perhaps"],
    "config_test": ["systemctl restart shop", [["systemctl", "restart", "shop"]]],
}


def test_a_value_that_cannot_be_is_refused_before_anything_acts(stage: Stage, tmp_path: Path) -> None:
    systemctl = Systemctl(tmp_path, LoadState="loaded", Type="simple", ActiveState="inactive")
    sound = {"service": "shop", "force": True}
    cases = [{**sound, variable: value} for variable, values in CANNOT_BE.items() for value in values]

    stage.refusals("restart_service.yml", cases, prelude=[SYSTEMD], path=systemctl.folder)

    assert systemctl.told == []


def test_a_service_that_falls_over_again_has_not_been_brought_back(stage: Stage, fainting: str) -> None:
    end = play(stage, service=fainting, settle=3)

    assert end.return_code == 2, end.output
    assert f"{fainting} was restarted, but did not stay up for 3 s" in end.output


@pytest.fixture
def fainting(tmp_path: Path) -> Iterator[str]:
    """The name of a service that starts well and runs for two seconds."""
    # Its status reads the command line, which a zombie has not: not every first process of a container reaps at once.
    pid_file = tmp_path / "pid"
    script = Path("/etc/init.d/alertmend-fainting")
    script.write_text(
        f"""#!/bin/sh
### BEGIN INIT INFO
# Provides: alertmend-fainting
# Required-Start:
# Required-Stop:
# Default-Start:
# Default-Stop:
### END INIT INFO
# pidfile: {pid_file}
case "$1" in
start) sleep 2 >/dev/null 2>&1 & echo $! >{pid_file} ;;
stop) kill "$(cat {pid_file})" 2>/dev/null; rm -f {pid_file} ;;
status) grep -q sleep "/proc/$(cat {pid_file})/cmdline" 2>/dev/null && echo running || {{ echo stopped; exit 3; }} ;;
esac
"""
    )
    script.chmod(0o755)
    yield script.name
    control(script.name, "stop")
    script.unlink()


SYSTEMD = {"ansible.builtin.set_fact": {"service_mgr": "systemd", "cacheable": True}}
SYSVINIT = {"ansible.builtin.set_fact": {"service_mgr": "sysvinit", "cacheable": True}}


def test_it_works_through_init_scripts_too(stage: Stage, nginx: Nginx) -> None:
    variables = {"service": "nginx", "port": nginx.port, "settle": 0}

    first = stage.play("restart_service.yml", variables, prelude=[SYSVINIT])
    pid = nginx.pid
    second = stage.play("restart_service.yml", variables, prelude=[SYSVINIT])

    assert first.return_code == 0, first.output
    assert first.result == {"service": "nginx", "was_running": False, "restarted": True}
    assert (second.return_code, second.changed) == (0, 0), second.output
    assert nginx.answers()
    assert nginx.pid == pid


class Systemctl:
    """A systemctl that shows one unit, counts its crashes, and notes what it is told to do.

    Real systemd is not to be had where tests run in a container; the properties are those that it prints.
    """

    def __init__(self, folder: Path, *, crashes: bool = False, **properties: str) -> None:
        self.folder = folder / "bin"
        self.folder.mkdir()
        self._told = folder / "told"
        unit = folder / "unit"
        unit.write_text("".join(f"{name}={value}\n" for name, value in properties.items()))
        crash = 'echo >>"$0.shown"; echo "NRestarts=$(wc -l <"$0.shown")"' if crashes else ":"
        program = self.folder / "systemctl"
        program.write_text(
            f"""#!/bin/sh
case "$1" in
show) cat {unit}; {crash} ;;
start | restart) echo "$*" >>{self._told}; sed -i 's/^ActiveState=.*/ActiveState=active/' {unit} ;;
esac
"""
        )
        program.chmod(0o755)

    @property
    def told(self) -> list[str]:
        return self._told.read_text().splitlines() if self._told.exists() else []

    def play(self, stage: Stage, **variables: object) -> PlayEnd:
        given = {"service": "shop", "settle": 0, **variables}
        return stage.play("restart_service.yml", given, prelude=[SYSTEMD], path=self.folder)


def test_on_systemd_it_starts_a_failed_unit_once(stage: Stage, tmp_path: Path) -> None:
    systemctl = Systemctl(tmp_path, LoadState="loaded", Type="notify", ActiveState="failed", NRestarts="5")

    first, second = systemctl.play(stage), systemctl.play(stage)

    assert (first.return_code, second.return_code) == (0, 0), first.output
    assert systemctl.told == ["start shop"]
    assert second.changed == 0


def test_on_systemd_waiting_to_be_started_again_is_not_running(stage: Stage, tmp_path: Path) -> None:
    systemctl = Systemctl(tmp_path, LoadState="loaded", Type="simple", ActiveState="activating")

    end = systemctl.play(stage)

    assert end.return_code == 0, end.output
    assert systemctl.told == ["restart shop"]


def test_a_masked_unit_is_left_down(stage: Stage, tmp_path: Path) -> None:
    systemctl = Systemctl(tmp_path, LoadState="masked", ActiveState="inactive")

    end = systemctl.play(stage, force=True)

    assert (end.return_code, end.changed) == (2, 0), end.output
    assert "shop is masked" in end.output
    assert systemctl.told == []


def test_a_oneshot_unit_such_as_poweroff_is_refused(stage: Stage, tmp_path: Path) -> None:
    systemctl = Systemctl(tmp_path, LoadState="loaded", Type="oneshot", RemainAfterExit="no", ActiveState="inactive")

    end = systemctl.play(stage, service="systemd-poweroff")

    assert (end.return_code, end.changed) == (2, 0), end.output
    assert "oneshot" in end.output
    assert systemctl.told == []


def test_a_unit_that_systemd_has_to_start_again_and_again_has_not_been_brought_back(
    stage: Stage, tmp_path: Path
) -> None:
    systemctl = Systemctl(tmp_path, crashes=True, LoadState="loaded", Type="simple", ActiveState="inactive")

    end = systemctl.play(stage)

    assert end.return_code == 2, end.output
    assert "shop was restarted, but did not stay up" in end.output
