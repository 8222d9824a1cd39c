"""TLS as the web.config.file has it, with certificates that are renewed under a running server."""

import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
import uvicorn

from webhook.edge.webconfig import ClientAuth, TlsConfig, TlsVersion, WebConfig
from webhook.web.tls import uvicorn_tls

SELF_SIGNED = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost"]


def test_no_tls_takes_no_arguments() -> None:
    assert uvicorn_tls(None) == {}
    assert uvicorn_tls(WebConfig()) == {}


async def hello(scope: object, receive: object, send: object) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})  # type: ignore[operator]
    await send({"type": "http.response.body", "body": b""})  # type: ignore[operator]


@contextmanager
def serving(config: WebConfig) -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        server = uvicorn.Server(uvicorn.Config(hello, lifespan="off", log_level="critical", **uvicorn_tls(config)))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        yield f"https://localhost:{port}/"
        server.should_exit = True
        thread.join(10)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("tls")
    cert, key = folder / "cert.pem", folder / "key.pem"
    subprocess.run([*SELF_SIGNED, "-keyout", str(key), "-out", str(cert)], check=True, capture_output=True)
    return cert, key


def get(url: str, certificate: tuple[Path, Path], *, shown: bool = False, newest: ssl.TLSVersion | None = None) -> int:
    context = ssl.create_default_context(cafile=certificate[0])
    if shown:
        context.load_cert_chain(*certificate)
    if newest:
        context.maximum_version = newest
    with httpx.Client(verify=context, trust_env=False) as client:
        return client.get(url).status_code


def test_clients_must_show_a_certificate_where_it_is_required(certificate: tuple[Path, Path]) -> None:
    cert, key = certificate
    tls = TlsConfig(cert_file=cert, key_file=key, client_ca_file=cert, client_auth_type=ClientAuth.REQUIRED)
    with serving(WebConfig(tls=tls)) as url:
        assert get(url, certificate, shown=True) == 200
        with pytest.raises(httpx.TransportError):
            get(url, certificate)


def test_an_older_tls_than_the_oldest_allowed_is_not_spoken(certificate: tuple[Path, Path]) -> None:
    tls = TlsConfig(cert_file=certificate[0], key_file=certificate[1], min_version=TlsVersion.TLS13)
    with serving(WebConfig(tls=tls)) as url:
        assert get(url, certificate) == 200
        with pytest.raises(httpx.TransportError):
            get(url, certificate, newest=ssl.TLSVersion.TLSv1_2)


def renew(certificate: tuple[Path, Path]) -> None:
    cert, key = certificate
    subprocess.run([*SELF_SIGNED, "-keyout", str(key), "-out", str(cert)], check=True, capture_output=True)


def shown_by(url: str) -> str:
    with socket.create_connection(("127.0.0.1", int(url.rstrip("/").rpartition(":")[2])), timeout=60) as plain:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        # No name is asked for: a client may do so.
        with context.wrap_socket(plain) as connection:
            return ssl.DER_cert_to_PEM_cert(connection.getpeercert(binary_form=True) or b"")


def test_a_certificate_that_was_renewed_is_shown_without_a_restart(tmp_path: Path) -> None:
    files = tmp_path / "cert.pem", tmp_path / "key.pem"
    renew(files)
    with serving(WebConfig(tls=TlsConfig(cert_file=files[0], key_file=files[1]))) as url:
        assert shown_by(url) == files[0].read_text()
        renew(files)
        assert shown_by(url) == files[0].read_text()
        assert get(url, files) == 200


def test_a_certificate_that_does_not_fit_its_key_leaves_the_one_before(tmp_path: Path) -> None:
    files, other = (tmp_path / "cert.pem", tmp_path / "key.pem"), (tmp_path / "new.pem", tmp_path / "new.key")
    renew(files)
    renew(other)
    with serving(WebConfig(tls=TlsConfig(cert_file=files[0], key_file=files[1]))) as url:
        before = files[0].read_text()
        assert shown_by(url) == before
        # One file after the other, as whoever renews it does
        files[0].write_text(other[0].read_text())
        assert shown_by(url) == before
        files[1].unlink()
        assert shown_by(url) == before
        files[1].write_text(other[1].read_text())
        assert shown_by(url) == other[0].read_text()


def test_who_must_show_a_certificate_must_do_so_after_ours_was_renewed_too(tmp_path: Path) -> None:
    files, authority = (tmp_path / "cert.pem", tmp_path / "key.pem"), tmp_path / "ca.pem"
    renew(files)
    authority.write_text(files[0].read_text())
    tls = TlsConfig(
        cert_file=files[0], key_file=files[1], client_ca_file=authority, client_auth_type=ClientAuth.REQUIRED
    )
    with serving(WebConfig(tls=tls)) as url:
        shown_by(url)
        renew(files)
        with pytest.raises(httpx.TransportError):
            get(url, files)
