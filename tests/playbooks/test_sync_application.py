"""sync_application.yml, judged by what Argo CD's API was asked and holds afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.playbooks.argocd import ArgoCD, argocd
from tests.playbooks.stage import PlayEnd, Stage


@dataclass(frozen=True, kw_only=True)
class Shop:
    """An application that its repository is ahead of."""

    argocd: ArgoCD
    stage: Stage

    def play(self, *options: str, **variables: object) -> PlayEnd:
        return self.stage.play("sync_application.yml", {**self.argocd.variables, "timeout": 20, **variables}, *options)


@pytest.fixture
def shop(stage: Stage, tmp_path: Path) -> Iterator[Shop]:
    with argocd(tmp_path) as made:
        yield Shop(argocd=made, stage=stage)


def test_it_is_synced_once_and_has_to_become_healthy(shop: Shop) -> None:
    synced, again = shop.play(), shop.play()

    assert synced.return_code == 0, synced.output
    assert synced.result == {"application": "web", "was": "OutOfSync, Degraded", "synced": True}
    assert (again.return_code, again.changed) == (0, 0), again.output
    assert shop.argocd.asked == [{"revision": "", "prune": False, "strategy": {"hook": {}}}]


def test_it_goes_to_the_revision_that_is_asked_for(shop: Shop) -> None:
    shop.argocd.sync, shop.argocd.health = "Synced", "Healthy"

    ended = shop.play(revision="ccc", prune=True)

    assert ended.return_code == 0, ended.output
    assert (shop.argocd.revision, shop.argocd.asked[0]["prune"]) == ("ccc", True)


def test_check_mode_says_that_it_would_be_synced_and_asks_for_nothing(shop: Shop) -> None:
    checked = shop.play("--check")

    assert (checked.return_code, checked.changed, shop.argocd.asked) == (0, 1, []), checked.output


@pytest.mark.parametrize(
    ("phase", "becomes", "reason"),
    [
        ("Failed", "Healthy", "one or more objects failed to apply"),
        ("Succeeded", "Degraded", "was told to sync and is not well"),
    ],
)
def test_one_that_does_not_become_well_has_not_been_helped(shop: Shop, phase: str, becomes: str, reason: str) -> None:
    shop.argocd.phase, shop.argocd.becomes = phase, becomes

    ended = shop.play(timeout=6)

    assert reason in ended.output, ended.output
    assert (ended.return_code, ended.result["synced"]) == (2, True)


def test_what_somebody_else_began_is_left_to_them(shop: Shop) -> None:
    shop.argocd.left, shop.argocd.asked = 5, [{}]

    ended = shop.play()

    assert "an operation is under way already" in ended.output, ended.output
    assert (ended.return_code, len(shop.argocd.asked)) == (2, 1)


@pytest.mark.parametrize(
    ("variables", "reason"),
    [
        ({"application": "other"}, "Argo CD does not tell the application: 403"),
        ({"ca_file": None}, "CERTIFICATE_VERIFY"),
    ],
)
def test_what_it_may_not_see_or_trust_it_does_not_touch(shop: Shop, variables: dict[str, object], reason: str) -> None:
    ended = shop.play(**variables)

    assert reason in ended.output, ended.output
    assert (ended.return_code, shop.argocd.asked) == (2, [])


def test_values_that_cannot_be_are_refused(stage: Stage, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("x")
    sound = {"api": "https://127.0.0.1:1", "token_file": str(token), "application": "web"}
    impossible: list[dict[str, object]] = [
        {"api": "http://127.0.0.1:1"},
        {"application": "web/../x"},
        {"application": "web?x"},
        {"revision": "-x"},
        {"revision": "a b"},
        {"token_file": "token"},
        {"timeout": 0},
    ]

    refusals = stage.refusals("sync_application.yml", [{**sound, **case} for case in impossible])

    assert all(refusal.startswith("api must be") for refusal in refusals), refusals
