"""What holds for every kind of probe: in time, side by side, in harmless words."""

from __future__ import annotations

import os
import socket
import threading
from datetime import timedelta
from http.server import ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.edge.probe.asking import PROBER, ask, python, serving, url, wait_for
from webhook.core.probe import CommandProbe, HttpProbe, Probe, ProbeKind, TcpProbe
from webhook.probing import ask_all
from webhook.world import ProbeAnswer


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
