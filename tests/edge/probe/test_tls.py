"""TLS: who is believed, for which name, and who we are."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable, Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.edge.probe.asking import Answers, ask
from tests.edge.probe.authority import Authority
from webhook.core.httpconfig import Tls, TlsVersion
from webhook.core.probe import GrpcProbe, HttpProbe
from webhook.world import ProbeAnswer

Serve = Callable[[ssl.SSLContext], int]


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Starts a server, and gives its port."""
    servers: list[ThreadingHTTPServer] = []
    Answers.seen = []

    def start(context: ssl.SSLContext) -> int:
        server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
        # The handshake belongs to the connection's own thread.
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        server.daemon_threads = True
        server.handle_error = lambda *_: None  # type: ignore[method-assign]
        servers.append(server)
        threading.Thread(target=lambda: server.serve_forever(0.02), daemon=True).start()
        return int(server.server_port)

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def asked(port: int, tls: Tls | None = None) -> ProbeAnswer:
    return ask(HttpProbe(url=f"https://127.0.0.1:{port}/healthy", tls=tls))


def test_a_certificate_of_an_authority_that_is_named_is_believed(authority: Authority, serve: Serve) -> None:
    port = serve(authority.context("127.0.0.1"))
    assert asked(port, Tls(ca_file=authority.file)).words == "status 200"


def test_a_certificate_of_an_unknown_authority_is_sick(authority: Authority, serve: Serve) -> None:
    answer = asked(serve(authority.context("127.0.0.1")))
    assert (answer.healthy, answer.words) == (False, "TLS: unable to get local issuer certificate")


def test_a_certificate_for_another_name_is_sick(authority: Authority, serve: Serve) -> None:
    answer = asked(serve(authority.context("web1.test")), Tls(ca_file=authority.file))
    assert not answer.healthy
    assert answer.words.startswith("TLS: IP address mismatch, certificate is not valid for '127.0.0.1'")


def test_the_name_that_is_asked_for_may_be_another(authority: Authority, serve: Serve) -> None:
    port = serve(authority.context("web1.test"))
    assert asked(port, Tls(ca_file=authority.file, server_name="web1.test")).healthy
    answer = asked(port, Tls(ca_file=authority.file, server_name="web2.test"))
    assert answer.words.startswith("TLS: Hostname mismatch, certificate is not valid for 'web2.test'")


def test_an_expired_certificate_is_sick(authority: Authority, serve: Serve) -> None:
    answer = asked(serve(authority.context("127.0.0.1", expired=True)), Tls(ca_file=authority.file))
    assert (answer.healthy, answer.words) == (False, "TLS: certificate has expired")


def test_nothing_is_verified_where_the_rule_says_so(authority: Authority, serve: Serve) -> None:
    port = serve(authority.context("web1.test", expired=True))
    assert asked(port, Tls(insecure_skip_verify=True)).healthy


def test_a_server_may_ask_who_we_are(authority: Authority, serve: Serve) -> None:
    context = authority.context("127.0.0.1")
    context.verify_mode = ssl.CERT_REQUIRED
    authority.ca.configure_trust(context)
    port = serve(context)
    cert, key = authority.issue("alertmend.test")
    assert asked(port, Tls(ca_file=authority.file, cert_file=cert, key_file=key)).healthy
    answer = asked(port, Tls(ca_file=authority.file))
    assert (answer.healthy, answer.words) == (False, "TLS: TLSV13_ALERT_CERTIFICATE_REQUIRED")


def test_an_old_version_is_not_spoken_where_a_new_one_is_asked_for(authority: Authority, serve: Serve) -> None:
    context = authority.context("127.0.0.1")
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    port = serve(context)
    assert asked(port, Tls(ca_file=authority.file)).healthy
    answer = asked(port, Tls(ca_file=authority.file, min_version=TlsVersion.TLS13))
    assert (answer.healthy, answer.words) == (False, "TLS: TLSV1_ALERT_PROTOCOL_VERSION")


def test_certificates_are_read_again_for_each_question(authority: Authority, serve: Serve, tmp_path: Path) -> None:
    port = serve(authority.context("127.0.0.1"))
    stranger = tmp_path / "other"
    stranger.mkdir()
    tls = Tls(ca_file=authority.write("believed.pem", Authority(stranger).ca.cert_pem.bytes()))
    assert not asked(port, tls).healthy
    authority.write("believed.pem", authority.ca.cert_pem.bytes())
    assert asked(port, tls).healthy


def test_a_file_of_ours_that_is_gone_says_nothing_about_the_target(free_port: int) -> None:
    tls = Tls(ca_file="/no/such/file")
    for kind in (
        HttpProbe(url=f"https://127.0.0.1:{free_port}/", tls=tls),
        GrpcProbe(address=f"127.0.0.1:{free_port}", tls=tls),
    ):
        answer = ask(kind)
        assert (answer.healthy, answer.known) == (False, False)
        assert answer.words == "the TLS files cannot be used: no such file or directory"
