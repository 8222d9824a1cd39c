"""TLS for the web server, with the certificate that lies in the files at the time of each handshake."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from typing import Any, Final

import structlog

from webhook.edge.webconfig import ClientAuth, TlsConfig, TlsVersion, WebConfig
from webhook.stamp import Stamp, stamp_of

log = structlog.get_logger()

_CERTIFICATES: Final = {
    ClientAuth.NONE: ssl.CERT_NONE,
    ClientAuth.IF_GIVEN: ssl.CERT_OPTIONAL,
    ClientAuth.REQUIRED: ssl.CERT_REQUIRED,
}
_VERSIONS: Final = {TlsVersion.TLS12: ssl.TLSVersion.TLSv1_2, TlsVersion.TLS13: ssl.TLSVersion.TLSv1_3}


def uvicorn_tls(web_config: WebConfig | None) -> dict[str, Any]:
    """The arguments of `uvicorn.Config` that turn TLS on; empty when it is off."""
    tls = web_config.tls if web_config else None
    if tls is None:
        return {}
    return {
        "ssl_certfile": str(tls.cert_file),
        "ssl_keyfile": str(tls.key_file),
        # A factory, because no argument sets the oldest version.
        "ssl_context_factory": lambda _config, _default: rotating_context(tls),
    }


def rotating_context(tls: TlsConfig) -> ssl.SSLContext:
    """A context whose certificate may be renewed meanwhile. Which clients are let in is as it was."""
    context, renewed = _context(tls), _Renewed(tls=tls)

    def hand_over(connection: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
        connection.context = renewed.context()

    # It is called in every handshake, whether the client names a server or not.
    context.sni_callback = hand_over
    return context


@dataclass(slots=True, kw_only=True)
class _Renewed:
    """The latest certificate and key that fit together."""

    tls: TlsConfig
    _stamps: tuple[Stamp | None, ...] = ()
    _context: ssl.SSLContext = field(init=False)

    def __post_init__(self) -> None:
        self._context, self._stamps = _context(self.tls), self._look()

    def context(self) -> ssl.SSLContext:
        stamps = self._look()
        if stamps != self._stamps:
            # Of two files, one is replaced before the other: what does not fit yet is tried again when it has changed.
            self._stamps = stamps
            try:
                self._context = _context(self.tls)
            except (OSError, ValueError) as error:
                log.warning("the certificate cannot be renewed yet", action="tls", error=str(error))
            else:
                log.info("the certificate was renewed", action="tls", file=str(self.tls.cert_file))
        return self._context

    def _look(self) -> tuple[Stamp | None, ...]:
        return tuple(stamp_of(file) for file in (self.tls.cert_file, self.tls.key_file))


def _context(tls: TlsConfig) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = _VERSIONS[tls.min_version]
    context.load_cert_chain(tls.cert_file, tls.key_file)
    if tls.client_ca_file is not None:
        context.load_verify_locations(tls.client_ca_file)
    context.verify_mode = _CERTIFICATES[tls.client_auth_type]
    return context
