"""Does Prometheus find something that is not zero: asked of a real Prometheus, and of what only looks like one."""

from __future__ import annotations

import base64
import json
import re
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs

import httpx
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.edge.probe.asking import ask, serving, trickle, wait_for
from tests.edge.probe.authority import Authority
from webhook.core.httpconfig import HttpConfig, Server, Tls
from webhook.core.placeholder import Filling
from webhook.core.probe import PromqlProbe
from webhook.core.promql import fill_promql
from webhook.edge.probe.promql import ANSWER_LIMIT_BYTES
from webhook.world import ProbeAnswer


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a Prometheus that scrapes itself."""
    folder = tmp_path_factory.mktemp("prometheus")
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    (folder / "prometheus.yml").write_text(
        "scrape_configs: [{job_name: itself, scrape_interval: 1s,"
        f" static_configs: [{{targets: ['{address}'], labels: {{host: web1}}}}]}}]\n"
    )
    command = ["prometheus", f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([*command, f"--web.listen-address={address}"], stdout=log, stderr=log)
    try:
        wait_for(lambda: ask_it(f"http://{address}", 'up{host="web1"}').healthy)
        yield f"http://{address}"
    finally:
        process.terminate()
        process.wait(30)


def ask_it(url: str, expr: str, *, seconds: float = 5, config: HttpConfig | None = None) -> ProbeAnswer:
    server = Server(url=url, http_config=config or HttpConfig())
    return ask(PromqlProbe(expr=expr, prometheus=server), seconds=seconds)


@pytest.mark.parametrize(
    ("expr", "healthy", "words"),
    [
        ('up{host="web1"} == 1', True, 'up{host="web1", instance="127.0.0.1:'),
        ("vector(2)", True, "{} is 2"),
        ("1 + 1", True, "the number is 2"),
        ('prometheus_http_requests_total{host="web1"} > 0', True, ""),
        ("vector(0)", False, "{} is 0"),
        ("0", False, "the number is 0"),
        ("vector(0) / 0", False, "{} is NaN"),
        ('up{host="web2"}', False, "nothing is found"),
        (
            'label_replace(vector(1), "a", "b", "", "") or label_replace(vector(0), "a", "c", "", "")',
            False,
            '{a="c"} is 0',
        ),
        ("vector(-1)", True, "{} is -1"),
    ],
)
def test_healthy_is_what_is_found_and_not_zero(prometheus: str, expr: str, healthy: bool, words: str) -> None:
    answer = ask_it(prometheus, expr)
    assert (answer.healthy, answer.known) == (healthy, True)
    assert answer.words.startswith(words)
    assert answer.asked == expr


@pytest.mark.parametrize(
    ("expr", "words"),
    [
        ("up{", "1:4: parse error: unexpected end of input inside braces"),
        ("up[5m]", "the expression gives a matrix; a number or an instant vector is needed"),
        ('"text"', "the expression gives a string; a number or an instant vector is needed"),
        ("nonsense(up)", "1:1: parse error: unknown function"),
    ],
)
def test_an_expression_that_cannot_be_judged_says_nothing_about_the_target(
    prometheus: str, expr: str, words: str
) -> None:
    answer = ask_it(prometheus, expr)
    assert (answer.healthy, answer.known) == (False, False)
    assert words in answer.words


def test_several_series_are_counted(prometheus: str) -> None:
    two = '{__name__=~"scrape_duration_seconds|scrape_samples_scraped"}'
    assert ask_it(prometheus, two).words == "2 series, and none is zero"


VALUES = st.one_of(
    st.text(st.characters(codec="utf-8"), min_size=1, max_size=30),
    st.text(min_size=1, alphabet="\"'`\\{}()[]|.*+?^$#,= \n\r\tnxuE0\N{REPLACEMENT CHARACTER}\x00", max_size=15),
)


@settings(max_examples=150, deadline=None)
@given(VALUES, st.sampled_from(['"', "'"]))
@example('"} or vector(1) or up{a="', '"')
@example("\\' or vector(1) #", "'")
def test_prometheus_itself_finds_the_value_in_its_string_and_the_rest_as_it_was(
    prometheus: str, value: str, quote: str
) -> None:
    text = f"sum(up{{a={quote}$labels.x{quote},b=~{quote}($labels.x|c){quote}}}) or vector(0)"
    filled = fill_promql(text, Filling(target="web1", labels={"x": value}, annotations={}))
    answer = httpx.get(f"{prometheus}/api/v1/format_query", params={"query": filled}).json()
    assert answer["status"] == "success", answer
    # It breaks what is long into lines, none of them within a string.
    written = r'\s*sum\(\s*up\{a="(?:[^"\\\n]|\\.)*",b=~"(?:[^"\\\n]|\\.)*"\}\s*\)\s+or\s+vector\(0\)\s*'
    assert re.fullmatch(written, answer["data"]), answer["data"]
    # Nothing is found: the value matches no series, and what stands after it is still asked.
    assert ask_it(prometheus, filled).words == "{} is 0"


def test_a_value_is_found_as_it_is_and_its_pattern_is_none(prometheus: str) -> None:
    for value, found in (("web1", True), ("web.", False), ("web1|web2", False), (".*", False)):
        fill = Filling(target="web1", labels={"x": value}, annotations={})
        for text in ('up{host="$labels.x"}', "up{host=~'$labels.x'}", "up{host=~`$labels.x(:[0-9]+)?`}"):
            assert ask_it(prometheus, fill_promql(text, fill)).healthy is found


def test_a_prometheus_that_is_away_says_nothing_about_the_target(free_port: int) -> None:
    answer = ask_it(f"http://127.0.0.1:{free_port}", "up")
    assert (answer.healthy, answer.known, answer.words) == (False, False, "connection refused")


def test_a_prometheus_that_trickles_is_given_up_on_at_the_timeout() -> None:
    with serving(trickle(b"HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n", b" ")) as port:
        answer = ask_it(f"http://127.0.0.1:{port}", "up", seconds=0.4)
    assert (answer.healthy, answer.known, answer.words) == (False, False, "timeout after 0.4s")


class Pretends(BaseHTTPRequestHandler):
    status = 200
    body = b""
    seen: list[tuple[str, dict[str, list[str]], str | None]]

    def do_POST(self) -> None:
        form = parse_qs(self.rfile.read(int(self.headers["content-length"])).decode())
        self.seen.append((self.path, form, self.headers["authorization"]))
        self.send_response(self.status)
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, *_: object) -> None:
        pass


Pretend = Callable[..., str]


@pytest.fixture
def pretend(tmp_path: Path) -> Iterator[Pretend]:
    """Starts a server that answers everything alike, and gives its URL."""
    servers = []

    def start(body: object, *, status: int = 200) -> str:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        handler = type("Handler", (Pretends,), {"body": content, "status": status, "seen": []})
        Pretends.seen = handler.seen
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        servers.append(server)
        threading.Thread(target=lambda: server.serve_forever(0.02), daemon=True).start()
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def found(*samples: object, **more: object) -> dict[str, object]:
    return {"status": "success", "data": {"resultType": "vector", "result": samples}, **more}


ONE = {"metric": {}, "value": [0, "1"]}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[]",
        b"null",
        b'{"status": "success"}',
        b'{"status": "success", "data": {"resultType": "vector", "result": [1]}}',
        b'{"status": "success", "data": {"resultType": "vector", "result": [{"metric": {}, "value": []}]}}',
        b'{"status": "success", "data": {"resultType": "vector", "result": [{"metric": {}, "value": [0, "x"]}]}}',
        b'{"status": "success", "data": {"resultType": "vector", "result": [{"metric": 1, "value": [0, "1"]}]}}',
        b"[" * 100_000,
        b"\xff\xfe",
    ],
)
def test_what_is_no_answer_of_prometheus_says_nothing(pretend: Pretend, body: bytes) -> None:
    answer = ask_it(pretend(body, status=502), "up")
    assert (answer.healthy, answer.known) == (False, False)
    assert answer.words == "status 502, and this is no answer of Prometheus' API"


def test_an_endless_answer_says_nothing(pretend: Pretend) -> None:
    answer = ask_it(pretend(found(*[ONE] * (ANSWER_LIMIT_BYTES // 20))), "up")
    assert (answer.healthy, answer.known) == (False, False)
    assert answer.words == f"the answer is longer than {ANSWER_LIMIT_BYTES} bytes"


def test_an_answer_that_is_not_the_whole_truth_says_nothing(pretend: Pretend) -> None:
    answer = ask_it(pretend(found(warnings=["store 2 is away"])), "up")
    assert (answer.healthy, answer.known, answer.words) == (False, False, "it is not the whole truth: store 2 is away")


def test_a_histogram_is_no_number(pretend: Pretend) -> None:
    answer = ask_it(pretend(found({"metric": {"__name__": "latency"}, "histogram": [0, {}]})), "latency")
    assert (answer.known, answer.words) == (False, "latency{} is a histogram; a number is needed")


def test_credentials_are_read_from_their_file_for_each_question(pretend: Pretend, tmp_path: Path) -> None:
    url, secret = pretend(found(ONE)), tmp_path / "secret"
    secret.write_text("one\n")
    basic = HttpConfig(username="alertmend", password_file=str(secret))
    bearer = HttpConfig(credentials_file=str(secret))
    assert ask_it(url, "up", config=basic).healthy
    secret.write_text("two\n")
    assert ask_it(url, "up", config=bearer).healthy
    secret.unlink()
    gone = ask_it(url, "up", config=bearer)
    assert (gone.healthy, gone.known) == (False, False)
    both = base64.b64encode(b"alertmend:one").decode()
    assert [seen[2] for seen in Pretends.seen] == [f"Basic {both}", "Bearer two"]
    assert "two" not in gone.words


def test_the_expression_is_sent_as_it_is_with_the_time_that_is_left(pretend: Pretend) -> None:
    expr = 'up{a="&query=1+1%20é"}'
    assert ask_it(pretend(found(ONE)) + "/prom", expr, seconds=5).healthy
    [(path, form, authorization)] = Pretends.seen
    assert (path, form["query"], authorization) == ("/prom/api/v1/query", [expr], None)
    assert 0 < float(form["timeout"][0]) <= 5


def test_prometheus_may_speak_tls(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    server = ThreadingHTTPServer(
        ("127.0.0.1", 0), type("Handler", (Pretends,), {"body": json.dumps(found(ONE)).encode(), "seen": []})
    )
    server.socket = authority.context("127.0.0.1").wrap_socket(server.socket, server_side=True)
    threading.Thread(target=lambda: server.serve_forever(0.02), daemon=True).start()
    config = HttpConfig(tls=Tls(ca_file=authority.file))
    try:
        assert ask_it(f"https://127.0.0.1:{server.server_port}", "up", config=config).healthy
        stranger = ask_it(f"https://127.0.0.1:{server.server_port}", "up")
        assert (stranger.healthy, stranger.known) == (False, False)
    finally:
        server.shutdown()
        server.server_close()
