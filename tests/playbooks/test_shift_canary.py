"""shift_canary.yml on a real HAProxy, judged by where requests go."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.playbooks.haproxy import BACKEND, HAProxy, Instance, haproxy, instances, load
from tests.playbooks.stage import PlayEnd, Stage, wait_until

NEW, OLD = ("canary1",), ("old1", "old2")


@dataclass(frozen=True, kw_only=True)
class Release:
    """One server with the release and two with the one before; all requests go to these."""

    proxy: HAProxy
    toys: dict[str, Instance]
    stage: Stage

    def play(self, *options: str, **variables: object) -> PlayEnd:
        sound = {"socket": str(self.proxy.socket), "backend": BACKEND, "canary": list(NEW)}
        return self.stage.play("shift_canary.yml", {**sound, **variables}, *options)

    def share(self, requests: int = 300) -> float:
        """Of so many requests, the percentage that the release answered."""
        bodies = Counter(self.proxy.get()[1] for _ in range(requests))
        return 100 * sum(bodies[name] for name in NEW) / requests

    def weights(self) -> dict[str, int]:
        return {name: int(row["uweight"]) for name, row in self.proxy.servers().items()}


@pytest.fixture
def release(stage: Stage, tmp_path: Path) -> Iterator[Release]:
    with ExitStack() as stack:
        toys = stack.enter_context(instances(tmp_path, *NEW, *OLD))
        servers = [f"{name} 127.0.0.1:{toy.port} weight {0 if name in NEW else 256}" for name, toy in toys.items()]
        proxy = stack.enter_context(haproxy(tmp_path, servers))
        yield Release(proxy=proxy, toys=toys, stage=stage)


def test_a_release_gets_its_share_and_a_second_run_changes_nothing(release: Release) -> None:
    first = release.play(percent=20)
    second = release.play(percent=20)

    assert first.return_code == 0, first.output
    assert first.result == {"backend": BACKEND, "percent": 20, "state": "moved"}
    assert (second.return_code, second.changed) == (0, 0), second.output
    # Two of the one before with 256 each, so 128 for a fifth.
    assert release.weights() == {"canary1": 128, "old1": 256, "old2": 256}
    assert 15 < release.share() < 25


def test_all_goes_over_and_comes_back(release: Release) -> None:
    over = release.play(percent=100)
    share_over = release.share(50)
    back = release.play(percent=0)

    assert (over.return_code, back.return_code) == (0, 0), over.output + back.output
    assert (share_over, release.share(50)) == (100, 0)


def test_a_release_that_errs_while_it_is_watched_is_taken_back(release: Release) -> None:
    release.toys["canary1"].sicken()

    with load(release.proxy.port) as clients:
        end = release.play(percent=50, watch=30, max_error_percent=2)

    assert end.return_code == 2, end.output
    assert "answers were errors" in end.output
    assert end.result["state"] == "taken back"
    assert release.weights() == {"canary1": 0, "old1": 256, "old2": 256}
    assert {status for _, status, _ in clients.failed} == {500}


def test_a_release_that_is_down_gets_nothing(release: Release) -> None:
    release.toys["canary1"].fall()
    wait_until(lambda: release.proxy.status("canary1") == "DOWN")

    end = release.play(percent=10)

    assert (end.return_code, end.changed) == (2, 0), end.output
    assert "servers of the release are down: canary1" in end.output


def test_nothing_is_taken_back_to_where_nobody_is(release: Release) -> None:
    for name in OLD:
        release.toys[name].fall()
    wait_until(lambda: all(release.proxy.status(name) == "DOWN" for name in OLD))

    end = release.play(percent=0)

    assert (end.return_code, end.changed) == (2, 0), end.output
    assert "no server with the release before is up" in end.output


def test_check_mode_moves_nothing(release: Release) -> None:
    before = release.weights()

    end = release.play("--check", percent=30, watch=60)

    assert end.return_code == 0, end.output
    assert end.changed > 0
    assert release.weights() == before


def test_values_that_cannot_be_are_refused(stage: Stage) -> None:
    sound: dict[str, object] = {"backend": BACKEND, "canary": ["c1"], "percent": 10, "socket": "/nowhere/admin.sock"}
    wrong: dict[str, list[object]] = {
        "load_balancers": [["nowhere"], [], "web1"],
        "backend": ["a;b", "", None],
        "canary": [[], ["a;shutdown"], ["a", "a"], [7], None],
        "percent": [-1, 101, None, "many"],
        "watch": [601],
        "max_error_percent": [-1, 101],
    }

    cases = [{**sound, name: value} for name, values in wrong.items() for value in values]
    stage.refusals("shift_canary.yml", cases)
