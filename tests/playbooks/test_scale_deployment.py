"""scale_out_deployment.yml and scale_in_deployment.yml, judged by what the cluster's API holds afterwards."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.playbooks.cluster import Cluster, autoscaler, cluster, stuck
from tests.playbooks.stage import PlayEnd, Stage


@dataclass(frozen=True, kw_only=True)
class Shop:
    """The Deployment `web` with two replicas."""

    cluster: Cluster
    stage: Stage

    def play(self, direction: str, replicas: int, *options: str, **variables: object) -> PlayEnd:
        sound = {"deployment": "web", "replicas": replicas, "floor": 1, "ceiling": 6, "timeout": 20}
        return self.stage.play(
            f"scale_{direction}_deployment.yml", {**self.cluster.variables, **sound, **variables}, *options
        )


@pytest.fixture
def shop(stage: Stage, tmp_path: Path) -> Iterator[Shop]:
    with cluster(tmp_path) as made:
        yield Shop(cluster=made, stage=stage)


def test_it_scales_out_and_in_and_a_second_run_changes_nothing(shop: Shop) -> None:
    out, again, other_way, back = (
        shop.play("out", 4),
        shop.play("out", 4),
        shop.play("in", 5),
        shop.play("in", 3),
    )

    assert out.return_code == 0, out.output
    assert out.result == {"deployment": "shop/web", "before": 2, "after": 4}
    assert (again.return_code, again.changed) == (0, 0), again.output
    assert (other_way.return_code, other_way.changed) == (0, 0), other_way.output
    assert (back.return_code, back.changed) == (0, 1), back.output
    assert shop.cluster.replicas == shop.cluster.deployment["status"]["availableReplicas"] == 3


def test_check_mode_asks_the_api_and_changes_nothing(shop: Shop) -> None:
    checked = shop.play("out", 4, "--check")

    assert (checked.return_code, checked.changed) == (0, 1), checked.output
    assert shop.cluster.replicas == 2


def test_replicas_that_find_no_place_have_not_helped_and_the_next_run_sees_it_too(shop: Shop) -> None:
    shop.cluster.room = 3

    ended, again = shop.play("out", 4, timeout=4), shop.play("out", 4, timeout=4)

    assert "web has 3 replicas that are available, and is asked for 4" in ended.output
    assert (again.return_code, again.changed) == (2, 0), again.output
    assert ended.result["after"] == 4


def test_what_somebody_else_set_meanwhile_is_not_overwritten(shop: Shop) -> None:
    shop.cluster.meanwhile = lambda: shop.cluster.deployment["spec"].update(replicas=5)

    ended = shop.play("out", 4)

    assert "perhaps since somebody changed it meanwhile" in ended.output
    assert (ended.return_code, shop.cluster.replicas) == (2, 5)


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        (lambda cluster: cluster.autoscalers.append(autoscaler("web")), "an autoscaler is in charge of it"),
        (lambda cluster: cluster.deployment["spec"].update(paused=True), "it is paused: someone is at work on it"),
        (lambda cluster: cluster.deployment["spec"].update(replicas=0), "it is asked for none"),
        (lambda cluster: stuck(cluster.deployment), "its rollout does not get on"),
        (
            lambda cluster: Path(cluster.access.token_file).write_text("stale"),
            "the API does not tell the Deployment: 401",
        ),
    ],
)
def test_what_would_not_help_is_refused(shop: Shop, state: Callable[[Cluster], object], reason: str) -> None:
    state(shop.cluster)
    before = shop.cluster.replicas

    ended = shop.play("out", 4)

    assert reason in ended.output, ended.output
    assert (ended.return_code, ended.changed, shop.cluster.replicas) == (2, 0, before)


def test_an_api_that_cannot_be_trusted_is_told_no_token(shop: Shop) -> None:
    ended = shop.play("out", 4, ca_file=None)

    assert "CERTIFICATE_VERIFY_FAILED" in ended.output, ended.output
    assert ended.return_code == 2


def test_values_that_cannot_be_are_refused(stage: Stage, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("x")
    sound = {
        "api": "https://127.0.0.1:1",
        "token_file": str(token),
        "namespace": "shop",
        "deployment": "web",
        "replicas": 2,
        "ceiling": 3,
    }
    impossible: list[dict[str, object]] = [
        {"api": "http://127.0.0.1:1"},
        {"api": "https://127.0.0.1:1/../x"},
        {"deployment": "web/../../secrets/x"},
        {"deployment": "-web"},
        {"namespace": "shop?x"},
        {"token_file": "/etc/../x"},
        {"ca_file": "ca.pem"},
        {"replicas": 4},
        {"replicas": 0},
        {"floor": 0},
        {"floor": 4},
        {"timeout": 0},
    ]

    refusals = stage.refusals("scale_out_deployment.yml", [{**sound, **case} for case in impossible])

    assert all(refusal.startswith(("api must be", "replicas must lie")) for refusal in refusals), refusals
