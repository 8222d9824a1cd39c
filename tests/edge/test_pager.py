"""Calling people: what is sent, what counts as taken, and what is said of the rest."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest

from tests.edge.stub import Says, http, stub
from tests.journey.harness import free_port
from webhook.edge.pager import WebhookPager
from webhook.world import Paged, Pager

PAGER: Pager = WebhookPager(seconds=0.5)
BODY = {"incident": "i1", "words": "é"}


def test_a_page_is_one_post_of_json() -> None:
    with stub(http(b"ok")) as server:
        assert PAGER.post(f"{server.url}/hook?key=1", BODY) == Paged(was_taken=True, words="status 200: ok")
    (request,) = server.asked
    head, _, body = request.partition(b"\r\n\r\n")
    assert head.splitlines()[0] == b"POST /hook?key=1 HTTP/1.1"
    assert b"content-type: application/json" in head.lower()
    assert json.loads(body) == BODY


def drips(_: bytes) -> Iterator[bytes]:
    yield b"HTTP/1.1 200 OK\r\n"
    while True:
        time.sleep(0.05)
        yield b"X: y\r\n"


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (http(b"", status="204 No Content"), "status 204"),
        (http(b"quota\nused up", status="429 Slow"), "status 429: quota used up"),
        (http(b"", status="302 Found", headers="Location: /other\r\n"), "status 302"),
        (http(b"Cannot POST /hook/secret", status="404 Not Found"), "status 404: Cannot POST …"),
        (http(b"no key=token", status="403 Forbidden"), "status 403: no …"),
        (drips, "timeout after 0.5s"),
        (lambda _: [], "RemoteProtocolError: Server disconnected without sending a response."),
    ],
)
def test_the_answer_is_told_without_the_secret_in_the_url(answer: Says, words: str) -> None:
    with stub(answer) as server:
        paged = PAGER.post(f"{server.url}/hook/secret?key=token", BODY)
    assert paged == Paged(was_taken=words == "status 204", words=words)
    assert len(server.asked) == 1


@pytest.mark.parametrize("url", ["nonsense", "ftp://x/secret", "http://[::1/secret", "http://a b/secret", ""])
def test_a_url_that_is_none_is_told_and_not_shown(url: str) -> None:
    paged = PAGER.post(url, BODY)
    assert not paged.was_taken and "secret" not in paged.words


def test_nobody_there_is_told() -> None:
    paged = PAGER.post(f"http://127.0.0.1:{free_port()}/", BODY)
    assert paged == Paged(was_taken=False, words="connection refused")
