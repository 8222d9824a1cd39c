"""Who is asking, and may they: receiver tokens, users with passwords, and roles.

The file that names them is edge.webconfig's; what is not let in is answered by the application.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from starlette.requests import HTTPConnection
from starlette.responses import Response

from webhook.core.access import INCLUDES, Identity, Person, Provider, Role, granted
from webhook.edge.webconfig import ClientAuth, WebConfig
from webhook.errors import AccessDenied, NotAuthenticated
from webhook.stamp import Stamp, stamp_of
from webhook.web.forwarded import vouched_for
from webhook.web.password import Passwords
from webhook.web.session import Session, Sessions
from webhook.wiring import clock

__all__ = ["CHALLENGE", "Authenticator", "Identity", "Role"]

#: The answer's `WWW-Authenticate` when credentials are missing: with it, a browser asks for them.
CHALLENGE: Final = 'Basic realm="alertmend", charset="UTF-8"'

_DEEDS: Final = {
    Role.RECEIVER: "deliver notifications",
    Role.VIEWER: "look at this",
    Role.OPERATOR: "change anything",
}
_SAFE_METHODS: Final = frozenset({"GET", "HEAD"})
#: Where what is asked is JSON, and no form of ours.
_API: Final = ("/api/", "/-/")
_HOW: Final = (
    "an Alertmanager sends them when its receiver's http_config sets authorization.credentials_file, with a token from"
    " receiver_tokens_files, or basic_auth, with a user from basic_auth_users who is an operator"
)


class Authenticator:
    """Knows who is asking. One for each process."""

    def __init__(
        self,
        web_config: WebConfig | None,
        *,
        key: bytes | None = None,
        now: Callable[[], datetime] = clock.now,
        changed: Callable[[], WebConfig | None] = lambda: None,
    ) -> None:
        """Without a key, sessions are over when the process ends; `changed` says what holds from now on, if it has."""
        self._changed = changed
        lifetime = (web_config or WebConfig()).session.lifetime
        self.sessions = Sessions(key=key or secrets.token_bytes(), lifetime=lifetime, now=now)
        self._let_in(web_config)

    def _let_in(self, web_config: WebConfig | None) -> None:
        self._config = web_config
        self._tokens = [_TokenFile(path=path) for path in (web_config.receiver_tokens_files if web_config else ())]
        self._passwords = Passwords(users=web_config.users if web_config else {})

    def _follow(self) -> None:
        if (changed := self._changed()) is not None:
            self._let_in(changed)

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
        self._follow()
        if self._config is None:
            return Identity(name="anonymous", roles=INCLUDES[Role.OPERATOR])
        if _needs_no_credentials(self._config):
            return Identity(name="client certificate", roles=INCLUDES[Role.OPERATOR])
        if identity := vouched_for(request, self._config.proxy):
            return identity
        written = request.headers.get("authorization")
        if not written:
            return self._by_session(request, self._config)
        scheme, _, credentials = written.strip().partition(" ")
        if scheme.lower() == "bearer":
            return self._by_token(credentials.strip())
        if scheme.lower() == "basic":
            return await self._by_password(credentials.strip(), self._config)
        raise NotAuthenticated(f"credentials of this type are not known here: {_HOW}")

    @property
    def provider(self) -> Provider | None:
        """Who says who people are, if that is anyone."""
        return self._config.oidc if self._config else None

    @property
    def has_users(self) -> bool:
        """Whether there are passwords to sign in with."""
        return self._config is not None and bool(self._config.users)

    @property
    def has_login(self) -> bool:
        """Whether there is something to sign in with."""
        return self.has_users or self.provider is not None

    def has_session(self, request: HTTPConnection) -> bool:
        """Whether a browser is signed in, and could sign out."""
        return self.sessions.of(request) is not None

    async def sign_in(self, answer: Response, request: HTTPConnection, *, name: str, password: str) -> None:
        """Leave a session with a browser whose user has this password.

        Raises:
            NotAuthenticated: they have not.
            Unavailable: too many passwords are waiting for their check.
        """
        self._follow()
        users = self._config.users if self._config else {}
        if not await self._passwords.is_right(name, password.encode("utf-8", "surrogateescape")):
            raise NotAuthenticated("the user or the password is wrong")
        self.sessions.begin(answer, request, name=name, names=(name,), proof=_proof(users[name]))

    def welcome(self, answer: Response, request: HTTPConnection, person: Person) -> None:
        """Leave a session with a browser whose user the OpenID Connect provider has named."""
        assert self._config is not None and self._config.oidc is not None
        provider = self._config.oidc
        # A cookie holds little: of hundreds of groups only those that mean something here are kept.
        known = frozenset[str]().union(*provider.roles.values())
        names = tuple(sorted(known.intersection(person.groups)))
        proof = _proof(provider.issuer, provider.client_id)
        self.sessions.begin(answer, request, name=f"oidc:{person.name}", names=names, proof=proof)

    def sign_out(self, answer: Response, request: HTTPConnection) -> None:
        """Take the session from a browser; it is over wherever its cookie was copied to, too."""
        self.sessions.end(answer, request)

    def _by_session(self, request: HTTPConnection, config: WebConfig) -> Identity:
        session = self.sessions.of(request)
        roles = _roles_of(session, config) if session is not None else None
        if session is None or roles is None:
            raise NotAuthenticated(f"credentials are missing: {_HOW}")
        method, path = request.scope.get("method", "GET"), request.scope.get("path", "")
        # A browser brings its cookie along whoever asks it to. Our forms have a token besides; the API has none.
        if method not in _SAFE_METHODS and path.startswith(_API):
            raise AccessDenied("who is signed in on the pages changes nothing through the API: use the pages")
        return Identity(name=session.name, roles=roles)

    def _by_token(self, token: str) -> Identity:
        given = _digest(token)
        found = ""
        for file in self._tokens:
            # Every one is compared, and all of it, so that the time taken says nothing about a token.
            if hmac.compare_digest(file.digest(), given):
                found = file.path.name
        if not found:
            raise NotAuthenticated(f"this token is not known: {_HOW}")
        return Identity(name=f"token:{found}", roles=INCLUDES[Role.RECEIVER])

    async def _by_password(self, credentials: str, config: WebConfig) -> Identity:
        name, password = _decoded(credentials)
        if not await self._passwords.is_right(name, password):
            raise NotAuthenticated(f"the user or the password is wrong: {_HOW}")
        return Identity(name=name, roles=granted(config.roles, [name]))


def _roles_of(session: Session, config: WebConfig) -> frozenset[Role] | None:
    """By the configuration of the moment; None when what they signed in with does not count any more."""
    if config.oidc is not None and session.proof == _proof(config.oidc.issuer, config.oidc.client_id):
        return granted(config.oidc.roles, session.names)
    hashed = config.users.get(session.name)
    return granted(config.roles, session.names) if hashed and session.proof == _proof(hashed) else None


def _proof(*words: str) -> str:
    return hashlib.sha256("\0".join(words).encode()).hexdigest()[:32]


def _needs_no_credentials(config: WebConfig) -> bool:
    """Everyone has shown a certificate already, and nothing else was asked for."""
    by_certificate = config.tls is not None and config.tls.client_auth_type is ClientAuth.REQUIRED
    asked_for = (config.users, config.receiver_tokens_files, config.oidc, config.proxy and config.proxy.user_header)
    return by_certificate and not any(asked_for)


@dataclass(slots=True, kw_only=True)
class _TokenFile:
    """A file with one token, read again whenever it has changed: tokens are rotated without a restart."""

    path: Path
    _stamp: Stamp | None = None
    _digest: bytes = b""

    def digest(self) -> bytes:
        """The token's; one that equals no other's when there is no token."""
        try:
            stamp = stamp_of(self.path)
            if stamp is None or stamp != self._stamp:
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
