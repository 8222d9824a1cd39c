"""shift_mesh_canary.yml, judged by the weights that the cluster's API holds afterwards."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.playbooks.cluster import Cluster, cluster
from tests.playbooks.stage import PlayEnd, Stage


@dataclass(frozen=True, kw_only=True)
class Release:
    """The subset v1 gets all requests, v2 is the release."""

    cluster: Cluster
    stage: Stage

    def play(self, percent: int, *options: str, **variables: object) -> PlayEnd:
        sound = {"virtual_service": "web", "canary": "v2", "percent": percent, "canary_deployment": "web"}
        return self.stage.play("shift_mesh_canary.yml", {**self.cluster.variables, **sound, **variables}, *options)


@pytest.fixture
def release(stage: Stage, tmp_path: Path) -> Iterator[Release]:
    with cluster(tmp_path) as made:
        yield Release(cluster=made, stage=stage)


def test_a_release_gets_its_share_and_all_is_taken_back(release: Release) -> None:
    moved, again = release.play(20), release.play(20)
    weights = release.cluster.weights
    back = release.play(0, canary_deployment=None)

    assert moved.return_code == 0, moved.output
    assert moved.result == {"virtual_service": "shop/web", "before": [100, 0], "moved": True}
    assert (again.return_code, again.changed) == (0, 0), again.output
    assert weights == [80, 20]
    assert (back.return_code, back.changed, release.cluster.weights) == (0, 1, [100, 0]), back.output


def test_check_mode_asks_the_api_and_changes_nothing(release: Release) -> None:
    checked = release.play(20, "--check")

    assert (checked.return_code, checked.changed) == (0, 1), checked.output
    assert release.cluster.weights == [100, 0]


def test_the_rest_of_the_object_stays_as_it_is(release: Release) -> None:
    routes = release.cluster.virtual_service["spec"]["http"]
    admin = {"name": "admin", "match": [{"uri": {"prefix": "/admin"}}], "route": copy.deepcopy(routes[0]["route"])}
    routes.insert(0, copy.deepcopy(admin))

    ended = release.play(30, route="all")

    first, second = release.cluster.virtual_service["spec"]["http"]
    assert ended.return_code == 0, ended.output
    assert (first, [route["weight"] for route in second["route"]]) == (admin, [70, 30])


def test_what_somebody_else_set_meanwhile_is_not_overwritten(release: Release) -> None:
    route = release.cluster.virtual_service["spec"]["http"][0]["route"]
    release.cluster.meanwhile = lambda: (route[0].update(weight=50), route[1].update(weight=50))

    ended = release.play(20)

    assert "perhaps since somebody changed the route meanwhile" in ended.output, ended.output
    assert (ended.return_code, release.cluster.weights) == (2, [50, 50])


@pytest.mark.parametrize(
    ("state", "variables", "reason"),
    [
        (lambda cluster: cluster.deployment["status"].pop("availableReplicas"), {}, "no replica that is available"),
        (lambda cluster: None, {"canary": "v3"}, "there is no one HTTP route of that name"),
        (lambda cluster: None, {"route": "other"}, "there is no one HTTP route of that name"),
        (lambda cluster: None, {"virtual_service": "other"}, "the API does not tell the VirtualService: 404"),
    ],
)
def test_what_would_harm_is_refused(
    release: Release, state: Callable[[Cluster], object], variables: dict[str, object], reason: str
) -> None:
    state(release.cluster)

    ended = release.play(20, **variables)

    assert reason in ended.output, ended.output
    assert (ended.return_code, ended.changed, release.cluster.weights) == (2, 0, [100, 0])


def test_values_that_cannot_be_are_refused(stage: Stage, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("x")
    sound = {
        "api": "https://127.0.0.1:1",
        "token_file": str(token),
        "namespace": "shop",
        "virtual_service": "web",
        "canary": "v2",
        "percent": 10,
    }
    impossible: list[dict[str, object]] = [
        {"api": "http://127.0.0.1:1"},
        {"virtual_service": "web/../x"},
        {"canary_deployment": "../x"},
        {"canary": ""},
        {"percent": -1},
        {"percent": 101},
        {"token_file": "token"},
    ]

    refusals = stage.refusals("shift_mesh_canary.yml", [{**sound, **case} for case in impossible])

    assert all(refusal.startswith("api must be") for refusal in refusals), refusals
