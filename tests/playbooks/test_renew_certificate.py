"""renew_certificate.yml with an authority of its own, judged by what a real nginx serves."""

from __future__ import annotations

import hashlib
import socket
import ssl
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.playbooks.nginx import Nginx
from tests.playbooks.stage import PlayEnd, Stage

NAME = "shop.example"


@dataclass(frozen=True, kw_only=True)
class Shop:
    """An nginx that serves a certificate, and the authority that can make another."""

    nginx: Nginx
    folder: Path

    @property
    def certificate(self) -> Path:
        return self.folder / "live/shop.pem"

    @property
    def key(self) -> Path:
        return self.folder / "live/shop.key"

    @property
    def authority(self) -> Path:
        return self.folder / "ca.pem"

    def issue(self, *, days: int, name: str = NAME, into: str = "live") -> None:
        """Put a new pair there."""
        subprocess.run(self.command(days=days, name=name, into=into), check=True, capture_output=True)

    def command(self, *, days: int, name: str = NAME, into: str = "live", then: str = ":") -> list[str]:
        script = f"""
set -e
cd {self.folder}
openssl req -new -newkey rsa:2048 -nodes -keyout {into}/shop.key -subj /CN={name} -out request.pem
printf 'subjectAltName=DNS:{name}' >names
openssl x509 -req -in request.pem -CA ca.pem -CAkey ca.key -CAcreateserial -days {days} -extfile names \
  -out {into}/shop.pem
{then}
"""
        return ["sh", "-c", script]

    def is_served(self) -> bool:
        """Whether the file is what a client gets."""
        context = ssl.create_default_context(cafile=str(self.authority))
        with (
            socket.create_connection(("127.0.0.1", self.nginx.port), timeout=5) as connection,
            context.wrap_socket(connection, server_hostname=NAME) as encrypted,
        ):
            served = encrypted.getpeercert(binary_form=True) or b""
        there = ssl.PEM_cert_to_DER_cert(self.certificate.read_text())
        return hashlib.sha256(served).digest() == hashlib.sha256(there).digest()


@pytest.fixture
def shop(nginx: Nginx, tmp_path: Path) -> Iterator[Shop]:
    """It serves a certificate that expires in five days."""
    shop = Shop(nginx=nginx, folder=tmp_path / "tls")
    (shop.folder / "live").mkdir(parents=True)
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "100", "-subj", "/CN=Authority"),
            *("-keyout", str(shop.folder / "ca.key"), "-out", str(shop.authority)),
        ],
        check=True,
        capture_output=True,
    )
    shop.issue(days=5)
    nginx.site.write_text(
        f"server {{ listen 127.0.0.1:{nginx.port} ssl; ssl_certificate {shop.certificate};"
        f" ssl_certificate_key {shop.key}; location / {{ return 200 'healthy'; }} }}\n"
    )
    nginx.start()
    yield shop


def play(stage: Stage, shop: Shop, *options: str, **variables: object) -> PlayEnd:
    sound = {
        "certificate": str(shop.certificate),
        "key": str(shop.key),
        "ca_file": str(shop.authority),
        "command": shop.command(days=90),
        "host_name": NAME,
        "service": "nginx",
        "config_test": ["nginx", "-t"],
        "port": shop.nginx.port,
    }
    return stage.play("renew_certificate.yml", {**sound, **variables}, *options)


def test_a_new_certificate_is_made_and_served_and_a_second_run_changes_nothing(stage: Stage, shop: Shop) -> None:
    pid = shop.nginx.pid

    first = play(stage, shop)
    second = play(stage, shop)

    assert first.return_code == 0, first.output
    assert first.result["renewed"] is True
    assert first.result["days_left"] > 80  # type: ignore[operator]
    assert shop.is_served()
    assert shop.nginx.pid == pid
    assert (second.return_code, second.changed) == (0, 0), second.output


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        ({"days": 90, "then": "cp ca.key live/shop.key"}, "certificate and key are no pair"),
        ({"days": 90, "name": "other.example"}, f"the certificate is not for {NAME}"),
        ({"days": 2}, "days only"),
        ({"days": 90, "then": "exit 1"}, "non-zero"),
    ],
)
def test_a_bad_one_is_taken_back_before_the_service_reads_it(
    stage: Stage, shop: Shop, command: dict[str, object], reason: str
) -> None:
    before = shop.certificate.read_bytes(), shop.key.read_bytes(), shop.key.stat().st_mode

    end = play(stage, shop, command=shop.command(**command))  # type: ignore[arg-type]

    assert end.return_code == 2, end.output
    assert reason in end.output
    assert "The certificate was not renewed; the old pair is in its place" in end.output
    assert (shop.certificate.read_bytes(), shop.key.read_bytes(), shop.key.stat().st_mode) == before
    assert shop.is_served()


def test_a_run_that_was_killed_before_the_reload_is_taken_up(stage: Stage, shop: Shop) -> None:
    shop.issue(days=90)
    assert not shop.is_served()

    end = play(stage, shop, command=["false"])

    assert end.return_code == 0, end.output
    assert end.result["renewed"] is False
    assert shop.is_served()


def test_check_mode_says_that_it_would_renew_and_does_not(stage: Stage, shop: Shop) -> None:
    before = shop.certificate.read_bytes()

    end = play(stage, shop, "--check")

    assert (end.return_code, end.changed) == (0, 1), end.output
    assert shop.certificate.read_bytes() == before


def test_values_that_cannot_be_are_refused(stage: Stage) -> None:
    sound: dict[str, object] = {
        "certificate": "/etc/tls/shop.pem",
        "key": "/etc/tls/shop.key",
        "command": ["certbot", "renew"],
        "host_name": NAME,
        "service": "nginx",
        "config_test": ["nginx", "-t"],
    }
    wrong: dict[str, list[object]] = {
        "certificate": ["shop.pem", "-in", "/etc/../x", "", None],
        "key": ["/etc/tls/shop.key; id", None],
        "host_name": ["-checkend", "", "a b", None],
        "command": ["certbot renew", [], None],
        "config_test": [[]],
        "port": [0],
        "within_days": [0, 91],
        "address": ["-x"],
        "ca_file": ["ca.pem"],
    }

    cases = [{**sound, name: value} for name, values in wrong.items() for value in values]
    stage.refusals("renew_certificate.yml", cases)
