"""Reads the web.config.file: the exporter-toolkit's format, with roles and receiver tokens added.

Who may do what is web.auth's affair.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from webhook.core.access import Grants, Provider, Proxy, Role, SessionTerms
from webhook.edge.webconfig.tls import ClientAuth, TlsConfig, TlsVersion, read_tls, supported
from webhook.edge.webconfig.ways import read_provider, read_proxy, read_session
from webhook.errors import Problem
from webhook.located import Node, did_you_mean, existing_file, items, load, mapping, refuse, text

__all__ = ["ClientAuth", "Role", "TlsConfig", "TlsVersion", "WebConfig", "read_web_config"]


@dataclass(frozen=True, slots=True, kw_only=True)
class WebConfig:
    """Who is let in, and how."""

    #: None: connections are not encrypted.
    tls: TlsConfig | None = None
    #: The bcrypt hash of each user's password.
    users: Mapping[str, str] = field(default_factory=dict)
    #: The users that were given each role.
    roles: Grants = field(default_factory=dict)
    #: Each holds one token that may deliver notifications.
    receiver_tokens_files: tuple[Path, ...] = ()
    #: Who says who people are, besides.
    oidc: Provider | None = None
    proxy: Proxy | None = None
    session: SessionTerms = SessionTerms()


_BCRYPT: Final = re.compile(r"\$2[abxy]\$([0-9]{2})\$[./A-Za-z0-9]{53}")
#: Costs beyond take seconds for each password; some, days.
_COSTS: Final = range(4, 16)
_TOKEN: Final = re.compile(r"[\x21-\x7e]+")
_OTHER_KEYS: Final = ("http_server_config", "rate_limit")


def read_web_config(path: Path) -> WebConfig:
    """What the file says. Paths in it are relative to its folder.

    Raises:
        ConfigError: with every problem, each with its place.
    """
    problems: list[Problem] = []
    document = load(path, problems)
    known = {
        *{"tls_server_config", "basic_auth_users", "roles", "receiver_tokens_files"},
        *{"oidc", "proxy", "session"},
    }
    fields = supported(mapping(document, known={*known, *_OTHER_KEYS}), _OTHER_KEYS)
    users = mapping(fields.get("basic_auth_users"))
    config = WebConfig(
        tls=read_tls(fields.get("tls_server_config")),
        users=_hashes(users),
        roles=_roles(fields.get("roles"), users),
        receiver_tokens_files=_tokens_files(fields.get("receiver_tokens_files")),
        oidc=read_provider(fields.get("oidc")),
        proxy=read_proxy(fields.get("proxy")),
        session=read_session(fields.get("session")),
    )
    if document is not None and not problems and not _lets_someone_in(config):
        document.report(
            "it lets nobody in: add basic_auth_users and roles, or receiver_tokens_files, or ask for clients'"
            f" certificates with client_auth_type: {ClientAuth.REQUIRED}"
        )
    refuse(problems)
    return config


def _lets_someone_in(config: WebConfig) -> bool:
    by_certificate = config.tls is not None and config.tls.client_auth_type is ClientAuth.REQUIRED
    by_another = any(way is not None and any(way.roles.values()) for way in (config.oidc, config.proxy))
    return bool(by_certificate or by_another or any(config.roles.values()) or config.receiver_tokens_files)


def _hashes(users: Mapping[str, Node]) -> dict[str, str]:
    hashes: dict[str, str] = {}
    for name, node in users.items():
        if not name or ":" in name:
            node.report("a user's name is not empty and has no colon in it")
        elif _is_usable_hash(node):
            hashes[name] = str(node.raw.value)
    return hashes


def _is_usable_hash(node: Node) -> bool:
    written = text(node)
    if written is None:
        return False
    found = _BCRYPT.fullmatch(written)
    if not found:
        # The value is not repeated: it may be the password.
        node.report("this is not a bcrypt hash; make one with `htpasswd -nBC 10 '' | tr -d ':'`")
    elif int(found[1]) not in _COSTS:
        node.report(f"a bcrypt cost of {int(found[1])} is not usable; make the hash with 10 to {_COSTS[-1]}")
    else:
        return True
    return False


def _roles(node: Node | None, users: Collection[str]) -> dict[Role, frozenset[str]]:
    roles: dict[Role, frozenset[str]] = {}
    known = {Role.VIEWER.value, Role.OPERATOR.value}
    for name, names in mapping(node, known={*known, Role.RECEIVER.value}).items():
        if name == Role.RECEIVER:
            names.report("receivers have tokens: name their files in receiver_tokens_files")
        else:
            found = (_user(item, users) for item in items(names))
            roles[Role(name)] = frozenset(user for user in found if user is not None)
    return roles


def _user(node: Node, users: Collection[str]) -> str | None:
    name = text(node)
    if name is not None and name not in users:
        hint = did_you_mean(name, users) if users else "there are none"
        node.report(f"{name!r} is not one of basic_auth_users; {hint}")
        return None
    return name


def _tokens_files(node: Node | None) -> tuple[Path, ...]:
    found = [(item, existing_file(item)) for item in items(node)]
    return tuple(path for item, path in found if path is not None and _is_usable_token(item, path))


def _is_usable_token(node: Node, path: Path) -> bool:
    try:
        token = path.read_text().strip()
    except (OSError, UnicodeDecodeError):
        token = "\0"
    if not token:
        node.report("the file is empty; write a long random token into it: `openssl rand -hex 32`")
        return False
    if not _TOKEN.fullmatch(token):
        node.report("the file must hold one token: letters, digits and signs, without spaces")
        return False
    return True
