"""A real BIND on loopback with one zone that takes signed updates."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.playbooks.debian import find
from tests.playbooks.stage import free_port, wait_until

ZONE = "shop.example"
RECORD = f"db.{ZONE}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bind:
    """It runs until the fixture that made it ends."""

    folder: Path
    port: int
    process: subprocess.Popen[bytes]

    @property
    def key_file(self) -> Path:
        return self.folder / "update.key"

    def address(self) -> list[str]:
        """What it answers for the record."""
        command = ["dig", "@127.0.0.1", "-p", str(self.port), "+short", "+tries=1", "+time=1", RECORD, "A"]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.split()

    def stop(self) -> None:
        """End it."""
        self.process.terminate()
        self.process.wait(60)


@contextmanager
def bind(folder: Path, address: str) -> Iterator[Bind]:
    """BIND, with the record at an address."""
    named = find(program="named", package="bind9 bind9-dnsutils")
    port = free_port()
    key = subprocess.run(["tsig-keygen", "update"], capture_output=True, text=True, check=True).stdout
    (folder / "update.key").write_text(key)
    (folder / "zone").write_text(
        f"$TTL 60\n@ IN SOA ns.{ZONE}. admin.{ZONE}. 1 60 60 60 60\n@ IN NS ns.{ZONE}.\n"
        f"ns IN A 127.0.0.1\ndb IN A {address}\n"
    )
    (folder / "named.conf").write_text(
        f'{key}\noptions {{ directory "{folder}"; listen-on port {port} {{ 127.0.0.1; }}; listen-on-v6 {{ none; }};'
        f' pid-file "{folder}/named.pid"; session-keyfile "{folder}/session.key"; recursion no;'
        f' managed-keys-directory "{folder}"; }};\ncontrols {{ }};\n'
        f'zone "{ZONE}" {{ type primary; file "{folder}/zone"; allow-update {{ key update; }}; }};\n'
    )
    process = subprocess.Popen(
        [named, "-g", "-c", str(folder / "named.conf")], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    server = Bind(folder=folder, port=port, process=process)
    try:
        wait_until(lambda: server.address() == [address])
        yield server
    finally:
        server.stop()
