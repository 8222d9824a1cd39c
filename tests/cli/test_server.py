"""What the verbs that ask a running server say when it answers, refuses, or is not there."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner
from starlette.requests import Request

from tests.edge.stub import http, stub
from tests.journey.harness import free_port
from webhook.cli import cli, exit_status
from webhook.cli.server import Server
from webhook.errors import ConfigError, NotAuthenticated, PayloadError, Unavailable, Unsealed, WebhookError
from webhook.web.answers import error_answer


def test_what_it_answers_is_read_as_json() -> None:
    with stub(http(b'{"items": []}')) as server:
        assert Server(url=f"{server.url}/").get("/api/v1/runs", ("rule", "a b"), ("limit", "5")) == {"items": []}
    assert server.asked[0].startswith(b"GET /api/v1/runs?rule=a+b&limit=5 HTTP/1.1\r\n")


def test_credentials_come_from_the_file(tmp_path: Path) -> None:
    (tmp_path / "http.yml").write_text("authorization: {credentials: secret}")
    with stub(http(b"{}", status="201 Created")) as server:
        assert Server(url=server.url, http_config_file=tmp_path / "http.yml").post("/api/v1/explain", {"a": 1}) == {}
    assert b"authorization: Bearer secret" in server.asked[0] and server.asked[0].endswith(b'{"a":1}')


def test_a_mistake_in_that_file_is_told_before_anyone_is_asked(tmp_path: Path) -> None:
    (tmp_path / "http.yml").write_text("authorization: {credential: secret}")
    with pytest.raises(ConfigError, match=r"http.yml:1:17: .*did you mean 'credentials'"):
        Server(url="http://127.0.0.1:1", http_config_file=tmp_path / "http.yml").get("/")


@pytest.mark.parametrize(
    ("status", "error", "words"),
    [
        ("401 Unauthorized", NotAuthenticated, r"who are you\? \(give --http.config.file\)"),
        ("503 Service Unavailable", Unavailable, "alertmend at http://127.0.0.1:[0-9]+ is not available: who are you"),
        ("404 Not Found", WebhookError, "who are you"),
        ("400 Bad Request", PayloadError, "who are you"),
    ],
)
def test_its_own_words_are_repeated(status: str, error: type[WebhookError], words: str) -> None:
    with stub(http(b'{"error": "who are you?"}', status=status)) as server, pytest.raises(error, match=words):
        Server(url=server.url).get("/")


@pytest.mark.parametrize(
    ("verb", "what"),
    [
        ("pause --for 1h", "the pause, which `alertmend pauses` shows,"),
        ("resume P1", "the end of pause P1"),
        ("runs approve R1", "the approval of run R1"),
        ("runs cancel R1", "the cancellation of run R1"),
        ("incidents take-over I1", "the take-over of incident I1"),
    ],
)
def test_what_holds_and_is_not_on_the_record_yet_is_named(verb: str, what: str) -> None:
    answer = error_answer(Request({"type": "http"}), Unsealed("database is locked"))
    with stub(http(bytes(answer.body), status="503 Service Unavailable")) as server:
        told = CliRunner().invoke(cli, [*verb.split(), "--comment=a fire", f"--server.url={server.url}"])
    assert isinstance(told.exception, Unsealed)
    words = f"{what} holds, and goes on the record as soon as the audit database takes it: database is locked"
    assert (str(told.exception), exit_status(told.exception)) == (words, 3)


def test_an_answer_of_something_else_is_no_answer() -> None:
    with stub(http(b"<html>")) as server, pytest.raises(WebhookError, match="is this the address of an alertmend"):
        Server(url=server.url).get("/")
    with (
        stub(http(b"<html>", status="502 Bad Gateway")) as server,
        pytest.raises(WebhookError, match="status 502: <html>"),
    ):
        Server(url=server.url).get("/")


def test_nobody_there_is_told_with_a_hint() -> None:
    with pytest.raises(Unavailable, match=r"connection refused; is `alertmend serve` running\?"):
        Server(url=f"http://127.0.0.1:{free_port()}").get("/")
