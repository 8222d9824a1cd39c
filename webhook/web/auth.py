"""Who is asking, and may they: receiver tokens, users with passwords, and roles.

The file that names them is edge.webconfig's; what is not let in is answered by the application.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
import ssl
from asyncio import get_running_loop
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from starlette.requests import HTTPConnection

from webhook.edge.webconfig import ClientAuth, Role, TlsConfig, TlsVersion, WebConfig
from webhook.errors import AccessDenied, NotAuthenticated, Unavailable

__all__ = ["CHALLENGE", "Authenticator", "Identity", "Role", "uvicorn_tls"]

#: The answer's `WWW-Authenticate` when credentials are missing: with it, a browser asks for them.
CHALLENGE: Final = 'Basic realm="alertmend", charset="UTF-8"'

#: What each role may do besides: who may act may look, and could do by hand what a notification does.
_INCLUDES: Final = {
    Role.OPERATOR: frozenset(Role),
    Role.VIEWER: frozenset({Role.VIEWER}),
    Role.RECEIVER: frozenset({Role.RECEIVER}),
}
_DEEDS: Final = {
    Role.RECEIVER: "deliver notifications",
    Role.VIEWER: "look at this",
    Role.OPERATOR: "change anything",
}
_HOW: Final = (
    "an Alertmanager sends them when its receiver's http_config sets authorization.credentials_file, with a token from"
    " receiver_tokens_files, or basic_auth, with a user from basic_auth_users who is an operator"
)
#: bcrypt reads no further, and what makes the hashes (htpasswd, Go) cuts without a word.
_PASSWORD_LIMIT_BYTES: Final = 72
#: Passwords that wait for their check at once; each takes 50 ms and more of a core.
_WAITING_LIMIT: Final = 64
_REMEMBERED_LIMIT: Final = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who is asking."""

    #: A user's name, or `token:` and the name of its file.
    name: str
    roles: frozenset[Role]


class Authenticator:
    """Knows who is asking. One for each process and configuration."""

    def __init__(self, web_config: WebConfig | None) -> None:
        self._config = web_config
        self._tokens = [_TokenFile(path=path) for path in (web_config.receiver_tokens_files if web_config else ())]
        self._passwords = _Passwords(users=web_config.users if web_config else {})

    async def allow(self, request: HTTPConnection, role: Role) -> Identity:
        """Who is asking, if they have the role.

        Raises:
            NotAuthenticated: as `identify`.
            AccessDenied: it is known who asks, and they do not have the role.
            Unavailable: too many passwords are waiting for their check.
        """
        identity = await self.identify(request)
        if role not in identity.roles:
            raise AccessDenied(
                f"{identity.name!r} may not {_DEEDS[role]}: that takes the role {role.value} in the web.config.file"
            )
        return identity

    async def identify(self, request: HTTPConnection) -> Identity:
        """Who is asking. Without a configuration everyone is an operator.

        Raises:
            NotAuthenticated: credentials are missing or wrong; the words say what to set.
            Unavailable: too many passwords are waiting for their check.
        """
        if self._config is None:
            return Identity(name="anonymous", roles=_INCLUDES[Role.OPERATOR])
        if _needs_no_credentials(self._config):
            return Identity(name="client certificate", roles=_INCLUDES[Role.OPERATOR])
        written = request.headers.get("authorization")
        if not written:
            raise NotAuthenticated(f"credentials are missing: {_HOW}")
        scheme, _, credentials = written.strip().partition(" ")
        if scheme.lower() == "bearer":
            return self._by_token(credentials.strip())
        if scheme.lower() == "basic":
            return await self._by_password(credentials.strip(), self._config)
        raise NotAuthenticated(f"credentials of this type are not known here: {_HOW}")

    def _by_token(self, token: str) -> Identity:
        given = _digest(token)
        found = ""
        for file in self._tokens:
            # Every one is compared, and all of it, so that the time taken says nothing about a token.
            if hmac.compare_digest(file.digest(), given):
                found = file.path.name
        if not found:
            raise NotAuthenticated(f"this token is not known: {_HOW}")
        return Identity(name=f"token:{found}", roles=_INCLUDES[Role.RECEIVER])

    async def _by_password(self, credentials: str, config: WebConfig) -> Identity:
        name, password = _decoded(credentials)
        if not await self._passwords.is_right(name, password):
            raise NotAuthenticated(f"the user or the password is wrong: {_HOW}")
        given = [_INCLUDES[role] for role, users in config.roles.items() if name in users]
        return Identity(name=name, roles=frozenset[Role]().union(*given))


