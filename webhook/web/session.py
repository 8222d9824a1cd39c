"""Who is signed in: a cookie that this server has signed, and can tell from any other."""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from itsdangerous import BadData, URLSafeSerializer
from starlette.requests import HTTPConnection
from starlette.responses import Response

#: A cookie of that prefix can be set by this very host alone, over TLS.
_PREFIX: Final = "__Host-"
SESSION_COOKIE: Final = "alertmend_session"
#: Beyond, a browser keeps no cookie.
_LIMIT_BYTES: Final = 3800


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """Somebody who is signed in with a browser."""

    id: str
    name: str
    #: What their roles follow from, by the configuration of the moment.
    names: tuple[str, ...]
    #: What they signed in with; once that has changed, the session is over.
    proof: str
    until: datetime


@dataclass(slots=True, kw_only=True)
class Sessions:
    """Begins sessions, knows them again, and ends them."""

    key: bytes
    lifetime: timedelta
    now: Callable[[], datetime]
    #: Those that were ended before their time, until it has come.
    _ended: dict[str, datetime] = field(default_factory=dict)

    def begin(
        self, answer: Response, request: HTTPConnection, *, name: str, names: tuple[str, ...], proof: str
    ) -> None:
        """Leave a new session with the browser."""
        until = self.now() + self.lifetime
        value = {"id": secrets.token_urlsafe(16), "name": name, "names": names, "proof": proof}
        signed = sign({**value, "until": until.timestamp()}, key=self.key, purpose="session")
        give_cookie(answer, request, SESSION_COOKIE, signed, lasts=self.lifetime)

    def of(self, request: HTTPConnection) -> Session | None:
        """The session that a browser shows, if it is one of ours and not over."""
        found = read_signed(cookie(request, SESSION_COOKIE), key=self.key, purpose="session")
        if found is None:
            return None
        session = _session(found)
        return session if session.until > self.now() and session.id not in self._ended else None

    def end(self, answer: Response, request: HTTPConnection) -> None:
        """Take the session from the browser; whoever has copied its cookie can do nothing with it."""
        if session := self.of(request):
            self._ended[session.id] = session.until
        self._ended = {id: until for id, until in self._ended.items() if until > self.now()}
        take_cookie(answer, request, SESSION_COOKIE)


def _session(found: Mapping[str, Any]) -> Session:
    return Session(
        id=found["id"],
        name=found["name"],
        names=tuple(found["names"]),
        proof=found["proof"],
        until=datetime.fromtimestamp(found["until"], tz=UTC),
    )


def sign(value: Mapping[str, Any], *, key: bytes, purpose: str) -> str:
    """A text from which `read_signed` reads the value again, for the same purpose."""
    return _serializer(key, purpose).dumps(value)


def read_signed(text: str, *, key: bytes, purpose: str) -> Mapping[str, Any] | None:
    """What was signed; None for anything else."""
    if not text or len(text) > _LIMIT_BYTES:
        return None
    try:
        found: Mapping[str, Any] = _serializer(key, purpose).loads(text)
    except BadData:
        return None
    return found


def _serializer(key: bytes, purpose: str) -> URLSafeSerializer:
    return URLSafeSerializer(
        key, salt=f"alertmend {purpose}", signer_kwargs={"key_derivation": "hmac", "digest_method": hashlib.sha256}
    )


def cookie(request: HTTPConnection, name: str) -> str:
    """A cookie's value; empty when there is none."""
    return request.cookies.get(_full(request, name), "")


def give_cookie(
    answer: Response, request: HTTPConnection, name: str, value: str, *, lasts: timedelta | None = None
) -> None:
    """A cookie that no script reads and no other site's form brings along; unless it lasts, gone with the browser."""
    answer.set_cookie(
        _full(request, name),
        value,
        max_age=int(lasts.total_seconds()) if lasts else None,
        httponly=True,
        secure=_is_encrypted(request),
        # Not strict: whoever follows a link from a chat to a run would have to sign in anew.
        samesite="lax",
        path="/",
    )


def take_cookie(answer: Response, request: HTTPConnection, name: str) -> None:
    """The cookie is gone from the browser."""
    answer.delete_cookie(_full(request, name), httponly=True, secure=_is_encrypted(request), samesite="lax", path="/")


def _full(request: HTTPConnection, name: str) -> str:
    return _PREFIX + name if _is_encrypted(request) else name


def _is_encrypted(request: HTTPConnection) -> bool:
    return bool(request.scope.get("scheme") == "https")


def own_key(storage: Path) -> bytes:
    """The key in the storage path, made when there is none: who is signed in stays so over a restart."""
    file = storage / "session.key"
    storage.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        with open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as new:
            new.write(secrets.token_bytes(64))
    except FileExistsError:
        pass
    return file.read_bytes()
