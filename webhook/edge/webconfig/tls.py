"""TLS as the web.config.file has it."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from webhook.located import Node, choice, existing_file, mapping, otherwise


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


#: What the exporter-toolkit knows and this does not: left alone, someone would believe that it holds.
NOT_SUPPORTED: Final = "is not supported here; remove it"
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


def supported(fields: Mapping[str, Node], others: tuple[str, ...]) -> Mapping[str, Node]:
    """The fields; those that the exporter-toolkit knows and this does not are reported."""
    for name in others:
        if name in fields:
            fields[name].report(NOT_SUPPORTED)
    return fields


def read_tls(node: Node | None) -> TlsConfig | None:
    """How connections are encrypted; the certificate and its key are tried."""
    if node is None:
        return None
    known = {"cert_file", "key_file", "client_ca_file", "client_auth_type", "min_version"}
    fields = mapping(node, known={*known, *_OTHER_TLS_KEYS}, required=["cert_file", "key_file"])
    supported(fields, _OTHER_TLS_KEYS)
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
        node.report(f"{node.raw.value} {NOT_SUPPORTED}, or verify the certificates with {ClientAuth.REQUIRED}")
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
