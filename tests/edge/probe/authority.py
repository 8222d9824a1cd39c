"""Certificates of a test's own making."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import trustme


@dataclass(frozen=True, slots=True)
class Authority:
    """A certificate authority, and what it issued, as files in a folder."""

    folder: Path
    ca: trustme.CA = field(default_factory=trustme.CA)

    @property
    def file(self) -> str:
        return self.write("ca.pem", self.ca.cert_pem.bytes())

    def issue(self, *names: str, expired: bool = False) -> tuple[str, str]:
        """The paths of a certificate and its key."""
        ended = datetime.now(UTC) - timedelta(days=1) if expired else None
        issued = self.ca.issue_cert(*names, not_before=datetime(2020, 1, 1), not_after=ended)
        chain = b"".join(blob.bytes() for blob in issued.cert_chain_pems)
        name = names[0].replace(":", "_")
        return self.write(f"{name}.pem", chain), self.write(f"{name}.key", issued.private_key_pem.bytes())

    def context(self, *names: str, expired: bool = False) -> ssl.SSLContext:
        """What a server of one of the names needs."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self.issue(*names, expired=expired))
        return context

    def write(self, name: str, content: bytes) -> str:
        path = self.folder / name
        path.write_bytes(content)
        return str(path)
