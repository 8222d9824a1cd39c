"""Who someone is, by an OpenID Connect provider that is really asked; and all that is no answer."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest
from joserfc.jwk import OctKey, RSAKey

from tests.edge.provider import CLIENT, SECRET, IdentityProvider, elliptic_key, serving
from webhook.core.access import Person, Provider
from webhook.edge.oidc import Errand, OidcClient
from webhook.errors import NotAuthenticated, Unavailable


@pytest.fixture
def idp() -> Iterator[IdentityProvider]:
    with serving(IdentityProvider()) as provider:
        yield provider


@pytest.fixture
def settings(idp: IdentityProvider, tmp_path: Path) -> Provider:
    (tmp_path / "secret").write_text(SECRET + "\n")
    return Provider(
        issuer=idp.url,
        client_id=CLIENT,
        client_secret_file=str(tmp_path / "secret"),
        redirect_url=idp.redirect_url,
    )


@pytest.fixture
def client(settings: Provider) -> OidcClient:
    return OidcClient(provider=settings, now=lambda: datetime.now(UTC))


def sent_back(client: OidcClient, errand: Errand) -> dict[str, str]:
    """What a browser brings back from the provider."""
    found = httpx.get(client.address(errand), follow_redirects=False)
    assert found.status_code == 302
    return dict(parse_qsl(urlsplit(found.headers["location"]).query))


def signed_in(
    client: OidcClient, change: Callable[[dict[str, str]], Mapping[str, str]] = lambda answer: answer
) -> Person:
    errand = Errand.new()
    return client.person(change(sent_back(client, errand)), errand)


def test_somebody_who_comes_back_is_who_the_provider_says(client: OidcClient) -> None:
    assert signed_in(client) == Person(name="ada", groups=("sre", "everyone"))


def test_what_the_provider_says_of_itself_and_its_keys_are_asked_once_an_hour(
    client: OidcClient, idp: IdentityProvider
) -> None:
    signed_in(client)
    signed_in(client)
    assert [asked for asked in idp.asked if "well-known" in asked or "keys" in asked] == [
        "GET /.well-known/openid-configuration",
        "GET /keys",
    ]
    client.now = lambda: datetime.now(UTC) + timedelta(minutes=61)
    client.address(Errand.new())
    assert idp.asked[-1] == "GET /.well-known/openid-configuration"


def test_keys_that_were_changed_since_are_asked_again(client: OidcClient, idp: IdentityProvider) -> None:
    signed_in(client)
    idp.rotate()
    assert signed_in(client).name == "ada"
    assert idp.asked.count("GET /keys") == 2


def test_several_keys_are_told_apart(client: OidcClient, idp: IdentityProvider) -> None:
    idp.keys.append(RSAKey.generate_key(2048, auto_kid=True))
    assert signed_in(client).name == "ada"


def test_elliptic_keys_do_as_well(client: OidcClient, idp: IdentityProvider) -> None:
    idp.algorithm, idp.keys = "ES256", [elliptic_key()]
    assert signed_in(client).name == "ada"


def test_what_the_token_does_not_say_is_asked_besides(client: OidcClient, idp: IdentityProvider) -> None:
    idp.only_in_userinfo = frozenset({"groups", "preferred_username"})
    assert signed_in(client) == Person(name="ada", groups=("sre", "everyone"))


def test_roles_may_lie_deeper_as_keycloak_has_them(
    client: OidcClient, settings: Provider, idp: IdentityProvider
) -> None:
    idp.person["realm_access"] = {"roles": ["admin"]}
    client.provider = replace(settings, roles_claim="realm_access.roles")
    assert signed_in(client).groups == ("admin",)


@pytest.mark.parametrize(("groups", "expected"), [("sre", ("sre",)), (None, ()), (7, ()), (["a", 1, None], ("a",))])
def test_groups_are_texts_whatever_the_claim_holds(
    client: OidcClient, idp: IdentityProvider, groups: object, expected: tuple[str, ...]
) -> None:
    idp.person["groups"] = groups
    assert signed_in(client).groups == expected


def test_a_secret_may_be_sent_in_the_form_and_a_public_client_has_none(
    client: OidcClient, settings: Provider, idp: IdentityProvider
) -> None:
    idp.metadata["token_endpoint_auth_methods_supported"] = ["client_secret_post"]
    assert signed_in(client).name == "ada"
    idp.is_public = True
    client.provider = replace(settings, client_secret_file=None)
    assert signed_in(client).name == "ada"


def test_a_code_is_good_once(client: OidcClient) -> None:
    errand = Errand.new()
    answer = sent_back(client, errand)
    client.person(answer, errand)
    with pytest.raises(NotAuthenticated, match=r"did not take the code.*used or not yours"):
        client.person(answer, errand)


def test_a_stolen_code_is_of_no_use_in_another_browser(client: OidcClient) -> None:
    victim, thief = Errand.new(), Errand.new()
    stolen = sent_back(client, victim)
    with pytest.raises(NotAuthenticated, match="begin again"):
        client.person(stolen, thief)
    # Even with the state: the code belongs to a verifier that never left the victim's side.
    with pytest.raises(NotAuthenticated, match="did not take the code"):
        client.person({**stolen, "state": thief.state}, thief)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda answer: {**answer, "state": "x"}, "begin again"),
        (lambda answer: {**answer, "state": "caf\xe9"}, "begin again"),
        (lambda answer: {"code": answer["code"]}, "begin again"),
        (lambda answer: {**answer, "iss": "https://evil.example"}, "another provider has answered"),
        (lambda answer: {"code": answer["code"], "state": answer["state"]}, "another provider has answered"),
        (lambda answer: {**answer, "code": ""}, "sent no code"),
        (lambda answer: {**answer, "code": "guessed"}, "did not take the code"),
    ],
)
def test_an_answer_to_something_else_counts_for_nothing(
    client: OidcClient, change: Callable[[dict[str, str]], dict[str, str]], words: str
) -> None:
    with pytest.raises(NotAuthenticated, match=words):
        signed_in(client, change)


def test_a_refusal_is_told_in_the_providers_words_in_one_line(client: OidcClient, idp: IdentityProvider) -> None:
    idp.refusal = {"error": "access_denied", "error_description": "not\nassigned\x1b[2J"}
    with pytest.raises(NotAuthenticated, match=r"refused: not assigned \[2J$"):
        signed_in(client)


@pytest.mark.parametrize(
    "forged",
    [
        {"iss": "https://evil.example"},
        {"aud": "another-client"},
        {"aud": ["another-client"]},
        {"aud": [CLIENT, "another-client"]},
        {"aud": None},
        {"azp": "another-client"},
        {"nonce": "replayed"},
        {"nonce": None},
        {"exp": int(time.time()) - 120},
        {"exp": None},
        # Far ahead: a long test run must not get there.
        {"iat": int(time.time()) + 86400},
        {"nbf": int(time.time()) + 86400},
        {"sub": None},
        {"exp": "never"},
    ],
)
def test_a_token_that_was_not_made_for_this_moment_is_refused(
    client: OidcClient, idp: IdentityProvider, forged: dict[str, Any]
) -> None:
    idp.forged = forged
    with pytest.raises(NotAuthenticated):
        signed_in(client)


def test_a_token_for_several_says_that_it_is_ours(client: OidcClient, idp: IdentityProvider) -> None:
    idp.forged = {"aud": [CLIENT, "another-client"], "azp": CLIENT}
    assert signed_in(client).name == "ada"


def test_clocks_may_differ_a_little(client: OidcClient, idp: IdentityProvider) -> None:
    idp.forged = {"exp": int(time.time()) - 30}
    assert signed_in(client).name == "ada"


def test_a_token_signed_with_another_key_of_the_same_name_is_refused(client: OidcClient, idp: IdentityProvider) -> None:
    other = RSAKey.generate_key(2048)
    idp.signs_with = RSAKey.import_key({**other.as_dict(private=True), "kid": idp.keys[0].kid})
    with pytest.raises(NotAuthenticated, match="does not hold"):
        signed_in(client)


@pytest.mark.parametrize("algorithm", ["HS256", "none"])
def test_only_key_pairs_sign_whatever_the_provider_offers(
    client: OidcClient, idp: IdentityProvider, algorithm: str
) -> None:
    signed_in(client)
    idp.signs_with = OctKey.import_key(SECRET.encode().ljust(32, b"x"), {"kid": idp.keys[0].kid})
    idp.algorithm = algorithm
    with pytest.raises(NotAuthenticated, match="does not hold"):
        signed_in(client)
    # A provider that offers nothing else is no better.
    client.now = lambda: datetime.now(UTC) + timedelta(minutes=61)
    with pytest.raises(NotAuthenticated, match="does not hold: it is signed"):
        signed_in(client)


def test_someone_else_in_the_userinfo_is_refused(client: OidcClient, idp: IdentityProvider) -> None:
    idp.only_in_userinfo = frozenset({"groups"})
    idp.forged = {"sub": "other"}
    with pytest.raises(NotAuthenticated, match="two persons"):
        signed_in(client)


@pytest.mark.parametrize("name", [None, "", " \x1b ", 7, ["ada"]])
def test_nobody_is_let_in_without_a_name(client: OidcClient, idp: IdentityProvider, name: object) -> None:
    idp.person["preferred_username"] = name
    with pytest.raises(NotAuthenticated, match=r"names nobody in the claim 'preferred_username'"):
        signed_in(client)


def test_an_address_that_was_not_verified_is_no_name(
    client: OidcClient, settings: Provider, idp: IdentityProvider
) -> None:
    client.provider = replace(settings, username_claim="email")
    idp.person |= {"email": "ada@example.com", "email_verified": False}
    with pytest.raises(NotAuthenticated, match="not verified"):
        signed_in(client)
    idp.person["email_verified"] = True
    assert signed_in(client).name == "ada@example.com"


@pytest.mark.parametrize(
    ("metadata", "words"),
    [
        ({"issuer": "https://evil.example"}, "it calls itself https://evil.example"),
        ({"token_endpoint": "file:///etc/passwd"}, "its token_endpoint is no URL"),
        ({"jwks_uri": None}, "its jwks_uri is no URL"),
        ({"authorization_endpoint": "javascript:alert(1)"}, "its authorization_endpoint is no URL"),
    ],
)
def test_a_provider_that_is_not_what_it_says_is_not_used(
    client: OidcClient, idp: IdentityProvider, metadata: dict[str, Any], words: str
) -> None:
    idp.metadata = metadata
    with pytest.raises(Unavailable, match=words):
        client.address(Errand.new())


def test_a_provider_that_is_away_is_asked_again_by_the_next_one(client: OidcClient, settings: Provider) -> None:
    client.provider = replace(settings, issuer="http://127.0.0.1:1")
    with pytest.raises(Unavailable, match="the identity provider is not available"):
        client.address(Errand.new())
    client.provider = settings
    assert signed_in(client).name == "ada"


def test_a_secret_that_is_wrong_says_what_the_provider_says(
    client: OidcClient, settings: Provider, tmp_path: Path
) -> None:
    (tmp_path / "wrong").write_text("hunter2")
    client.provider = replace(settings, client_secret_file=str(tmp_path / "wrong"))
    with pytest.raises(NotAuthenticated, match="invalid_client") as raised:
        signed_in(client)
    assert "hunter2" not in str(raised.value)
