"""A Redis behind Sentinels, as a URL: `sentinel://user:password@one:26379,two:26379/mymaster/0`.

With `sentinels://` it and the Sentinels are spoken to over TLS. What they ask for stands in the query, by redis-py's
names: `sentinel_username`, `sentinel_password`, `ssl_ca_certs`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, unquote

from webhook.core.address import split_address
from webhook.core.placeholder import Unfit

SCHEMES = ("sentinel://", "sentinels://")
DEFAULT_PORT = 26379

_URL = re.compile(
    r"sentinel(s?)://(?:([^:@/]*)(?::([^@/]*))?@)?([^/@?#]+)/([A-Za-z0-9._-]+)(?:/([0-9]{1,2}))?(?:\?([^#]*))?"
)
_OPTIONS = frozenset({"sentinel_username", "sentinel_password", "ssl_ca_certs"})
_HAS_PORT = re.compile(r".*(?:[^:\]]|\]):[0-9]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sentinels:
    """Who knows which server is the primary of a name, and how that one is spoken to."""

    #: Host and port of each.
    addresses: tuple[tuple[str, int], ...]
    primary: str
    database: int = 0
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    #: What the Sentinels themselves ask for.
    sentinel_username: str | None = None
    sentinel_password: str | None = field(default=None, repr=False)
    has_tls: bool = False
    #: Whose certificates are trusted; None: those that the system trusts.
    ssl_ca_certs: str | None = None

    @property
    def tls(self) -> dict[str, Any]:
        """As redis-py is told, for the primary and for the Sentinels."""
        return {"ssl": True, "ssl_ca_certs": self.ssl_ca_certs} if self.has_tls else {}

    @property
    def asking(self) -> dict[str, Any]:
        """As redis-py is told, for the Sentinels."""
        return {"username": self.sentinel_username, "password": self.sentinel_password, **self.tls}


def is_sentinel(url: str) -> bool:
    """Whether a URL is one of these."""
    return url.startswith(SCHEMES)


def parse_sentinels(url: str) -> Sentinels:
    """What a URL says.

    Raises:
        Unfit: it is none; what is wrong is said without repeating it, since there may be a password in it.
    """
    found = _URL.fullmatch(url)
    if not found:
        raise Unfit(
            "it looks like sentinel://user:password@one:26379,two:26379,three:26379/NAME, NAME being the primary's"
        )
    tls, username, password, hosts, primary, database, query = found.groups()
    try:
        options = dict(parse_qsl(query or "", keep_blank_values=True, strict_parsing=bool(query)))
    except ValueError:
        raise Unfit("what follows the ? are not names with values") from None
    if unknown := options.keys() - _OPTIONS:
        raise Unfit(f"after the ? only {', '.join(sorted(_OPTIONS))} are known, and not {min(unknown)!r}")
    if "ssl_ca_certs" in options and not tls:
        raise Unfit("ssl_ca_certs is for TLS: write sentinels://")
    return Sentinels(
        addresses=tuple(_address(host) for host in hosts.split(",")),
        primary=primary,
        database=int(database or 0),
        username=unquote(username) if username else None,
        password=unquote(password) if password else None,
        has_tls=bool(tls),
        **options,
    )


def _address(host: str) -> tuple[str, int]:
    return split_address(host if _HAS_PORT.fullmatch(host) else f"{host}:{DEFAULT_PORT}")
