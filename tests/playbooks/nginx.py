"""Debian's nginx, real and on this machine."""

from __future__ import annotations

import os
import signal
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from tests.playbooks.stage import control, wait_until


@dataclass(frozen=True, slots=True, kw_only=True)
class Nginx:
    """Debian's nginx with one more site, on a loopback port of its own."""

    port: int
    site: Path = Path("/etc/nginx/sites-enabled/alertmend-test")
    pid_file: Path = Path("/run/nginx.pid")

    def configure(self, *, port: int) -> None:
        """Write the site; a running nginx doesn't notice."""
        self.site.write_text(f"server {{ listen 127.0.0.1:{port}; location / {{ return 200 'healthy'; }} }}\n")

    def break_configuration(self) -> None:
        self.site.write_text("server { listen nowhere at all; }\n")

    def start(self) -> None:
        control("nginx", "start")
        assert self.pid is not None, "nginx does not start"

    def stop(self) -> None:
        """Not by its init script, which sleeps for a second."""
        if (pid := self.pid) is not None:
            os.kill(pid, signal.SIGTERM)
            wait_until(lambda: self.pid is None)

    @property
    def pid(self) -> int | None:
        """The master process; None when there is none."""
        try:
            pid = int(self.pid_file.read_text())
            # A zombie has no command line.
            return pid if Path(f"/proc/{pid}/cmdline").read_bytes() else None
        except (FileNotFoundError, ProcessLookupError, ValueError):
            return None

    def answers(self, *, port: int | None = None) -> bool:
        """Whether the site is served."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port or self.port}/", timeout=5) as response:
                return bool(response.read() == b"healthy")
        except OSError:
            return False
