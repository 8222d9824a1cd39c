"""Without credentials, a page on the web that has its own name lead here is not answered."""

from __future__ import annotations

import pytest

from tests.web.conftest import Client, Inbox
from webhook.web.local import LocalOnly, is_local

LOCAL = ["127.0.0.1", "127.0.0.1:9480", "localhost:9480", "LOCALHOST", "[::1]:9480", "[::1]", "127.8.9.10:80"]
ELSEWHERE = [
    "evil.example:9480",
    "localhost.evil.example",
    "127.0.0.1.evil.example:9480",
    "10.0.0.1",
    "0.0.0.0:9480",
    "[::]:9480",
    "[::ffff:10.0.0.1]",
    "127.0.0.1:80@evil.example",
    "127.0.0.1 ",
    "127.1",
    "2130706433",
    ":9480",
    "[]",
]


@pytest.mark.parametrize("host", LOCAL)
def test_who_means_this_machine_is_answered(client: Client, host: str) -> None:
    local = Client(LocalOnly(client.app))  # type: ignore[arg-type]
    assert local.get("/healthz", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("path", ["/healthz", "/api/v1/audit", "/api/v1/pauses", "/nothing"])
@pytest.mark.parametrize("host", ELSEWHERE)
def test_who_means_another_is_told_what_to_do(client: Client, host: str, path: str) -> None:
    answer = Client(LocalOnly(client.app)).get(path, headers={"Host": host})  # type: ignore[arg-type]
    assert answer.status_code == 403
    assert "--web.config.file" in answer.json()["error"]


def test_nothing_is_taken_from_them(client: Client, inbox: Inbox) -> None:
    local = Client(LocalOnly(client.app))  # type: ignore[arg-type]
    notification = {"version": "4", "alerts": []}
    answer = local.post("/api/v1/alertmanager", json=notification, headers={"Host": "evil.example"})
    assert (answer.status_code, inbox.taken) == (403, {})


@pytest.mark.parametrize("host", ["", "\x00", "[", "]", "[::1]x", "a" * 10_000, "127.0.0.1:9480:1"])
def test_a_name_that_is_none_is_not_this_machine(host: str) -> None:
    assert not is_local(host)
