"""A primary and its Sentinel, with passwords of their own and over TLS: every client of ours finds its way."""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import redis
import trustme

from tests.journey.harness import free_port
from webhook.edge.queue import make_app
from webhook.wiring.connection import connect, connect_async


def _started(command: Sequence[str], port: int, ca: Path, password: str) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    client = redis.Redis(port=port, password=password, ssl=True, ssl_ca_certs=str(ca))
    for _ in range(200):
        with suppress(redis.ConnectionError):
            client.ping()
            break
        time.sleep(0.05)
    client.close()
    return process


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("sentinels")
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost", "127.0.0.1")
    authority.cert_pem.write_to_path(str(ca := folder / "ca.pem"))
    certificate.private_key_and_cert_chain_pem.write_to_path(str(both := folder / "cert.pem"))
    tls = {"port": "0", "tls-cert-file": both, "tls-key-file": both, "tls-ca-cert-file": ca, "tls-auth-clients": "no"}
    server, sentinel = free_port(), free_port()

    def written(name: str, lines: dict[str, object], more: str) -> Path:
        file = folder / f"{name}.conf"
        text = "".join(f"{key} {value}\n" for key, value in {**tls, "dir": folder, **lines}.items())
        file.write_text(text + more)
        return file

    of_server = written("redis", {"tls-port": server, "requirepass": "hers", "tls-replication": "yes"}, "")
    of_sentinel = written(
        "sentinel",
        {"tls-port": sentinel, "requirepass": "his", "tls-replication": "yes"},
        f"sentinel monitor m 127.0.0.1 {server} 1\nsentinel auth-pass m hers\n",
    )
    running = [
        _started(["redis-server", str(of_server)], server, ca, "hers"),
        _started(["redis-server", str(of_sentinel), "--sentinel"], sentinel, ca, "his"),
    ]
    yield f"sentinels://:hers@127.0.0.1:{sentinel}/m?sentinel_password=his&ssl_ca_certs={ca}"
    for process in running:
        process.kill()
        process.wait()


@contextmanager
def worker(url: str) -> Iterator[redis.Redis]:
    with connect(url) as client:
        yield client
        for sentinel in client.connection_pool.sentinel_manager.sentinels:
            sentinel.close()


def test_workers_find_the_primary(url: str) -> None:
    with worker(url) as client:
        assert client.ping()


def test_receivers_find_the_primary(url: str) -> None:
    async def ping() -> bool:
        async with connect_async(url) as client:
            answer = bool(await client.ping())
            for sentinel in client.connection_pool.sentinel_manager.sentinels:
                await sentinel.aclose()
            return answer

    assert asyncio.run(ping())


def test_celery_finds_the_primary(url: str) -> None:
    app = make_app(url)
    with app.connection_for_write() as connection:
        connection.ensure_connection(max_retries=1)
        assert connection.default_channel.client.ping()
    app.close()


@pytest.mark.parametrize("wrong", ["sentinel_password=hers", "sentinel_password=his"])
def test_a_wrong_password_finds_nobody(url: str, wrong: str) -> None:
    right, _, ca = url.rpartition("&")
    other = right.replace("sentinel_password=his", wrong).replace(":hers@", ":wrong@") + "&" + ca
    with worker(other) as client, pytest.raises(redis.RedisError):
        client.ping()
