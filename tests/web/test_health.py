"""Kubernetes' three probes need no credentials, and a dependency's fault restarts nothing; /health tells all."""

from __future__ import annotations

import pytest

from tests.web.conftest import Client, Inbox


@pytest.mark.parametrize("path", ["/healthz", "/-/healthy"])
def test_alive_is_200_whoever_asks_and_whatever_is_away(guarded: Client, inbox: Inbox, path: str) -> None:
    inbox.is_away = True
    assert guarded.get(path).status_code == 200


@pytest.mark.parametrize("path", ["/healthz", "/-/healthy"])
def test_alive_is_503_once_what_is_being_stored_waits_for_longer_than_anything_takes(
    guarded: Client, inbox: Inbox, path: str
) -> None:
    inbox.stalled_seconds = 31
    answer = guarded.get(path)
    assert (answer.status_code, answer.json()["error"]) == (503, "a notification has waited for 31s to be stored")


@pytest.mark.parametrize("path", ["/readyz", "/-/ready", "/startupz"])
def test_ready_is_200_while_all_that_is_needed_is_well_and_503_with_words_while_it_is_not(
    guarded: Client, inbox: Inbox, path: str
) -> None:
    assert guarded.get("/readyz").status_code == 200
    inbox.go_away()
    answer = guarded.get(path)
    assert (answer.status_code, answer.json()["error"]) == (503, "redis: Redis is not available: connection refused")


def test_what_has_started_once_has_started_whatever_happens_later(guarded: Client, inbox: Inbox) -> None:
    assert guarded.get("/startupz").status_code == 200
    inbox.go_away()
    assert guarded.get("/startupz").status_code == 200
    assert guarded.get("/readyz").status_code == 503


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_a_load_balancer_may_ask_with_head_and_nobody_posts(client: Client, path: str) -> None:
    assert client.request("HEAD", path).status_code == 200
    assert client.post(path).status_code == 405


def test_health_tells_what_every_check_says(client: Client, inbox: Inbox) -> None:
    answer = client.get("/health")
    assert (answer.status_code, answer.json()["status"]) == (200, "ok")
    assert [(found["name"], found["ok"], found["detail"]) for found in answer.json()["checks"]] == [
        ("redis", True, "it can be written to"),
        ("other", True, "well"),
    ]
    inbox.go_away()
    answer = client.get("/health")
    assert (answer.status_code, answer.json()["status"]) == (503, "failing")
    assert [found["ok"] for found in answer.json()["checks"]] == [False, True]


def test_health_denies_who_may_not_look(guarded: Client) -> None:
    assert guarded.get("/health").status_code == 401
