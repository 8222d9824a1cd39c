"""A real HAProxy on loopback, instances of a toy behind it, and load that counts what comes back."""

from __future__ import annotations

import csv
import http.client
import io
import socket
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.playbooks.debian import find
from tests.playbooks.stage import free_port, wait_until

BACKEND = "shop"


@dataclass(frozen=True, slots=True, kw_only=True)
class HAProxy:
    """It runs until the fixture that made it ends."""

    folder: Path
    port: int

    @property
    def socket(self) -> Path:
        return self.folder / "admin.sock"

    def tell(self, command: str) -> str:
        """What the runtime socket answers."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(self.socket))
            connection.sendall(command.encode() + b"\n")
            with connection.makefile() as answer:
                return answer.read().strip()

    def servers(self) -> dict[str, dict[str, str]]:
        """The backend's servers, as its statistics tell them."""
        rows = csv.DictReader(io.StringIO(self.tell(f"show stat {BACKEND} 4 -1").lstrip("# ")))
        return {row["svname"]: row for row in rows}

    def status(self, server: str) -> str:
        """UP, DOWN, DRAIN or MAINT."""
        return self.servers()[server]["status"].split()[0]

    def get(self, path: str = "/") -> tuple[int, str]:
        """Status and body of one request."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read().decode()
        finally:
            connection.close()


@contextmanager
def haproxy(folder: Path, servers: Sequence[str], *, extra: str = "", frontend: str = "") -> Iterator[HAProxy]:
    """HAProxy before servers: lines as its configuration has them."""
    program = find(program="haproxy", package="haproxy")
    proxy = HAProxy(folder=folder, port=free_port())
    configuration = folder / "haproxy.cfg"
    lines = "\n  ".join(f"server {line} check inter 100 fall 2 rise 2" for line in servers)
    configuration.write_text(
        f"""
global
  stats socket {proxy.socket} level admin
defaults
  mode http
  timeout connect 1s
  timeout client 5s
  timeout server 5s
frontend web
  bind 127.0.0.1:{proxy.port}
  {frontend}
  default_backend {BACKEND}
backend {BACKEND}
  option httpchk GET /healthz
  option redispatch
  retries 3
  {lines}
{extra}
"""
    )
    process = subprocess.Popen([program, "-db", "-f", str(configuration)])
    try:
        wait_until(proxy.socket.exists)
        yield proxy
    finally:
        process.terminate()
        process.wait(60)


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """A toy behind the balancer: it answers with its name, until it is made sick."""

    name: str
    port: int
    folder: Path

    def sicken(self) -> None:
        """From now on it answers with errors; its health check does not notice."""
        (self.folder / f"{self.name}.sick").touch()

    def fall(self) -> None:
        """From now on its health check fails, too."""
        self.sicken()
        (self.folder / f"{self.name}.down").touch()

    def recover(self) -> None:
        """All is as it was."""
        for ending in ("sick", "down"):
            (self.folder / f"{self.name}.{ending}").unlink(missing_ok=True)

    @property
    def configuration(self) -> str:
        return f"""
  server {{
    listen 127.0.0.1:{self.port};
    location = /healthz {{ if (-f {self.folder}/{self.name}.down) {{ return 503; }} return 200 well; }}
    location / {{ if (-f {self.folder}/{self.name}.sick) {{ return 500 sick; }} return 200 {self.name}; }}
  }}"""


@contextmanager
def instances(folder: Path, *names: str) -> Iterator[dict[str, Instance]]:
    """Toys by name, all in one nginx that is no service."""
    program = find(program="nginx", package="nginx-light")
    made = {name: Instance(name=name, port=free_port(), folder=folder) for name in names}
    configuration = folder / "toys.conf"
    servers = "".join(instance.configuration for instance in made.values())
    configuration.write_text(
        f"daemon off; user root; pid {folder}/toys.pid; error_log {folder}/toys.log;\n"
        f"events {{}}\nhttp {{ access_log off; {servers}\n}}\n"
    )
    process = subprocess.Popen([program, "-c", str(configuration)])
    try:
        wait_until(lambda: all(map(_listens, made.values())))
        yield made
    finally:
        process.terminate()
        process.wait(60)


def _listens(instance: Instance) -> bool:
    with socket.socket() as connection:
        return connection.connect_ex(("127.0.0.1", instance.port)) == 0


@dataclass(slots=True)
class Load:
    """Requests without a pause from several clients, until it is stopped."""

    port: int
    #: When each answer came, its status and its body; status 0: there was none.
    answers: list[tuple[float, int, str]] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)

    @property
    def failed(self) -> list[tuple[float, int, str]]:
        return [answer for answer in self.answers if answer[1] != 200]

    def bodies(self, *, since: float = 0) -> Counter[str]:
        """How often each body came after a moment."""
        return Counter(body for at, _, body in self.answers if at >= since)

    def run(self) -> None:
        """One client, which keeps its connection as browsers do."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        while not self._stop.is_set():
            try:
                connection.request("GET", "/")
                response = connection.getresponse()
                self.answers.append((time.monotonic(), response.status, response.read().decode()))
            except (OSError, http.client.HTTPException) as error:
                self.answers.append((time.monotonic(), 0, repr(error)))
                connection.close()
            # Two processors have to do for everything here.
            self._stop.wait(0.01)
        connection.close()

    def stop(self) -> None:
        """End all clients."""
        self._stop.set()


@contextmanager
def load(port: int, *, clients: int = 2) -> Iterator[Load]:
    """Load on a port."""
    made = Load(port)
    threads = [threading.Thread(target=made.run) for _ in range(clients)]
    for thread in threads:
        thread.start()
    try:
        wait_until(lambda: len(made.answers) > 20)
        yield made
    finally:
        made.stop()
        for thread in threads:
            thread.join()
