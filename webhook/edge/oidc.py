"""Asks an OpenID Connect provider who someone is: the authorization code flow, with PKCE.

What they may do is not decided here.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlencode, urlsplit

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from webhook.core.access import Person, Provider
from webhook.errors import NotAuthenticated, Unavailable
from webhook.exchange import NoReply, Reply, Request, fetch
from webhook.text import one_line

_SECONDS: Final = 10.0
_LIMIT_BYTES: Final = 1024 * 1024
_WORDS_LIMIT: Final = 200
_NAME_LIMIT: Final = 200
#: What the provider says of itself is asked again after this time.
_KNOWN_FOR: Final = timedelta(hours=1)
#: By which its clock and ours may differ.
_LEEWAY_SECONDS: Final = 60
#: Only those of a key pair: with the others the client's secret would be a key to any name.
_ALGORITHMS: Final = frozenset(f"{family}{bits}" for family in ("RS", "PS", "ES") for bits in (256, 384, 512))
_ENDPOINTS: Final = ("authorization_endpoint", "token_endpoint", "jwks_uri")


@dataclass(frozen=True, slots=True, kw_only=True)
class Errand:
    """What is kept in mind while someone is with the provider."""

    state: str
    nonce: str
    verifier: str

    @classmethod
    def new(cls) -> Errand:
        """One that nobody can guess."""
        return cls(state=secrets.token_urlsafe(32), nonce=secrets.token_urlsafe(32), verifier=secrets.token_urlsafe(48))


@dataclass(slots=True, kw_only=True)
class OidcClient:
    """One provider. Any number of threads may share it.

    Raises, both of its methods:
        Unavailable: the provider does not answer, or not as one does.
    """

    provider: Provider
    now: Callable[[], datetime]
    _metadata: Mapping[str, Any] = field(default_factory=dict)
    _asked_at: datetime | None = None
    _keys: KeySet | None = None

    def address(self, errand: Errand) -> str:
        """Where a browser is sent, to come back with a code."""
        metadata = self._discover()
        challenge = base64.urlsafe_b64encode(hashlib.sha256(errand.verifier.encode()).digest()).rstrip(b"=").decode()
        asked = {
            "response_type": "code",
            "client_id": self.provider.client_id,
            "redirect_uri": self.provider.redirect_url,
            "scope": " ".join(self.provider.scopes),
            "state": errand.state,
            "nonce": errand.nonce,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        endpoint = str(metadata["authorization_endpoint"])
        return endpoint + ("&" if urlsplit(endpoint).query else "?") + urlencode(asked)

    def person(self, answer: Mapping[str, str], errand: Errand) -> Person:
        """Who came back, by what the provider had the browser bring.

        Raises:
            NotAuthenticated: the provider refused, or what it says is not for us, not for this errand, or forged.
        """
        metadata = self._discover()
        self._check_answer(answer, errand, metadata)
        tokens = self._exchange(answer["code"], errand, metadata)
        claims = self._claims(str(tokens.get("id_token", "")), errand, metadata)
        more = self._more(claims, str(tokens.get("access_token", "")), metadata)
        return self._person({**more, **claims})

    def _check_answer(self, answer: Mapping[str, str], errand: Errand, metadata: Mapping[str, Any]) -> None:
        if not secrets.compare_digest(answer.get("state", "").encode(), errand.state.encode()):
            raise NotAuthenticated("this is not the answer to what was asked: begin again")
        expects_issuer = metadata.get("authorization_response_iss_parameter_supported") is True
        if ("iss" in answer or expects_issuer) and answer.get("iss") != self.provider.issuer:
            raise NotAuthenticated("another provider has answered than the one that was asked")
        if "error" in answer:
            words = answer.get("error_description") or answer["error"]
            raise NotAuthenticated(f"the identity provider refused: {_words(words)}")
        if not answer.get("code"):
            raise NotAuthenticated("the identity provider sent no code")

    def _exchange(self, code: str, errand: Errand, metadata: Mapping[str, Any]) -> Mapping[str, Any]:
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self.provider.redirect_url,
            "code_verifier": errand.verifier,
        }
        headers = {"accept": "application/json"}
        methods = metadata.get("token_endpoint_auth_methods_supported")
        secret = self._secret()
        if secret is not None and (not isinstance(methods, list) or "client_secret_basic" in methods):
            both = f"{quote(self.provider.client_id, safe='')}:{quote(secret, safe='')}"
            headers["authorization"] = f"Basic {base64.b64encode(both.encode()).decode()}"
        else:
            form |= {"client_id": self.provider.client_id} | ({} if secret is None else {"client_secret": secret})
        reply = self._send(
            Request(
                method="POST", url=str(metadata["token_endpoint"]), headers=headers, form=form, tls=self.provider.tls
            )
        )
        if 400 <= reply.status < 500:
            raise NotAuthenticated(
                f"the identity provider did not take the code: {_words(reply.body.decode(errors='replace'))}"
            )
        return _object(reply, "token_endpoint")

    def _claims(self, token: str, errand: Errand, metadata: Mapping[str, Any]) -> dict[str, Any]:
        offered = metadata.get("id_token_signing_alg_values_supported", ["RS256"])
        algorithms = sorted(_ALGORITHMS.intersection(offered if isinstance(offered, list) else ()))
        try:
            if not algorithms:
                raise ValueError("it is signed as anyone could who knows the client's secret, or not at all")
            claims = self._decoded(token, algorithms, metadata)
            self._registry(errand).validate(claims)
        except (JoseError, ValueError) as error:
            raise NotAuthenticated(f"what the identity provider says of this person does not hold: {error}") from None
        party = claims.get("azp")
        if party != self.provider.client_id and (party is not None or _is_for_several(claims)):
            raise NotAuthenticated("what the identity provider says of this person was said to someone else")
        return claims

    def _decoded(self, token: str, algorithms: list[str], metadata: Mapping[str, Any]) -> dict[str, Any]:
        for keys in (self._keys or self._fetch_keys(metadata), None):
            try:
                return jwt.decode(token, keys or self._fetch_keys(metadata), algorithms=algorithms).claims
            except (JoseError, ValueError):
                # The provider may have changed its keys since they were asked for.
                if keys is None:
                    raise
        raise AssertionError

    def _registry(self, errand: Errand) -> jwt.JWTClaimsRegistry:
        return jwt.JWTClaimsRegistry(
            now=int(self.now().timestamp()),
            leeway=_LEEWAY_SECONDS,
            iss={"essential": True, "value": self.provider.issuer},
            aud={"essential": True, "value": self.provider.client_id},
            sub={"essential": True},
            exp={"essential": True},
            iat={"essential": True},
            nonce={"essential": True, "value": errand.nonce},
        )

    def _more(self, claims: Mapping[str, Any], access_token: str, metadata: Mapping[str, Any]) -> Mapping[str, Any]:
        """What is asked besides, where the token does not say it all."""
        wanted = (self.provider.username_claim, self.provider.roles_claim)
        endpoint = metadata.get("userinfo_endpoint")
        if endpoint is None or not access_token or all(_claim(claims, name) is not None for name in wanted):
            return {}
        headers = {"authorization": f"Bearer {access_token}", "accept": "application/json"}
        reply = self._send(Request(method="GET", url=str(endpoint), headers=headers, tls=self.provider.tls))
        more = _object(reply, "userinfo_endpoint")
        if more.get("sub") != claims["sub"]:
            raise NotAuthenticated("the identity provider speaks of two persons at once")
        return more

    def _person(self, claims: Mapping[str, Any]) -> Person:
        written = _claim(claims, self.provider.username_claim)
        name = one_line(written, limit=_NAME_LIMIT) if isinstance(written, str) else ""
        if not name:
            raise NotAuthenticated(f"the identity provider names nobody in the claim {self.provider.username_claim!r}")
        if self.provider.username_claim == "email" and claims.get("email_verified") is False:
            raise NotAuthenticated("the identity provider has not verified this address")
        groups = _claim(claims, self.provider.roles_claim)
        groups = [groups] if isinstance(groups, str) else groups
        return Person(
            name=name,
            groups=tuple(group for group in groups if isinstance(group, str)) if isinstance(groups, list) else (),
        )

    def _discover(self) -> Mapping[str, Any]:
        if self._asked_at is None or self.now() - self._asked_at > _KNOWN_FOR:
            url = f"{self.provider.issuer.rstrip('/')}/.well-known/openid-configuration"
            found = _object(self._send(Request(method="GET", url=url, tls=self.provider.tls)), "discovery")
            self._check_metadata(found)
            self._metadata, self._asked_at = found, self.now()
        return self._metadata

    def _check_metadata(self, found: Mapping[str, Any]) -> None:
        if found.get("issuer") != self.provider.issuer:
            raise _unavailable(f"it calls itself {_words(str(found.get('issuer')))}, not {self.provider.issuer}")
        scheme = urlsplit(self.provider.issuer).scheme
        for name in _ENDPOINTS:
            if urlsplit(str(found.get(name))).scheme not in (scheme, "https"):
                raise _unavailable(f"its {name} is no URL that can be used")

    def _fetch_keys(self, metadata: Mapping[str, Any]) -> KeySet:
        found = _object(
            self._send(Request(method="GET", url=str(metadata["jwks_uri"]), tls=self.provider.tls)), "jwks_uri"
        )
        try:
            self._keys = KeySet.import_key_set(found)  # type: ignore[arg-type]
        except (JoseError, ValueError, KeyError, TypeError):
            raise _unavailable("its keys cannot be read") from None
        return self._keys

    def _secret(self) -> str | None:
        file = self.provider.client_secret_file
        if file is None:
            return None
        try:
            return Path(file).read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            raise Unavailable(file, str(error)) from None

    def _send(self, request: Request) -> Reply:
        try:
            return fetch(request, seconds=_SECONDS, limit_bytes=_LIMIT_BYTES)
        except NoReply as error:
            raise _unavailable(str(error)) from None


def _object(reply: Reply, what: str) -> dict[str, Any]:
    try:
        found = json.loads(reply.body) if reply.status == 200 else None
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise _unavailable(f"its {what} answered {reply.status} and no JSON object")
    return found


def _claim(claims: Mapping[str, Any], name: str) -> Any:
    """A claim by its name, or by a path through those of that name: `realm_access.roles`."""
    if name in claims:
        return claims[name]
    found: Any = claims
    for part in name.split("."):
        found = found.get(part) if isinstance(found, dict) else None
    return found


def _is_for_several(claims: Mapping[str, Any]) -> bool:
    return isinstance(claims["aud"], list) and len(claims["aud"]) > 1


def _unavailable(words: str) -> Unavailable:
    return Unavailable("the identity provider", words)


def _words(text: str) -> str:
    return one_line(text, limit=_WORDS_LIMIT)
