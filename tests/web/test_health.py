"""Kubernetes' three probes: they need no credentials, and a dependency's fault restarts nothing."""

from __future__ import annotations

import pytest

from tests.web.conftest import Client, Inbox


@pytest.mark.parametrize("path", ["/healthz", "/-/healthy"])
def test_alive_is_200_whoever_asks_and_whatever_is_away(guarded: Client, inbox: Inbox, path: str) -> None:
    inbox.is_away = True
    assert guarded.get(path).status_code == 200


@pytest.mark.parametrize("path", ["/readyz", "/-/ready", "/startupz"])
def test_ready_is_200_while_a_notification_could_be_stored_and_503_with_words_while_it_could_not(
    guarded: Client, inbox: Inbox, path: str
) -> None:
    assert guarded.get(path).status_code == 200
    inbox.is_away = True
    answer = guarded.get(path)
    assert (answer.status_code, answer.json()["error"]) == (503, "Redis is not available: connection refused")


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_a_load_balancer_may_ask_with_head_and_nobody_posts(client: Client, path: str) -> None:
    assert client.request("HEAD", path).status_code == 200
    assert client.post(path).status_code == 405
