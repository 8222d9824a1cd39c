"""serve_maintenance_page.yml and restore_service.yml on a real HAProxy, judged by what it answers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.playbooks.haproxy import BACKEND, HAProxy, Instance, haproxy, instances
from tests.playbooks.stage import PlayEnd, Stage, wait_until


@dataclass(frozen=True, kw_only=True)
class Shop:
    """One server behind a HAProxy that has a page for when it is away."""

    proxy: HAProxy
    toy: Instance
    map: Path
    stage: Stage

    def play(self, playbook: str, *options: str, **variables: object) -> PlayEnd:
        sound = {
            "socket": str(self.proxy.socket),
            "backend": BACKEND,
            "map": str(self.map),
            "url": f"http://127.0.0.1:{self.proxy.port}/",
        }
        return self.stage.play(playbook, {**sound, **variables}, *options)

    def fall(self) -> None:
        self.toy.fall()
        wait_until(lambda: self.proxy.status(self.toy.name) == "DOWN")

    def recover(self) -> None:
        self.toy.recover()
        wait_until(lambda: self.proxy.status(self.toy.name) == "UP")


@pytest.fixture
def shop(stage: Stage, tmp_path: Path) -> Iterator[Shop]:
    file, page = tmp_path / "maintenance.map", tmp_path / "page.html"
    file.write_text("# what is away\nblog off\n")
    page.write_text("Back soon.")
    with ExitStack() as stack:
        toys = stack.enter_context(instances(tmp_path, "web3"))
        proxy = stack.enter_context(
            haproxy(
                tmp_path,
                [f"web3 127.0.0.1:{toys['web3'].port}"],
                frontend=f"use_backend maintenance if {{ str({BACKEND}),map({file},off) -m str on }}",
                extra=f"backend maintenance\n"
                f"  http-request return status 503 content-type text/html file {page}"
                f" hdr X-Maintenance {BACKEND} hdr Retry-After 300 hdr Cache-Control no-store",
            )
        )
        yield Shop(proxy=proxy, toy=toys["web3"], map=file, stage=stage)


def test_the_page_is_served_while_nothing_else_can_be_and_the_service_again_afterwards(shop: Shop) -> None:
    shop.fall()

    page = shop.play("serve_maintenance_page.yml")
    again = shop.play("serve_maintenance_page.yml")
    shown = shop.proxy.get()
    kept = shop.map.read_text()
    shop.recover()
    service = shop.play("restore_service.yml")

    assert page.return_code == 0, page.output
    assert page.result == {"backend": BACKEND, "served": "the maintenance page", "switched": True}
    assert (again.return_code, again.changed) == (0, 0), again.output
    assert shown == (503, "Back soon.")
    assert kept == f"# what is away\nblog off\n{BACKEND} on\n"
    assert service.return_code == 0, service.output
    assert service.result["served"] == "the service"
    assert shop.proxy.get() == (200, "web3")


def test_what_works_is_not_taken_away_but_by_force(shop: Shop) -> None:
    refused = shop.play("serve_maintenance_page.yml")
    before = shop.proxy.get()
    forced = shop.play("serve_maintenance_page.yml", force=True)

    assert (refused.return_code, refused.changed) == (2, 0), refused.output
    assert "1 servers are up and serve" in refused.output
    assert before == (200, "web3")
    assert forced.return_code == 0, forced.output
    assert shop.proxy.get()[0] == 503


def test_the_page_stays_while_no_server_is_up(shop: Shop) -> None:
    shop.fall()
    shop.play("serve_maintenance_page.yml")

    end = shop.play("restore_service.yml")

    assert (end.return_code, end.changed) == (2, 0), end.output
    assert "no server is up" in end.output
    assert shop.proxy.get() == (503, "Back soon.")


def test_a_run_that_was_killed_between_file_and_process_is_taken_up(shop: Shop) -> None:
    shop.fall()
    shop.map.write_text(f"{BACKEND} on\n")

    end = shop.play("serve_maintenance_page.yml")

    assert end.return_code == 0, end.output
    assert shop.proxy.get() == (503, "Back soon.")


def test_a_map_that_haproxy_does_not_use_is_refused(shop: Shop, tmp_path: Path) -> None:
    shop.fall()

    end = shop.play("serve_maintenance_page.yml", map=str(tmp_path / "other.map"))

    assert (end.return_code, end.changed) == (2, 0), end.output
    assert "uses no map" in end.output


def test_check_mode_switches_nothing(shop: Shop) -> None:
    shop.fall()
    before = shop.map.read_text()

    end = shop.play("serve_maintenance_page.yml", "--check")

    assert (end.return_code, end.changed) == (0, 1), end.output
    assert shop.map.read_text() == before
    assert shop.proxy.get() != (503, "Back soon.")


def test_values_that_cannot_be_are_refused(stage: Stage) -> None:
    sound: dict[str, object] = {"backend": BACKEND, "url": "http://127.0.0.1:1/", "socket": "/nowhere/admin.sock"}
    wrong: dict[str, list[object]] = {
        "load_balancers": [["nowhere"]],
        "backend": ["a;b", "on off", "", None],
        "url": ["file:///etc/passwd", "http://x/?q", "gopher://x", "-x", None],
        "map": ["maintenance.map", "/etc/../x"],
        "force": ["perhaps"],
    }

    cases = [{**sound, name: value} for name, values in wrong.items() for value in values]
    stage.refusals("serve_maintenance_page.yml", cases)
