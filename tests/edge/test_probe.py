"""Probes ask real servers and real processes."""

from __future__ import annotations

import gzip
import os
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from webhook.core.placeholder import Untrusted
from webhook.core.probe import CommandProbe, HttpProbe, Probe, ProbeKind, TcpProbe
from webhook.edge.probe import WORDS_LIMIT, WorldProber
from webhook.edge.probe.http import BODY_LIMIT_BYTES
from webhook.ports import ProbeAnswer, Prober
from webhook.probing import ask_all

SELF_SIGNED = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=127.0.0.1"]
PROBER: Prober = WorldProber()


def ask(kind: ProbeKind, *, seconds: float = 5) -> ProbeAnswer:
    return PROBER.ask(Probe(kind=kind, timeout=timedelta(seconds=seconds)))


def python(code: str, *arguments: str) -> CommandProbe:
    return CommandProbe(argv=(sys.executable, "-c", code, *arguments))


class Answers(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    seen: list[tuple[str, str, dict[str, str]]]

    def do_GET(self) -> None:
        self.seen.append((self.command, self.path, {name.lower(): value for name, value in self.headers.items()}))
        status, headers, body = {
            "/healthy": (200, {}, b'{"status": "green"}'),
            "/sick": (503, {}, b"no"),
            "/moved": (302, {"Location": "/healthy"}, b""),
            "/big": (200, {}, b"x" * BODY_LIMIT_BYTES + b"needle"),
            "/packed": (200, {"Content-Encoding": "gzip"}, gzip.compress(b"needle" * 100_000)),
        }[self.path]
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[ThreadingHTTPServer]:
    Answers.seen = []
    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        server.daemon_threads = True
        threading.Thread(target=lambda: server.serve_forever(0.02), daemon=True).start()
        yield server
        server.shutdown()


def url(server: ThreadingHTTPServer, path: str, *, scheme: str = "http") -> str:
    return f"{scheme}://127.0.0.1:{server.server_port}{path}"


@contextmanager
def serving(talk: Callable[[socket.socket], object]) -> Iterator[int]:
    """The port of a server that talks to its first caller."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            with connection:
                talk(connection)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield int(listening.getsockname()[1])
        thread.join(5)
        assert not thread.is_alive(), "the connection was left open"


def trickle(start: bytes, drop: bytes) -> Callable[[socket.socket], None]:
    def talk(connection: socket.socket) -> None:
        connection.recv(65536)
        try:
            connection.sendall(start)
            while True:
                connection.sendall(drop)
                time.sleep(0.02)
        except OSError:
            return

    return talk


@pytest.fixture
def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


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


def test_a_refused_connection_is_sick(free_port: int) -> None:
    for kind in (HttpProbe(url=f"http://127.0.0.1:{free_port}/"), TcpProbe(address=f"127.0.0.1:{free_port}")):
        answer = ask(kind)
        assert (answer.healthy, answer.words) == (False, "connection refused")


def test_a_name_that_is_not_known_is_sick() -> None:
    for kind in (HttpProbe(url="http://no-such-host.invalid/"), TcpProbe(address="no-such-host.invalid:80")):
        answer = ask(kind, seconds=20)
        assert not answer.healthy
        assert answer.words.startswith("DNS: ")


def test_a_look_up_that_hangs_is_given_up_on_at_the_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    released = threading.Event()

    def hang(*_: object, **__: object) -> None:
        released.wait(10)

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    answers = [ask(kind, seconds=0.2) for kind in (HttpProbe(url="http://web1/"), TcpProbe(address="web1:80"))]
    released.set()
    assert [answer.words for answer in answers] == ["timeout after 0.2s"] * 2


def test_a_certificate_that_nobody_vouches_for_is_sick(server: ThreadingHTTPServer, tmp_path: Path) -> None:
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subprocess.run(
        [*SELF_SIGNED, "-keyout", str(key), "-out", str(certificate)],
        check=True,
        capture_output=True,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    answer = ask(HttpProbe(url=url(server, "/healthy", scheme="https")))
    assert (answer.healthy, answer.words) == (False, "TLS: self-signed certificate")


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


def test_an_open_port_is_healthy(server: ThreadingHTTPServer) -> None:
    answer = ask(TcpProbe(address=f"127.0.0.1:{server.server_port}"))
    assert (answer.healthy, answer.words) == (True, "connected")


def test_an_address_may_be_ipv6_in_brackets() -> None:
    try:
        listening = socket.create_server(("::1", 0), family=socket.AF_INET6)
    except OSError:
        pytest.skip("this machine has no IPv6")
    with listening:
        assert ask(TcpProbe(address=f"[::1]:{listening.getsockname()[1]}")).healthy


@pytest.mark.parametrize("bad", ["", "web1", ":80", "web1:", "web1:0", "web1:65536", "::1:80", "[::1]", "web1:http"])
def test_what_is_no_address_is_sick(bad: str) -> None:
    answer = ask(TcpProbe(address=bad))
    assert not answer.healthy
    assert answer.words in (f"the address {bad!r} is neither host:port nor [v6]:port", f"{bad[5:]!r} is no port")


def test_a_command_that_ends_with_zero_is_healthy() -> None:
    answer = ask(python("print('one'); print('two'); print()"))
    assert (answer.healthy, answer.words) == (True, "exit status 0: two")


def test_a_command_that_ends_otherwise_is_sick_with_its_last_line() -> None:
    answer = ask(python("import sys; print('out', flush=True); print('disk full', file=sys.stderr); sys.exit(3)"))
    assert (answer.healthy, answer.words) == (False, "exit status 3: disk full")


def test_a_command_that_a_signal_ends_is_sick() -> None:
    assert ask(python("import os; os.kill(os.getpid(), 15)")).words == "exit status 143"


@pytest.mark.parametrize("argv", [("/no/such/program",), ("/etc/passwd",), ("/",), ("",), (), ("a\0b",), ("\ud800",)])
def test_a_command_that_cannot_be_started_is_sick(argv: tuple[str, ...]) -> None:
    answer = ask(CommandProbe(argv=argv))
    assert not answer.healthy
    assert answer.words


def test_a_strangers_words_stay_one_argument(tmp_path: Path) -> None:
    hostile = Untrusted(f"$(touch {tmp_path}/taken); `touch {tmp_path}/taken` | touch {tmp_path}/taken\n--help")
    answer = ask(python("import sys; print(len(sys.argv), sys.argv[1] == sys.argv[2])", hostile, hostile))
    assert answer.words == "exit status 0: 3 True"
    assert not (tmp_path / "taken").exists()


def test_a_command_sees_no_more_of_our_environment_than_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALERTMEND_SECRET", "hunter2")
    answer = ask(python("import os; print(sorted(set(os.environ) - {'PATH', 'HOME', 'LANG', 'LC_CTYPE'}))"))
    assert answer.words == "exit status 0: []"


def test_a_command_has_nothing_to_read() -> None:
    assert ask(python("import sys; print(repr(sys.stdin.read()))")).words == "exit status 0: ''"


def test_a_command_that_writes_without_end_is_cut_and_ended() -> None:
    answer = ask(CommandProbe(argv=("yes",)), seconds=0.4)
    assert answer.words == "timeout after 0.4s"


def test_a_long_last_line_is_cut() -> None:
    answer = ask(python("print('x' * 1000000)"))
    assert answer.healthy
    assert len(answer.words) == WORDS_LIMIT


def is_alive(pid: int) -> bool:
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False


#: Starts a grandchild that has left its session and its process group, and whose parent is gone.
ESCAPES = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        with open(sys.argv[1], "w") as file:
            file.write(f"{os.getpid()}\\n")
        time.sleep(60)
    os._exit(0)
os.wait()
while not (os.path.exists(sys.argv[1]) and open(sys.argv[1]).read().endswith("\\n")):
    time.sleep(0.01)
time.sleep(float(sys.argv[2]))
"""


@pytest.mark.parametrize(("sleeps", "words"), [("60", "timeout after 1s"), ("0", "exit status 0")])
def test_whatever_a_command_started_is_gone_with_it(tmp_path: Path, sleeps: str, words: str) -> None:
    pid_file = tmp_path / "pid"
    answer = ask(python(ESCAPES, str(pid_file), sleeps), seconds=1 if sleeps == "60" else 5)
    assert answer.words == words
    assert answer.latency_seconds < 2
    assert not is_alive(int(pid_file.read_text()))


def test_a_command_ends_when_the_one_who_asks_is_killed(tmp_path: Path) -> None:
    asks = f"""
import sys
from datetime import timedelta
from webhook.core.rule import CommandProbe, Probe
from webhook.edge.probe import WorldProber
argv = (sys.executable, "-c", {ESCAPES!r}, {str(tmp_path / "pid")!r}, "60")
WorldProber().ask(Probe(kind=CommandProbe(argv=argv), timeout=timedelta(seconds=60)))
"""
    pid_file = tmp_path / "pid"
    asker = subprocess.Popen([sys.executable, "-c", asks])
    wait_for(lambda: pid_file.exists() and pid_file.read_text().endswith("\n"))
    asker.kill()
    asker.wait()
    wait_for(lambda: not is_alive(int(pid_file.read_text())))


def wait_for(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < until, "it did not come true in 10 s"
        time.sleep(0.01)


def test_no_process_and_no_descriptor_is_left_behind(server: ThreadingHTTPServer, free_port: int) -> None:
    kinds: list[ProbeKind] = [
        CommandProbe(argv=("true",)),
        CommandProbe(argv=("sleep", "60")),
        HttpProbe(url=url(server, "/healthy")),
        HttpProbe(url=f"http://127.0.0.1:{free_port}/"),
        TcpProbe(address=f"127.0.0.1:{server.server_port}"),
    ]
    mine = Path("/proc/self/task") / str(os.getpid()) / "children"
    before = mine.read_text()
    for kind in kinds:
        ask(kind, seconds=0.5)
    assert mine.read_text() == before
    wait_for(lambda: not [thread for thread in threading.enumerate() if thread.name == "probe"])


def test_many_threads_may_ask_at_once(server: ThreadingHTTPServer) -> None:
    kinds: list[ProbeKind] = [HttpProbe(url=url(server, "/healthy")), CommandProbe(argv=("true",))] * 8
    answers: list[ProbeAnswer] = []
    threads = [threading.Thread(target=lambda kind=kind: answers.append(ask(kind, seconds=20))) for kind in kinds]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [answer.healthy for answer in answers] == [True] * 16


def test_several_probes_are_asked_side_by_side(server: ThreadingHTTPServer) -> None:
    met = threading.Barrier(3, timeout=10)

    def talk(connection: socket.socket) -> None:
        met.wait()

    with serving(talk) as one, serving(talk) as two:
        kinds = [
            python("import sys; sys.exit(3)"),
            *(HttpProbe(url=f"http://127.0.0.1:{port}/") for port in (one, two)),
        ]
        probes = [Probe(kind=kind, timeout=timedelta(seconds=20)) for kind in kinds]
        threading.Thread(target=met.wait, daemon=True).start()
        answers = ask_all(PROBER, probes)
    assert [answer.kind for answer in answers] == ["command", "http", "http"]
    assert answers[0].words == "exit status 3"
    assert ask_all(PROBER, []) == ()


def test_an_answer_says_what_was_asked(free_port: int) -> None:
    answer = ask(HttpProbe(url=f"http://127.0.0.1:{free_port}/x"))
    assert (answer.kind, answer.asked) == ("http", f"GET http://127.0.0.1:{free_port}/x")
    assert (answer.healthy, answer.known) == (False, True)


def test_a_command_that_cannot_be_started_says_nothing_about_the_target() -> None:
    answer = ask(CommandProbe(argv=("/no/such/program",)))
    assert (answer.healthy, answer.known) == (False, False)
    assert answer.words == "it cannot be started: /no/such/program: No such file or directory"


def test_a_terminal_sequence_in_the_output_is_not_passed_on() -> None:
    assert ask(python(r"print('\x1b[2J\x1b]0;owned\x07ok')")).words == "exit status 0:  [2J ]0;owned ok"