def _needs_no_credentials(config: WebConfig) -> bool:
    """Everyone has shown a certificate already, and nothing else was asked for."""
    by_certificate = config.tls is not None and config.tls.client_auth_type is ClientAuth.REQUIRED
    return by_certificate and not config.users and not config.receiver_tokens_files


@dataclass(slots=True, kw_only=True)
class _TokenFile:
    """A file with one token, read again whenever it has changed: tokens are rotated without a restart."""

    path: Path
    _stamp: tuple[int, int, int] | None = None
    _digest: bytes = b""

    def digest(self) -> bytes:
        """The token's; one that equals no other's when there is no token."""
        try:
            stat = self.path.stat()
            stamp = stat.st_mtime_ns, stat.st_size, stat.st_ino
            if stamp != self._stamp:
                token = self.path.read_text().strip()
                self._digest = _digest(token) if token else secrets.token_bytes()
                self._stamp = stamp
        except (OSError, UnicodeDecodeError):
            self._stamp = None
            self._digest = secrets.token_bytes()
        return self._digest


def _digest(token: str) -> bytes:
    # Of one length, so that not even the length of a token can be timed.
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()


def _decoded(credentials: str) -> tuple[str, bytes]:
    """User and password."""
    try:
        name, colon, password = base64.b64decode(credentials, validate=True).partition(b":")
        if colon:
            return name.decode(), password
    except (binascii.Error, ValueError):
        pass
    raise NotAuthenticated(f"these are not basic credentials: {_HOW}")


@dataclass(slots=True, kw_only=True)
class _Passwords:
    """Checks passwords, and remembers those that were right: a check takes 50 ms, and a receiver has none to spare."""

    users: Mapping[str, str]
    #: Never leaves the process, so that what is remembered is of no use outside it.
    _key: bytes = field(default_factory=secrets.token_bytes)
    _right: dict[bytes, None] = field(default_factory=dict)
    # One thread: however many strangers guess, one core is all they get.
    _thread: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, thread_name_prefix="password"))
    _waiting: int = 0

    async def is_right(self, name: str, password: bytes) -> bool:
        """The user is known and has this password."""
        if not self.users:
            return False
        # For a name that is not known, another's hash is checked: it takes as long, and tells nothing.
        hashed = self.users.get(name) or next(iter(self.users.values()))
        mark = hmac.digest(self._key, b"\0".join([name.encode(), hashed.encode(), password]), "sha256")
        if mark in self._right:
            return True
        if not await self._check(password, hashed) or name not in self.users:
            return False
        while len(self._right) >= _REMEMBERED_LIMIT:
            del self._right[next(iter(self._right))]
        self._right[mark] = None
        return True

    async def _check(self, password: bytes, hashed: str) -> bool:
        if self._waiting >= _WAITING_LIMIT:
            raise Unavailable("the check of passwords", "too many are waiting for it; try again")
        self._waiting += 1
        try:
            return await get_running_loop().run_in_executor(self._thread, _matches, password, hashed)
        finally:
            self._waiting -= 1


def _matches(password: bytes, hashed: str) -> bool:
    import bcrypt

    try:
        return bcrypt.checkpw(password[:_PASSWORD_LIMIT_BYTES], hashed.encode())
    except ValueError:
        return False


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
        "ssl_context_factory": lambda _config, _default: _context(tls),
    }


def _context(tls: TlsConfig) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = _VERSIONS[tls.min_version]
    context.load_cert_chain(tls.cert_file, tls.key_file)
    if tls.client_ca_file is not None:
        context.load_verify_locations(tls.client_ca_file)
    context.verify_mode = _CERTIFICATES[tls.client_auth_type]
    return context
