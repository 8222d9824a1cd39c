"""An OpenID Connect provider on loopback that behaves like a real one: it checks what it is asked."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlencode, urlsplit

from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey

CLIENT, SECRET = "alertmend", "s3cret: with signs%"


@dataclass
class IdentityProvider:
    """Signs `person` in without asking; each code is good once, for whoever can show what its challenge was made of."""

    url: str = ""
    redirect_url: str = "http://alertmend/login/oidc/callback"
    person: dict[str, Any] = field(
        default_factory=lambda: {"sub": "8f3c", "preferred_username": "ada", "groups": ["sre", "everyone"]}
    )
    #: Claims of `person` that only the userinfo endpoint tells.
    only_in_userinfo: frozenset[str] = frozenset()
    #: What is put over the claims of a token, and over what discovery says.
    forged: dict[str, Any] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)
    #: What the authorization endpoint answers instead of a code.
    refusal: dict[str, str] = field(default_factory=dict)
    is_public: bool = False
    algorithm: str = "RS256"
    keys: list[Any] = field(default_factory=lambda: [RSAKey.generate_key(2048, auto_kid=True)])
    #: What a token is signed with; None: the newest of the keys.
    signs_with: Any = None
    asked: list[str] = field(default_factory=list)
    _codes: dict[str, Mapping[str, str]] = field(default_factory=dict)
    _access: set[str] = field(default_factory=set)

    def rotate(self) -> None:
        """A new key; the old ones are not published any more."""
        self.keys = [RSAKey.generate_key(2048, auto_kid=True)]

    def discovery(self) -> dict[str, Any]:
        return {
            "issuer": self.url,
            "authorization_endpoint": f"{self.url}/authorize",
            "token_endpoint": f"{self.url}/token",
            "userinfo_endpoint": f"{self.url}/userinfo",
            "jwks_uri": f"{self.url}/keys",
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": [self.algorithm],
            "code_challenge_methods_supported": ["S256"],
            "authorization_response_iss_parameter_supported": True,
            **self.metadata,
        }

    def authorize(self, asked: Mapping[str, str]) -> str:
        """Where the browser is sent back to."""
        assert asked["client_id"] == CLIENT and asked["response_type"] == "code"
        assert asked["redirect_uri"] == self.redirect_url, "this address was not registered"
        assert "openid" in asked["scope"].split()
        assert asked["code_challenge_method"] == "S256"
        code = secrets.token_urlsafe(8)
        self._codes[code] = dict(asked)
        answer = self.refusal or {"code": code}
        return f"{self.redirect_url}?{urlencode({**answer, 'state': asked['state'], 'iss': self.url})}"

    def token(self, form: Mapping[str, str], authorization: str) -> tuple[int, dict[str, Any]]:
        if not self._knows_client(form, authorization):
            return 401, {"error": "invalid_client"}
        asked = self._codes.pop(form["code"], None)
        digest = hashlib.sha256(form["code_verifier"].encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        if asked is None or challenge != asked["code_challenge"] or form["redirect_uri"] != asked["redirect_uri"]:
            return 400, {"error": "invalid_grant", "error_description": "the code is used or not yours"}
        access = secrets.token_urlsafe(8)
        self._access.add(access)
        return 200, {"token_type": "Bearer", "access_token": access, "id_token": self._signed(asked["nonce"])}

    def _knows_client(self, form: Mapping[str, str], authorization: str) -> bool:
        if self.is_public:
            return form.get("client_id") == CLIENT and not authorization
        if "client_secret_post" in self.metadata.get("token_endpoint_auth_methods_supported", []):
            return (form.get("client_id"), form.get("client_secret")) == (CLIENT, SECRET)
        both = base64.b64decode(authorization.removeprefix("Basic ")).decode().split(":")
        return [unquote(part) for part in both] == [CLIENT, SECRET]

    def _signed(self, nonce: str) -> str:
        now = int(time.time())
        told = {name: value for name, value in self.person.items() if name not in self.only_in_userinfo}
        claims = {"iss": self.url, "aud": CLIENT, "iat": now, "exp": now + 300, "nonce": nonce, **told, **self.forged}
        key = self.signs_with or self.keys[-1]
        header = {"alg": self.algorithm, "kid": key.kid}
        claims = {name: value for name, value in claims.items() if value is not None}
        if self.algorithm == "none":
            parts = (base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in (header, claims))
            return b".".join([*parts, b""]).decode()
        return jwt.encode(header, claims, key, algorithms=[self.algorithm])

    def answer(
        self, method: str, path: str, query: Mapping[str, str], form: Mapping[str, str], authorization: str
    ) -> Any:
        """A status and a document, or where to go."""
        self.asked.append(f"{method} {path}")
        if path == "/.well-known/openid-configuration":
            return 200, self.discovery()
        if path == "/keys":
            return 200, {"keys": [{**key.as_dict(private=False), "use": "sig"} for key in self.keys]}
        if path == "/authorize":
            return self.authorize(query)
        if path == "/token":
            return self.token(form, authorization)
        if path == "/userinfo" and authorization.removeprefix("Bearer ") in self._access:
            return 200, self.person
        return 401, {}


def elliptic_key() -> Any:
    return ECKey.generate_key("P-256", auto_kid=True)


@contextmanager
def serving(provider: IdentityProvider) -> Iterator[IdentityProvider]:
    """The provider, on a free port."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._give({})

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"])).decode()
            self._give(_first(body))

        def _give(self, form: Mapping[str, str]) -> None:
            split = urlsplit(self.path)
            authorization = self.headers.get("authorization", "")
            found = provider.answer(self.command, split.path, _first(split.query), form, authorization)
            if isinstance(found, str):
                self.send_response(302)
                self.send_header("Location", found)
                body = b""
            else:
                self.send_response(found[0])
                self.send_header("Content-Type", "application/json")
                body = json.dumps(found[1]).encode()
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    provider.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield provider
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


def _first(query: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(query).items()}
