"""scale_out.yml and scale_in.yml: units that really start and stop, behind a real HAProxy."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.playbooks.debian import find
from tests.playbooks.haproxy import BACKEND, HAProxy, haproxy, load
from tests.playbooks.stage import TARGET, PlayEnd, Stage, control, free_port, wait_until

SCRIPT = """#!/bin/sh
### BEGIN INIT INFO
# Provides: {name}
# Required-Start:
# Required-Stop:
# Default-Start:
# Default-Stop:
### END INIT INFO
# pidfile: {folder}/{name}.pid
pid() {{ cat {folder}/{name}.pid 2>/dev/null; }}
case "$1" in
start) {nginx} -c {folder}/{name}.conf ;;
stop) kill "$(pid)" && while [ -e {folder}/{name}.pid ]; do sleep 0.05; done ;;
status) grep -q nginx "/proc/$(pid)/cmdline" 2>/dev/null && echo running || {{ echo stopped; exit 3; }} ;;
esac
"""


@dataclass(frozen=True, kw_only=True)
class Fleet:
    """Three slots for instances, of which the first serves."""

    proxy: HAProxy
    slots: list[dict[str, object]]
    folder: Path
    stage: Stage

    def play(self, playbook: str, *options: str, **variables: object) -> PlayEnd:
        sound = {
            "socket": str(self.proxy.socket),
            "backend": BACKEND,
            "slots": self.slots,
            "health_path": "/healthz",
            "up_timeout": 10,
            "drain_timeout": 5,
        }
        return self.stage.play(playbook, {**sound, **variables}, *options)

    def running(self) -> list[str]:
        """Units whose process is there."""
        return [str(slot["unit"]) for slot in self.slots if (self.folder / f"{slot['unit']}.pid").exists()]

    def serving(self) -> list[str]:
        return [name for name, row in self.proxy.servers().items() if row["status"] == "UP"]


@pytest.fixture
def fleet(stage: Stage, tmp_path: Path) -> Iterator[Fleet]:
    nginx = find(program="nginx", package="nginx-light")
    slots: list[dict[str, object]] = []
    for number in (1, 2, 3):
        unit, port = f"alertmend-shop-{number}", free_port()
        slots.append({"server": f"shop{number}", "host": TARGET, "unit": unit, "port": port})
        script = Path("/etc/init.d") / unit
        script.write_text(SCRIPT.format(name=unit, folder=tmp_path, nginx=nginx))
        script.chmod(0o755)
        (tmp_path / f"{unit}.conf").write_text(
            f"user root; pid {tmp_path}/{unit}.pid; error_log {tmp_path}/{unit}.log; events {{}}\n"
            f"http {{ access_log off; server {{ listen 127.0.0.1:{port};"
            f" location /healthz {{ return 200 well; }} location / {{ return 200 shop{number}; }} }} }}\n"
        )
    lines = [f"{slot['server']} 127.0.0.1:{slot['port']}" for slot in slots]
    try:
        control("alertmend-shop-1", "start")
        with haproxy(tmp_path, [lines[0], *(f"{line} disabled" for line in lines[1:])]) as proxy:
            wait_until(lambda: proxy.status("shop1") == "UP")
            yield Fleet(proxy=proxy, slots=slots, folder=tmp_path, stage=stage)
    finally:
        for slot in slots:
            control(str(slot["unit"]), "stop")
            (Path("/etc/init.d") / str(slot["unit"])).unlink()


def test_it_scales_out_and_in_under_load_and_no_request_fails(fleet: Fleet) -> None:
    with load(fleet.proxy.port) as clients:
        out = fleet.play("scale_out.yml", instances=2)
        served = fleet.serving()
        out_again = fleet.play("scale_out.yml", instances=2)
        wait_until(lambda: clients.bodies()["shop2"] > 5)
        back = fleet.play("scale_in.yml", instances=1)

    assert out.return_code == 0, out.output
    assert out.result == {"backend": BACKEND, "before": 1, "after": 2, "started": ["shop2"], "stopped": []}
    assert served == ["shop1", "shop2"]
    assert (out_again.return_code, out_again.changed) == (0, 0), out_again.output
    assert back.return_code == 0, back.output
    assert back.result["stopped"] == ["shop2"]
    assert (fleet.serving(), fleet.running()) == (["shop1"], ["alertmend-shop-1"])
    assert clients.failed == []


def test_each_direction_leaves_the_other_alone(fleet: Fleet) -> None:
    smaller = fleet.play("scale_in.yml", instances=3)
    check = fleet.play("scale_out.yml", "--check", instances=3)

    assert (smaller.return_code, smaller.changed) == (0, 0), smaller.output
    assert check.return_code == 0, check.output
    assert check.changed > 0
    assert (fleet.serving(), fleet.running()) == (["shop1"], ["alertmend-shop-1"])


def test_an_instance_that_does_not_become_healthy_gets_no_request(fleet: Fleet) -> None:
    configuration = fleet.folder / "alertmend-shop-2.conf"
    configuration.write_text(configuration.read_text().replace("200 well", "500 sick"))

    end = fleet.play("scale_out.yml", instances=2, up_timeout=1)

    assert end.return_code == 2, end.output
    assert fleet.serving() == ["shop1"]
    assert fleet.proxy.status("shop2") == "MAINT"


def test_values_that_cannot_be_are_refused(stage: Stage) -> None:
    slot = {"server": "shop1", "host": TARGET, "unit": "shop@1", "port": 8001}
    other = {**slot, "server": "shop2", "unit": "shop@2"}
    sound: dict[str, object] = {
        "backend": BACKEND,
        "slots": [slot, other],
        "instances": 2,
        "socket": "/nowhere/admin.sock",
    }
    wrong: dict[str, list[object]] = {
        "slots": [
            [],
            None,
            [slot, slot],
            [slot, {**other, "host": "nowhere"}],
            [slot, {**other, "unit": "reboot.target"}],
            [slot, {**other, "unit": "a b"}],
            [slot, {**other, "server": "a;b"}],
            [slot, {**other, "port": 0}],
            [slot, {**other, "address": "-x"}],
            [slot, {"server": "shop2"}],
        ],
        "instances": [0, 3, None],
        "floor": [0, 3],
        "ceiling": [3, 1],
        "backend": ["a;b", None],
        "load_balancers": [["nowhere"]],
    }

    cases = [{**sound, name: value} for name, values in wrong.items() for value in values]
    stage.refusals("scale_out.yml", cases)
