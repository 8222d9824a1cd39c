"""The ways in besides passwords and tokens: an OpenID Connect provider, a proxy that is believed, and sessions."""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Final
from urllib.parse import urlsplit

from webhook.core.access import Grants, IpNetwork, Provider, Proxy, Role, SessionTerms
from webhook.core.address import check_url
from webhook.core.placeholder import Unfit
from webhook.httpconfig import read_tls
from webhook.located import Node, duration, existing_file, items, mapping, otherwise, string_list, text

#: Where a provider sends people back to.
CALLBACK_PATH: Final = "/login/oidc/callback"
#: Nobody stays signed in for longer: whoever lost their rights elsewhere keeps them here until then.
_LONGEST_SESSION: Final = timedelta(days=30)
_SHORTEST_SESSION: Final = timedelta(minutes=1)
_KEY_BYTES: Final = 32
_HEADER: Final = re.compile(r"[A-Za-z0-9-]+")


def read_provider(node: Node | None) -> Provider | None:
    """The OpenID Connect provider; it is not asked anything yet."""
    if node is None:
        return None
    known = {
        *{"issuer", "client_id", "client_secret_file", "redirect_url", "scopes"},
        *{"username_claim", "roles_claim", "roles", "tls_config"},
    }
    fields = mapping(node, known=known, required=["issuer", "client_id", "redirect_url", "roles"])
    provider = Provider(
        issuer=_issuer(fields.get("issuer")),
        client_id=otherwise(text(fields.get("client_id")), ""),
        client_secret_file=_secret(fields.get("client_secret_file")),
        redirect_url=_redirect_url(fields.get("redirect_url")),
        scopes=_scopes(fields.get("scopes")),
        username_claim=otherwise(text(fields.get("username_claim")), "preferred_username"),
        roles_claim=otherwise(text(fields.get("roles_claim")), "groups"),
        roles=_grants(fields.get("roles")),
        tls=read_tls(fields.get("tls_config")),
    )
    if provider.tls and provider.issuer.startswith("http:"):
        fields["tls_config"].report("there is no TLS in an issuer that starts with http://")
    return provider


def read_proxy(node: Node | None) -> Proxy | None:
    """The proxies that are believed, by their addresses."""
    if node is None:
        return None
    fields = mapping(node, known={"trusted", "user_header", "groups_header", "roles"}, required=["trusted"])
    user_header, groups_header = fields.get("user_header"), fields.get("groups_header")
    if user_header is None:
        for name in ("groups_header", "roles"):
            if name in fields:
                fields[name].report("does nothing without the key 'user_header'")
    elif "roles" not in fields:
        node.report("user_header needs the key 'roles': who may do what")
    return Proxy(
        addresses=_networks(fields.get("trusted")),
        user_header=_header(user_header),
        groups_header=_header(groups_header),
        roles=_grants(fields.get("roles")),
    )


def read_session(node: Node | None) -> SessionTerms:
    """How long a browser stays signed in."""
    fields = mapping(node, known={"lifetime", "key_file"})
    written = fields.get("lifetime")
    lifetime = duration(written, minimum=_SHORTEST_SESSION)
    if written is not None and lifetime is not None and lifetime > _LONGEST_SESSION:
        written.report(f"at most {_LONGEST_SESSION.days}d: who lost their rights elsewhere keeps them here until then")
    return SessionTerms(
        lifetime=otherwise(lifetime, SessionTerms().lifetime), key_file=_key_file(fields.get("key_file"))
    )


def _url(node: Node | None) -> str:
    url = otherwise(text(node), "")
    try:
        check_url(url)
    except Unfit as error:
        if node is not None and url:
            node.report(str(error))
        return url
    if node is not None and (urlsplit(url).query or "$" in url):
        node.report("the URL is fixed and has no query")
    return url


def _issuer(node: Node | None) -> str:
    url = _url(node)
    if node is not None and url.startswith("http:") and not _is_loopback(urlsplit(url).hostname or ""):
        node.report("it is believed without TLS on loopback only: whoever is between could say that they are anyone")
    return url


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _redirect_url(node: Node | None) -> str:
    url = _url(node)
    if node is not None and url and urlsplit(url).path != CALLBACK_PATH:
        node.report(f"it is this server's address as browsers see it, and ends with {CALLBACK_PATH}")
    return url


def _scopes(node: Node | None) -> tuple[str, ...]:
    scopes = otherwise(string_list(node), ("openid", "profile", "email"))
    if node is not None and "openid" not in scopes:
        node.report("'openid' is missing: without it a provider does not say who someone is")
    return scopes


def _secret(node: Node | None) -> str | None:
    found = existing_file(node)
    if node is None or found is None:
        return None
    try:
        secret = found.read_text().strip()
    except (OSError, UnicodeDecodeError):
        secret = ""
    if not secret.isprintable() or not secret:
        node.report("the file must hold the client's secret, in one line")
    return os.path.abspath(found)


def _key_file(node: Node | None) -> str | None:
    found = existing_file(node)
    if node is None or found is None:
        return None
    try:
        size = found.stat().st_size
    except OSError:
        size = 0
    if size < _KEY_BYTES:
        node.report(f"at least {_KEY_BYTES} bytes are needed; make them with `openssl rand -out FILE 64`")
    return os.path.abspath(found)


def _header(node: Node | None) -> str | None:
    name = text(node)
    if node is not None and name is not None and not _HEADER.fullmatch(name):
        node.report("the name of a header has letters, digits and hyphens, like X-Forwarded-User")
        return None
    return name


def _networks(node: Node | None) -> tuple[IpNetwork, ...]:
    found = tuple(network for item in items(node) if (network := _network(item)) is not None)
    if node is not None and not items(node):
        node.report("name at least one address, such as 127.0.0.1 or 10.0.0.0/8")
    return found


def _network(node: Node) -> IpNetwork | None:
    written = text(node)
    if written is None:
        return None
    try:
        network = ipaddress.ip_network(written)
    except ValueError as error:
        node.report(f"an address like 127.0.0.1 or 10.0.0.0/8 is needed: {error}")
        return None
    if network.prefixlen == 0:
        node.report("this is everyone: whoever reaches this server could say that they are anyone")
    return network


def _grants(node: Node | None) -> Grants:
    before = len(node.problems) if node is not None else 0
    fields: Mapping[str, Node] = mapping(node, known={"viewer", "operator"})
    grants = {
        Role(name): frozenset(otherwise(string_list(names), ()))
        for name, names in fields.items()
        if name in tuple(Role)
    }
    if node is not None and not any(grants.values()) and len(node.problems) == before:
        node.report("it lets nobody in: name groups or users for viewer or operator")
    return grants
