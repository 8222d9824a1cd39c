"""replace_instance.yml: a real nginx behind a real HAProxy, under load, judged by every single answer."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.playbooks.haproxy import BACKEND, HAProxy, Instance, haproxy, instances, load
from tests.playbooks.nginx import Nginx
from tests.playbooks.stage import TARGET, PlayEnd, Stage, free_port, wait_until

MARK = Path(f"/var/lib/alertmend/replace_instance/{BACKEND}.{TARGET}")


@dataclass(frozen=True, kw_only=True)
class Shop:
    """The target's nginx and two toys, behind one balancer."""

    nginx: Nginx
    proxy: HAProxy
    toys: dict[str, Instance]
    stage: Stage

    def answer(self, body: str, *, health: int = 200) -> None:
        """Write what nginx will say after its next start."""
        self.nginx.site.write_text(
            f"server {{ listen 127.0.0.1:{self.nginx.port}; location / {{ return 200 '{body}'; }}"
            f" location = /healthz {{ return {health} 'health'; }} }}\n"
        )

    def play(self, *options: str, **variables: object) -> PlayEnd:
        return self.stage.play("replace_instance.yml", self.variables(**variables), *options)

    def variables(self, **variables: object) -> dict[str, object]:
        sound = {
            "load_balancers": ["lb1"],
            "socket": str(self.proxy.socket),
            "backend": BACKEND,
            "service": "nginx",
            "port": self.nginx.port,
            "config_test": ["nginx", "-t"],
            "health_path": "/healthz",
            "drain_timeout": 5,
            "up_timeout": 10,
        }
        return {**sound, **variables}


@pytest.fixture
def shop(stage: Stage, nginx: Nginx, tmp_path: Path) -> Iterator[Shop]:
    stage.hosts["lb1"] = {"ansible_python_interpreter": sys.executable}
    MARK.unlink(missing_ok=True)
    with ExitStack() as stack:
        toys = stack.enter_context(instances(tmp_path, "web3", "web4"))
        servers = {TARGET: nginx.port, **{name: toy.port for name, toy in toys.items()}}
        proxy = stack.enter_context(haproxy(tmp_path, [f"{name} 127.0.0.1:{port}" for name, port in servers.items()]))
        shop = Shop(nginx=nginx, proxy=proxy, toys=toys, stage=stage)
        shop.answer("sick")
        nginx.start()
        wait_until(lambda: all(proxy.status(name) == "UP" for name in servers))
        yield shop
    MARK.unlink(missing_ok=True)


def test_under_load_no_request_fails_and_the_sick_one_serves_nothing_after_it_is_out(shop: Shop) -> None:
    pid = shop.nginx.pid
    shop.answer("well")

    with load(shop.proxy.port) as clients:
        out_at = moment_of(lambda: shop.proxy.status(TARGET) == "DRAIN")
        end = shop.play(force=True)
        wait_until(lambda: clients.bodies()["well"] > 10)

    assert end.return_code == 0, end.output
    told = {"backend": BACKEND, "server": TARGET, "replaced": True, "cut": 0, "state": "in the load balancer"}
    assert end.result.items() >= told.items()
    assert clients.failed == []
    assert clients.bodies()["sick"] > 0
    # A request may have been under way in the moment in which it was seen drained.
    assert clients.bodies(since=out_at.result() + 0.5)["sick"] == 0
    assert shop.nginx.pid != pid
    assert shop.proxy.status(TARGET) == "UP"
    errors = {name: row["econ"] + row["eresp"] + row["hrsp_5xx"] for name, row in shop.proxy.servers().items()}
    assert errors == dict.fromkeys(errors, "000")
    assert not MARK.exists()


def moment_of(moment: Callable[[], bool]) -> Future[float]:
    """When a moment came that comes while something else is done."""

    def look() -> float:
        wait_until(moment)
        return time.monotonic()

    pool = ThreadPoolExecutor(1)
    future = pool.submit(look)
    pool.shutdown(wait=False)
    return future


def test_a_healthy_one_is_left_alone_and_check_mode_changes_nothing(shop: Shop) -> None:
    pid = shop.nginx.pid

    checked = shop.play("--check", force=True)
    untouched = shop.play()

    assert checked.return_code == 0, checked.output
    assert checked.changed > 0
    assert checked.result["replaced"] is False
    assert (untouched.return_code, untouched.changed) == (0, 0), untouched.output
    assert shop.nginx.pid == pid
    assert shop.proxy.status(TARGET) == "UP"
    assert not MARK.exists()


def test_one_that_does_not_become_healthy_stays_out_and_the_next_run_takes_it_up(shop: Shop) -> None:
    shop.answer("sick", health=500)

    with load(shop.proxy.port) as clients:
        failed = shop.play(force=True, up_timeout=1)
        status, marked = shop.proxy.status(TARGET), MARK.exists()
        shop.answer("well")
        again = shop.play()
        wait_until(lambda: clients.bodies()["well"] > 0)

    assert failed.return_code == 2, failed.output
    assert failed.result["state"] == "out of the load balancer"
    assert (status, marked) == ("DOWN", True)
    assert again.return_code == 0, again.output
    assert shop.proxy.status(TARGET) == "UP"
    assert clients.failed == []


def test_a_run_that_is_killed_half_way_is_taken_up_by_the_next(shop: Shop) -> None:
    with load(shop.proxy.port) as clients:
        shop.stage.play_until(
            lambda: shop.proxy.status(TARGET) == "DRAIN", "replace_instance.yml", shop.variables(force=True)
        )
        end = shop.play()

    assert end.return_code == 0, end.output
    assert shop.proxy.status(TARGET) == "UP"
    assert clients.failed == []


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        (f"set server {BACKEND}/{TARGET} state drain", "someone is draining it"),
        (f"set server {BACKEND}/{TARGET} state maint", "someone has taken it out for maintenance"),
        (f"set server {BACKEND}/web3 state maint", "only 1 others are up, and at_least is 2"),
    ],
)
def test_what_would_harm_is_refused(shop: Shop, state: str, reason: str) -> None:
    shop.proxy.tell(state)
    pid = shop.nginx.pid

    end = shop.play(force=True, at_least=2)

    assert (end.return_code, end.changed) == (2, 0), end.output
    assert reason in end.output
    assert shop.nginx.pid == pid


def test_a_broken_configuration_is_found_before_it_is_taken_out(shop: Shop) -> None:
    shop.nginx.break_configuration()

    end = shop.play(force=True)

    assert (end.return_code, end.changed) == (2, 0), end.output
    assert shop.proxy.status(TARGET) == "UP"


def test_values_that_cannot_be_are_refused(stage: Stage) -> None:
    sound: dict[str, object] = {
        "load_balancers": [TARGET],
        "backend": BACKEND,
        "service": "nginx",
        "port": free_port(),
        "socket": "/nowhere/admin.sock",
    }
    wrong: dict[str, list[object]] = {
        "load_balancers": [[], "web1", ["nowhere"], ["{{ 1 }}"], None],
        "backend": ["a;b", "a b", "-x", "", None, "a/b", "a\nb"],
        "server": ["web1;shutdown", "", "web1/x"],
        "socket": ["admin.sock", "/run/../x"],
        "at_least": [0],
        "drain_timeout": [601],
        "up_timeout": [0],
        "port": [0, None],
        "health_path": ["healthz", "/x?y=z", "/a b"],
        "service": [None],
    }

    cases = [{**sound, name: value} for name, values in wrong.items() for value in values]
    stage.refusals("replace_instance.yml", cases)
