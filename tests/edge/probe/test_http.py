"""Is a web page as it should be: asked of real servers."""

from __future__ import annotations

import socket
from datetime import UTC, datetime
from http.server import ThreadingHTTPServer

import pytest

from tests.edge.probe.asking import Answers, ask, serving, trickle, url
from webhook.core.placeholder import Untrusted
from webhook.core.probe import HttpProbe


def test_a_status_that_is_wanted_is_healthy(server: ThreadingHTTPServer) -> None:
    began = datetime.now(UTC)
    answer = ask(HttpProbe(url=url(server, "/healthy")))
    assert (answer.healthy, answer.words) == (True, "status 200")
    assert began <= answer.at <= datetime.now(UTC)
    assert 0 < answer.latency_seconds < 5


def test_a_status_that_is_not_wanted_is_sick(server: ThreadingHTTPServer) -> None:
    answer = ask(HttpProbe(url=url(server, "/sick"), status=(200, 204)))
    assert (answer.healthy, answer.words) == (False, "status 503 instead of 200 or 204")
    assert ask(HttpProbe(url=url(server, "/sick"), status=(503,))).healthy


def test_a_redirect_is_an_answer_and_not_followed(server: ThreadingHTTPServer) -> None:
    assert ask(HttpProbe(url=url(server, "/moved"))).words == "status 302 instead of 200"
    assert ask(HttpProbe(url=url(server, "/moved"), status=(302,))).healthy
    assert [path for _, path, _ in Answers.seen] == ["/moved", "/moved"]


def test_the_method_is_the_rules(server: ThreadingHTTPServer) -> None:
    assert ask(HttpProbe(url=url(server, "/healthy"), method="POST")).healthy
    assert Answers.seen[0][0] == "POST"


def test_the_body_must_match(server: ThreadingHTTPServer) -> None:
    assert ask(HttpProbe(url=url(server, "/healthy"), body_regex='"status": *"green"')).healthy
    answer = ask(HttpProbe(url=url(server, "/healthy"), body_regex="yellow"))
    assert (answer.healthy, answer.words) == (False, "the body does not match yellow")


def test_no_more_of_a_body_is_read_than_its_limit(server: ThreadingHTTPServer) -> None:
    assert not ask(HttpProbe(url=url(server, "/big"), body_regex="needle")).healthy
    assert ask(HttpProbe(url=url(server, "/big"), body_regex="^x{1000}")).healthy


def test_a_compressed_body_is_neither_asked_for_nor_unpacked(server: ThreadingHTTPServer) -> None:
    assert not ask(HttpProbe(url=url(server, "/packed"), body_regex="needle")).healthy
    assert Answers.seen[0][2]["accept-encoding"] == "identity"


def test_a_body_of_endless_chunks_is_read_up_to_its_limit() -> None:
    chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"

    def talk(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        try:
            while True:
                connection.sendall(chunk)
        except OSError:
            return

    with serving(talk) as port:
        answer = ask(HttpProbe(url=f"http://127.0.0.1:{port}/", body_regex="y"))
    assert answer.words == "the body does not match y"


@pytest.mark.parametrize(
    ("start", "drop"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n", b"x"),
        (b"HTTP/1.1 200 OK\r\n", b"X-Slow: yes\r\n"),
        (b"", b"H"),
    ],
)
def test_a_server_that_trickles_is_given_up_on_at_the_timeout(start: bytes, drop: bytes) -> None:
    if not start:
        # One letter at a time would be no HTTP: an endless status line is.
        start = b"HTTP/1.1 200 "
    with serving(trickle(start, drop)) as port:
        answer = ask(HttpProbe(url=f"http://127.0.0.1:{port}/", body_regex="y"), seconds=0.4)
        assert (answer.healthy, answer.words) == (False, "timeout after 0.4s")
        assert 0.4 <= answer.latency_seconds < 0.8


def test_a_server_that_never_answers_is_given_up_on_at_the_timeout() -> None:
    with serving(lambda connection: list(iter(lambda: connection.recv(65536), b""))) as port:
        answer = ask(HttpProbe(url=f"http://127.0.0.1:{port}/"), seconds=0.3)
    assert answer.words == "timeout after 0.3s"
    assert answer.latency_seconds < 0.7


def test_a_server_that_never_shakes_hands_is_given_up_on_at_the_timeout() -> None:
    with serving(lambda connection: list(iter(lambda: connection.recv(65536), b""))) as port:
        answer = ask(HttpProbe(url=f"https://127.0.0.1:{port}/"), seconds=0.3)
    assert answer.words == "timeout after 0.3s"
    assert answer.latency_seconds < 0.7


def test_a_proxy_in_the_environment_is_not_asked(
    server: ThreadingHTTPServer, monkeypatch: pytest.MonkeyPatch, free_port: int
) -> None:
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{free_port}")
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{free_port}")
    assert ask(HttpProbe(url=url(server, "/healthy"))).healthy


@pytest.mark.parametrize("bad", ["", "nonsense", "file:///etc/passwd", "http://", "http://a b/", "http://x:99999999/"])
def test_what_is_no_url_is_sick(bad: str) -> None:
    answer = ask(HttpProbe(url=bad))
    assert not answer.healthy
    assert answer.words


def test_a_strangers_line_break_cannot_add_a_header(server: ThreadingHTTPServer) -> None:
    assert not ask(HttpProbe(url=Untrusted(url(server, "/healthy HTTP/1.1\r\nX-Bad: yes\r\n")))).healthy
    assert not any("x-bad" in headers for _, _, headers in Answers.seen)
