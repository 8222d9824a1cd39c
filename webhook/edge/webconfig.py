"""Reads the web.config.file: the exporter-toolkit's format, with roles and receiver tokens added.

Who may do what is web.auth's affair.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Final

from webhook.errors import Problem
from webhook.located import (
    Node,
    choice,
    did_you_mean,
    existing_file,
    items,
    load,
    mapping,
    otherwise,
    refuse,
    text,
)


class Role(StrEnum):
    """What someone may do."""

    RECEIVER = "receiver"
    VIEWER = "viewer"
    OPERATOR = "operator"


class ClientAuth(StrEnum):
    """What is asked of a client's certificate."""

    NONE = "NoClientCert"
    IF_GIVEN = "VerifyClientCertIfGiven"
    REQUIRED = "RequireAndVerifyClientCert"


class TlsVersion(StrEnum):
    """The oldest TLS that is spoken."""

    TLS12 = "TLS12"
    TLS13 = "TLS13"


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsConfig:
    """How connections are encrypted."""

    cert_file: Path
    key_file: Path
    #: Whose certificates clients may show.
    client_ca_file: Path | None = None
    client_auth_type: ClientAuth = ClientAuth.NONE
    min_version: TlsVersion = TlsVersion.TLS12


@dataclass(frozen=True, slots=True, kw_only=True)
class WebConfig:
    """Who is let in, and how."""

    #: None: connections are not encrypted.
    tls: TlsConfig | None = None
    #: The bcrypt hash of each user's password.
    users: Mapping[str, str] = field(default_factory=dict)
    #: The users that were given each role.
    roles: Mapping[Role, frozenset[str]] = field(default_factory=dict)
    #: Each holds one token that may deliver notifications.
    receiver_tokens_files: tuple[Path, ...] = ()


_BCRYPT: Final = re.compile(r"\$2[abxy]\$([0-9]{2})\$[./A-Za-z0-9]{53}")
#: Costs beyond take seconds for each password; some, days.
_COSTS: Final = range(4, 16)
_TOKEN: Final = re.compile(r"[\x21-\x7e]+")
#: What the exporter-toolkit knows and this does not: left alone, someone would believe that it holds.
_NOT_SUPPORTED: Final = "is not supported here; remove it"
_OTHER_KEYS: Final = ("http_server_config", "rate_limit")
_OTHER_TLS_KEYS: Final = (
    "cert",
    "key",
    "client_ca",
    "client_allowed_sans",
    "cipher_suites",
    "prefer_server_cipher_suites",
    "curve_preferences",
    "max_version",
)
_OTHER_CLIENT_AUTH: Final = ("RequestClientCert", "RequireAnyClientCert")
_OLD_TLS: Final = ("TLS10", "TLS11")


def read_web_config(path: Path) -> WebConfig:
    """What the file says. Paths in it are relative to its folder.

    Raises:
        ConfigError: with every problem, each with its place.
    """
    problems: list[Problem] = []
    document = load(path, problems)
    known = {"tls_server_config", "basic_auth_users", "roles", "receiver_tokens_files"}
    fields = _supported(mapping(document, known={*known, *_OTHER_KEYS}), _OTHER_KEYS)
    users = mapping(fields.get("basic_auth_users"))
    config = WebConfig(
        tls=_tls(fields.get("tls_server_config")),
        users=_hashes(users),
        roles=_roles(fields.get("roles"), users),
        receiver_tokens_files=_tokens_files(fields.get("receiver_tokens_files")),
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
    return bool(by_certificate or any(config.roles.values()) or config.receiver_tokens_files)


def _supported(fields: Mapping[str, Node], others: tuple[str, ...]) -> Mapping[str, Node]:
    for name in others:
        if name in fields:
            fields[name].report(_NOT_SUPPORTED)
    return fields


def _tls(node: Node | None) -> TlsConfig | None:
    if node is None:
        return None
    known = {"cert_file", "key_file", "client_ca_file", "client_auth_type", "min_version"}
    fields = mapping(node, known={*known, *_OTHER_TLS_KEYS}, required=["cert_file", "key_file"])
    _supported(fields, _OTHER_TLS_KEYS)
    cert_file, key_file = existing_file(fields.get("cert_file")), existing_file(fields.get("key_file"))
    client_ca_file = existing_file(fields.get("client_ca_file"))
    client_auth = _client_auth(fields.get("client_auth_type"))
    min_version = _min_version(fields.get("min_version"))
    if client_auth not in (None, ClientAuth.NONE) and "client_ca_file" not in fields:
        node.report(f"client_auth_type {client_auth} needs the key 'client_ca_file'")
    if client_auth in (None, ClientAuth.NONE) and "client_ca_file" in fields and "client_auth_type" not in fields:
        node.report(f"client_ca_file does nothing without client_auth_type: {ClientAuth.REQUIRED}")
    if cert_file is None or key_file is None:
        return None
    tls = TlsConfig(
        cert_file=cert_file,
        key_file=key_file,
        client_ca_file=client_ca_file,
        client_auth_type=otherwise(client_auth, ClientAuth.NONE),
        min_version=otherwise(min_version, TlsVersion.TLS12),
    )
    _try(tls, fields)
    return tls


def _client_auth(node: Node | None) -> ClientAuth | None:
    if node is not None and node.raw.value in _OTHER_CLIENT_AUTH:
        node.report(f"{node.raw.value} {_NOT_SUPPORTED}, or verify the certificates with {ClientAuth.REQUIRED}")
        return None
    return choice(node, ClientAuth)


def _min_version(node: Node | None) -> TlsVersion | None:
    if node is not None and node.raw.value in _OLD_TLS:
        node.report(f"{node.raw.value} is not spoken any more; use {TlsVersion.TLS12} or {TlsVersion.TLS13}")
        return None
    return choice(node, TlsVersion)


def _try(tls: TlsConfig, fields: Mapping[str, Node]) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        # The password is given so that nobody is asked for one on the terminal.
        context.load_cert_chain(tls.cert_file, tls.key_file, password=lambda: "")
    except (OSError, ValueError) as error:
        fields["cert_file"].report(f"this certificate and its key cannot be used: {_reason(error)}")
    try:
        if tls.client_ca_file is not None:
            context.load_verify_locations(tls.client_ca_file)
    except (OSError, ValueError) as error:
        fields["client_ca_file"].report(f"it holds no certificate: {_reason(error)}")


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLError) and error.reason:
        return error.reason.replace("_", " ").lower()
    # OpenSSL gives no reason for a file that is no PEM at all.
    return "it is not in PEM format" if isinstance(error, ssl.SSLError) else str(error)


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
