"""Does a gRPC server say that it serves: asked of real servers."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from tests.edge.probe.asking import ask, serving
from tests.edge.probe.authority import Authority
from webhook.core.httpconfig import Tls
from webhook.core.probe import GrpcProbe

SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING
Start = Callable[..., int]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts a server with a servicer, and gives its port."""
    servers: list[Any] = []

    def begin(
        servicer: Any = None, *, credentials: Any = None, handlers: tuple[Any, ...] = (), address: str = "127.0.0.1:0"
    ) -> int:
        server = grpc.server(ThreadPoolExecutor(4), handlers=handlers)
        if servicer is not None:
            health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
        port = server.add_secure_port(address, credentials) if credentials else server.add_insecure_port(address)
        server.start()
        servers.append(server)
        return int(port)

    yield begin
    for server in servers:
        server.stop(0).wait()


def servicer(**services: int) -> health.HealthServicer:
    found = health.HealthServicer()
    for name, status in services.items():
        found.set(name, status)
    return found


def test_a_server_that_serves_is_healthy(start: Start) -> None:
    port = start(servicer())
    answer = ask(GrpcProbe(address=f"127.0.0.1:{port}"))
    assert (answer.healthy, answer.words, answer.asked) == (True, "SERVING", f"127.0.0.1:{port}")


def test_each_service_has_its_own_answer(start: Start) -> None:
    port = start(servicer(shop=SERVING, pay=NOT_SERVING))
    assert ask(GrpcProbe(address=f"127.0.0.1:{port}", service="shop")).healthy
    answer = ask(GrpcProbe(address=f"127.0.0.1:{port}", service="pay"))
    assert (answer.healthy, answer.known, answer.words) == (False, True, "NOT_SERVING")


def test_a_service_that_the_server_does_not_know_is_sick(start: Start) -> None:
    answer = ask(GrpcProbe(address=f"127.0.0.1:{start(servicer())}", service="nobody"))
    assert not answer.healthy
    assert answer.words.startswith("NOT_FOUND")


def test_a_server_without_a_health_service_is_sick(start: Start) -> None:
    answer = ask(GrpcProbe(address=f"127.0.0.1:{start()}"))
    assert not answer.healthy
    assert answer.words.startswith("UNIMPLEMENTED")


def test_a_refused_connection_is_sick(free_port: int) -> None:
    answer = ask(GrpcProbe(address=f"127.0.0.1:{free_port}"))
    assert not answer.healthy
    assert answer.words.startswith("UNAVAILABLE: ") and "refused" in answer.words


def test_a_refusal_is_not_remembered(start: Start, free_port: int) -> None:
    assert not ask(GrpcProbe(address=f"127.0.0.1:{free_port}")).healthy
    start(servicer(), address=f"127.0.0.1:{free_port}")
    assert ask(GrpcProbe(address=f"127.0.0.1:{free_port}")).healthy


def test_a_server_that_does_not_answer_is_given_up_on_at_the_timeout(start: Start) -> None:
    released = threading.Event()

    class Slow(health_pb2_grpc.HealthServicer):  # type: ignore[misc]
        def Check(self, request: Any, context: Any) -> Any:
            released.wait(10)
            return health_pb2.HealthCheckResponse(status=SERVING)

    answer = ask(GrpcProbe(address=f"127.0.0.1:{start(Slow())}"), seconds=0.3)
    released.set()
    assert (answer.healthy, answer.words) == (False, "timeout after 0.3s")
    assert answer.latency_seconds < 1


def test_a_server_that_never_shakes_hands_is_given_up_on_at_the_timeout() -> None:
    with serving(lambda connection: list(iter(lambda: connection.recv(65536), b""))) as port:
        answer = ask(GrpcProbe(address=f"127.0.0.1:{port}"), seconds=0.3)
    assert answer.words == "timeout after 0.3s"


def test_a_name_that_is_not_known_is_sick() -> None:
    answer = ask(GrpcProbe(address="no-such-host.invalid:443"), seconds=20)
    assert not answer.healthy
    assert answer.words.startswith("UNAVAILABLE: ")


def test_an_endless_answer_is_not_read(start: Start) -> None:
    def handler(call: Any) -> Any:
        return grpc.unary_unary_rpc_method_handler(lambda request, context: b"\0" * 100_000)

    class Handlers(grpc.GenericRpcHandler):  # type: ignore[misc]
        def service(self, call: Any) -> Any:
            return handler(call)

    answer = ask(GrpcProbe(address=f"127.0.0.1:{start(handlers=(Handlers(),))}"))
    assert not answer.healthy
    assert answer.words.startswith("RESOURCE_EXHAUSTED")


def test_a_server_that_speaks_something_else_is_sick(server: ThreadingHTTPServer) -> None:
    answer = ask(GrpcProbe(address=f"127.0.0.1:{server.server_port}"), seconds=5)
    assert not answer.healthy
    assert answer.words


def test_a_server_may_speak_tls_and_ask_who_we_are(start: Start, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    cert, key = authority.issue("web1.test")
    credentials = grpc.ssl_server_credentials(
        [(Path(key).read_bytes(), Path(cert).read_bytes())], Path(authority.file).read_bytes(), True
    )
    address = f"127.0.0.1:{start(servicer(), credentials=credentials)}"
    tls = Tls(ca_file=authority.file, cert_file=cert, key_file=key, server_name="web1.test")
    assert ask(GrpcProbe(address=address, tls=tls)).words == "SERVING"
    for other in (
        Tls(ca_file=authority.file, cert_file=cert, key_file=key),
        Tls(ca_file=authority.file, server_name="web1.test"),
        Tls(cert_file=cert, key_file=key, server_name="web1.test"),
    ):
        answer = ask(GrpcProbe(address=address, tls=other))
        assert not answer.healthy
        assert answer.words.startswith("UNAVAILABLE")


def test_an_address_may_be_ipv6(start: Start) -> None:
    with socket.create_server(("::1", 0), family=socket.AF_INET6):
        pass
    assert ask(GrpcProbe(address=f"[::1]:{start(servicer(), address='[::1]:0')}")).healthy


def test_a_proxy_in_the_environment_is_not_asked(start: Start, monkeypatch: pytest.MonkeyPatch, free_port: int) -> None:
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{free_port}")
    monkeypatch.setenv("grpc_proxy", f"http://127.0.0.1:{free_port}")
    assert ask(GrpcProbe(address=f"127.0.0.1:{start(servicer())}")).healthy


def test_a_process_that_has_asked_can_still_fork() -> None:
    # With the fork handlers that grpc brings, one in some dozens hung for ever.
    code = """
import os, sys
from datetime import timedelta
from webhook.core.probe import GrpcProbe, Probe
from webhook.edge.probe import WorldProber
for _ in range(150):
    WorldProber().ask(Probe(kind=GrpcProbe(address=sys.argv[1]), timeout=timedelta(seconds=5)))
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
"""
    done = subprocess.run([sys.executable, "-c", code, "127.0.0.1:1"], timeout=60, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
