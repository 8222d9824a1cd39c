"""How another server is spoken to over HTTP: TLS and credentials, in the words of Prometheus' `http_config`.

Holds the paths of secrets; a secret itself only where a person's own file of credentials wrote it out.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class TlsVersion(StrEnum):
    """The oldest version of TLS that will do."""

    TLS12 = "TLS12"
    TLS13 = "TLS13"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """Who is believed, and who we are. Paths are absolute."""

    #: Certificates of the authorities that are believed; None: the system's.
    ca_file: str | None = None
    #: Our own certificate and its key.
    cert_file: str | None = None
    key_file: str | None = None
    #: The name that the certificate must be for; None: the host that is asked.
    server_name: str | None = None
    insecure_skip_verify: bool = False
    min_version: TlsVersion = TlsVersion.TLS12


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpConfig:
    """TLS, and one kind of credentials at most. Paths are absolute; their files are read for each request."""

    tls: Tls | None = None
    username: str | None = None
    password_file: str | None = None
    password: str | None = field(default=None, repr=False)
    #: The word before the credentials.
    authorization: str = "Bearer"
    credentials_file: str | None = None
    credentials: str | None = field(default=None, repr=False)
    follow_redirects: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """Where something is asked over HTTP, and how."""

    #: Without the path of its API.
    url: str
    http_config: HttpConfig = HttpConfig()
