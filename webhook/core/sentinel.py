"""A Redis behind Sentinels, as a URL: `sentinel://user:password@one:26379,two:26379/mymaster/0`."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from urllib.parse import unquote

from webhook.core.address import split_address
from webhook.core.placeholder import Unfit

SCHEME = "sentinel://"
DEFAULT_PORT = 26379

_URL = re.compile(r"sentinel://(?:([^:@/]*)(?::([^@/]*))?@)?([^/@?#]+)/([A-Za-z0-9._-]+)(?:/([0-9]{1,2}))?")
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


def is_sentinel(url: str) -> bool:
    """Whether a URL is one of these."""
    return url.startswith(SCHEME)


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
    username, password, hosts, primary, database = found.groups()
    return Sentinels(
        addresses=tuple(_address(host) for host in hosts.split(",")),
        primary=primary,
        database=int(database or 0),
        username=unquote(username) if username else None,
        password=unquote(password) if password else None,
    )


def _address(host: str) -> tuple[str, int]:
    return split_address(host if _HAS_PORT.fullmatch(host) else f"{host}:{DEFAULT_PORT}")
