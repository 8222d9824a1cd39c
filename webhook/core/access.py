"""Who may do what: the roles, whom they are given to, and the ways in besides a password or a token."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum

from webhook.core.httpconfig import Tls

IpNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network


class Role(StrEnum):
    """What someone may do."""

    RECEIVER = "receiver"
    VIEWER = "viewer"
    OPERATOR = "operator"


#: Who each role is given to: users, or groups.
Grants = Mapping[Role, frozenset[str]]

#: What each role may do besides: who may act may look, and could do by hand what a notification does.
INCLUDES: Mapping[Role, frozenset[Role]] = {
    Role.OPERATOR: frozenset(Role),
    Role.VIEWER: frozenset({Role.VIEWER}),
    Role.RECEIVER: frozenset({Role.RECEIVER}),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who is asking."""

    #: As the record has it: a user's name; `token:`, `oidc:` or `proxy:` before a name says who vouches for it.
    name: str
    roles: frozenset[Role]


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """The OpenID Connect provider that says who people are. Paths are absolute."""

    issuer: str
    client_id: str
    #: None: a public client, which PKCE alone protects.
    client_secret_file: str | None = None
    #: Where it sends people back to: this server's own address, as browsers see it.
    redirect_url: str
    scopes: tuple[str, ...] = ("openid", "profile", "email")
    username_claim: str = "preferred_username"
    roles_claim: str = "groups"
    #: By the values of the roles' claim.
    roles: Grants = field(default_factory=dict)
    tls: Tls | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Who the provider says that someone is."""

    name: str
    groups: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Proxy:
    """The proxies in front of this server that are believed, and what they say of people."""

    addresses: tuple[IpNetwork, ...]
    #: None: they say nothing of people.
    user_header: str | None = None
    groups_header: str | None = None
    #: By groups where there is a header for them, else by users.
    roles: Grants = field(default_factory=dict)

    def is_trusted(self, address: str) -> bool:
        """Whether what comes from there is believed."""
        try:
            found = ipaddress.ip_address(address)
        except ValueError:
            return False
        # A socket for both families shows an IPv4 address in the form of IPv6.
        mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
        return any((mapped or found) in network for network in self.addresses)


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionTerms:
    """How long a browser stays signed in, and what its cookie is signed with."""

    lifetime: timedelta = timedelta(hours=8)
    #: None: a key of this server's own, in the storage path.
    key_file: str | None = None


def granted(grants: Grants, names: Collection[str]) -> frozenset[Role]:
    """All that those names together may do."""
    given = (INCLUDES[role] for role, holders in grants.items() if not holders.isdisjoint(names))
    return frozenset[Role]().union(*given)
