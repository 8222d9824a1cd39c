"""Who is signed in stays so for a while, and nobody else does: the cookie, and the word of a proxy."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.cookies import SimpleCookie
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import HTTPConnection
from starlette.responses import Response

from tests.web.test_auth import ROLES, USERS, basic, hashed
from webhook.core.access import Person, Provider, Proxy
from webhook.edge.webconfig import WebConfig
from webhook.edge.webconfig.ways import read_proxy
from webhook.errors import AccessDenied, NotAuthenticated
from webhook.web.auth import Authenticator, Role
from webhook.web.forwarded import Forwarded
from webhook.web.session import own_key

KEY = b"k" * 64
CONFIG = WebConfig(users=USERS, roles=ROLES)
PROVIDER = Provider(
    issuer="https://id.example",
    client_id="alertmend",
    redirect_url="https://a.example/login/oidc/callback",
    roles={Role.VIEWER: frozenset({"staff"}), Role.OPERATOR: frozenset({"sre"})},
)


class Clock:
    def __init__(self) -> None:
        self.now = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def authenticator(clock: Clock) -> Authenticator:
    return Authenticator(CONFIG, key=KEY, now=clock)


def asking(
    headers: Mapping[str, str] | None = None,
    *,
    method: str = "GET",
    path: str = "/",
    scheme: str = "http",
    address: str = "192.0.2.9",
    more: tuple[tuple[bytes, bytes], ...] = (),
) -> HTTPConnection:
    written = [(name.lower().encode(), value.encode("latin-1", "replace")) for name, value in (headers or {}).items()]
    scope = {"type": "http", "method": method, "path": path, "scheme": scheme, "client": (address, 40000)}
    return HTTPConnection({**scope, "headers": [*written, *more]})


def cookie_of(answer: Response) -> str:
    jar: SimpleCookie = SimpleCookie(answer.headers["set-cookie"])
    return "; ".join(f"{name}={morsel.value}" for name, morsel in jar.items())


def signed_in(authenticator: Authenticator, name: str = "alice", *, scheme: str = "http") -> str:
    answer = Response()
    request = asking(scheme=scheme)
    asyncio.run(authenticator.sign_in(answer, request, name=name, password=f"{name}'s: word"))
    return cookie_of(answer)


def allow(authenticator: Authenticator, request: HTTPConnection, role: Role = Role.VIEWER) -> str:
    return asyncio.run(authenticator.allow(request, role)).name


def test_whoever_signed_in_is_known_by_the_cookie_and_may_what_they_may(authenticator: Authenticator) -> None:
    cookie = signed_in(authenticator)
    assert allow(authenticator, asking({"cookie": cookie}), Role.OPERATOR) == "alice"
    assert authenticator.has_session(asking({"cookie": cookie}))
    assert not authenticator.has_session(asking())
    wall = signed_in(authenticator, "wall")
    assert allow(authenticator, asking({"cookie": wall})) == "wall"
    with pytest.raises(AccessDenied, match="takes the role operator"):
        allow(authenticator, asking({"cookie": wall}), Role.OPERATOR)
    with pytest.raises(AccessDenied, match="takes the role viewer"):
        allow(authenticator, asking({"cookie": signed_in(authenticator, "nobody")}))


@pytest.mark.parametrize(("name", "password"), [("alice", "wrong"), ("alice", ""), ("", ""), ("stranger", "x")])
def test_nobody_signs_in_with_a_wrong_password(authenticator: Authenticator, name: str, password: str) -> None:
    answer = Response()
    with pytest.raises(NotAuthenticated, match="the user or the password is wrong"):
        asyncio.run(authenticator.sign_in(answer, asking(), name=name, password=password))
    assert "set-cookie" not in answer.headers


def test_without_users_there_is_nothing_to_sign_in_with() -> None:
    for config in (None, WebConfig()):
        authenticator = Authenticator(config)
        assert not authenticator.has_login
        with pytest.raises(NotAuthenticated):
            asyncio.run(authenticator.sign_in(Response(), asking(), name="a", password="b"))
    assert Authenticator(CONFIG).has_login
    assert Authenticator(WebConfig(oidc=PROVIDER)).has_login


def test_the_cookie_is_out_of_reach_of_scripts_and_of_other_sites(authenticator: Authenticator) -> None:
    answer = Response()
    asyncio.run(authenticator.sign_in(answer, asking(), name="alice", password="alice's: word"))
    written = answer.headers["set-cookie"]
    assert written.startswith("alertmend_session=")
    assert {"HttpOnly", "SameSite=lax", "Path=/", "Max-Age=28800"} <= set(written.split("; "))
    assert "Secure" not in written


def test_over_tls_the_cookie_stays_with_this_host_and_with_tls(authenticator: Authenticator) -> None:
    answer = Response()
    asyncio.run(authenticator.sign_in(answer, asking(scheme="https"), name="alice", password="alice's: word"))
    written = answer.headers["set-cookie"]
    assert written.startswith("__Host-alertmend_session=")
    assert "Secure" in written and "Domain" not in written
    # One that came without TLS, where anyone could have set it, is not taken over TLS.
    plain = signed_in(authenticator)
    with pytest.raises(NotAuthenticated):
        allow(authenticator, asking({"cookie": plain}, scheme="https"))


def test_a_session_ends_with_its_time(authenticator: Authenticator, clock: Clock) -> None:
    cookie = signed_in(authenticator)
    clock.now += timedelta(hours=8) - timedelta(seconds=1)
    assert allow(authenticator, asking({"cookie": cookie})) == "alice"
    clock.now += timedelta(seconds=1)
    with pytest.raises(NotAuthenticated):
        allow(authenticator, asking({"cookie": cookie}))


def test_a_session_that_was_left_is_over_for_whoever_has_its_cookie(authenticator: Authenticator) -> None:
    cookie, other = signed_in(authenticator), signed_in(authenticator)
    answer = Response()
    authenticator.sign_out(answer, asking({"cookie": cookie}))
    assert "Max-Age=0" in answer.headers["set-cookie"]
    with pytest.raises(NotAuthenticated):
        allow(authenticator, asking({"cookie": cookie}))
    assert allow(authenticator, asking({"cookie": other})) == "alice"


def test_a_session_outlives_the_process_and_not_the_password(authenticator: Authenticator, clock: Clock) -> None:
    cookie = signed_in(authenticator)
    assert allow(Authenticator(CONFIG, key=KEY, now=clock), asking({"cookie": cookie})) == "alice"
    changed = WebConfig(users={**USERS, "alice": hashed("another")}, roles=ROLES)
    removed = WebConfig(users={"wall": USERS["wall"]}, roles=ROLES)
    for config, key in ((changed, KEY), (removed, KEY), (CONFIG, b"x" * 64), (CONFIG, None)):
        with pytest.raises(NotAuthenticated):
            allow(Authenticator(config, key=key, now=clock), asking({"cookie": cookie}))


def test_roles_are_those_of_the_configuration_of_the_moment(authenticator: Authenticator, clock: Clock) -> None:
    cookie = signed_in(authenticator)
    fewer = Authenticator(WebConfig(users=USERS, roles={Role.VIEWER: frozenset({"alice"})}), key=KEY, now=clock)
    assert allow(fewer, asking({"cookie": cookie})) == "alice"
    with pytest.raises(AccessDenied):
        allow(fewer, asking({"cookie": cookie}), Role.OPERATOR)


@given(place=st.integers(min_value=0), sign=st.sampled_from("AZaz09-_."))
def test_a_cookie_with_one_sign_changed_is_none_of_ours(place: int, sign: str) -> None:
    name, _, value = COOKIE.partition("=")
    at = place % len(value)
    changed = value[:at] + sign + value[at + 1 :]
    if _same(changed, value):
        return
    with pytest.raises(NotAuthenticated):
        allow(FIXED, asking({"cookie": f"{name}={changed}"}))


def _same(one: str, other: str) -> bool:
    # The last sign of base64 has bits that mean nothing.
    return one == other or one[:-1] == other[:-1]


FIXED = Authenticator(CONFIG, key=KEY)
COOKIE = signed_in(FIXED)


@pytest.mark.parametrize("value", ["", ".", "x", "e30.x", '"', "a" * 5000, "null", "\xff"])
def test_anything_else_is_no_session(authenticator: Authenticator, value: str) -> None:
    with pytest.raises(NotAuthenticated):
        allow(authenticator, asking({"cookie": f"alertmend_session={value}"}))


@pytest.mark.parametrize("path", ["/api/v1/pauses", "/api/v1/alertmanager", "/api/v1/explain", "/-/reload"])
def test_a_cookie_alone_changes_nothing_through_the_api(authenticator: Authenticator, path: str) -> None:
    cookie = signed_in(authenticator)
    for method in ("POST", "DELETE", "PUT"):
        with pytest.raises(AccessDenied, match="changes nothing through the API"):
            allow(authenticator, asking({"cookie": cookie}, method=method, path=path))
    assert allow(authenticator, asking({"cookie": cookie}, path=path)) == "alice"
    # Who sends credentials of their own is no browser that was made to.
    header = {"cookie": cookie, "authorization": basic("alice", "alice's: word")}
    assert allow(authenticator, asking(header, method="POST", path=path), Role.OPERATOR) == "alice"


def test_whom_a_provider_named_may_what_their_groups_may(clock: Clock) -> None:
    authenticator = Authenticator(WebConfig(users=USERS, roles=ROLES, oidc=PROVIDER), key=KEY, now=clock)
    answer = Response()
    authenticator.welcome(answer, asking(), Person(name="alice", groups=("sre", *(f"g{i}" for i in range(900)))))
    cookie = cookie_of(answer)
    assert len(cookie) < 1000
    # The user of that name is someone else.
    assert allow(authenticator, asking({"cookie": cookie}), Role.OPERATOR) == "oidc:alice"
    answer = Response()
    authenticator.welcome(answer, asking(), Person(name="eve", groups=()))
    with pytest.raises(AccessDenied, match="'oidc:eve' may not look at this"):
        allow(authenticator, asking({"cookie": cookie_of(answer)}))
    for config in (CONFIG, WebConfig(users=USERS, roles=ROLES, oidc=replaced(client_id="other"))):
        with pytest.raises(NotAuthenticated):
            allow(Authenticator(config, key=KEY, now=clock), asking({"cookie": cookie}))


def replaced(**changes: str) -> Provider:
    return replace(PROVIDER, **changes)  # type: ignore[arg-type]


def proxy(**settings: object) -> Proxy:
    given = {"user_header": "X-Forwarded-User", "groups_header": "X-Forwarded-Groups", **settings}
    return Proxy(
        addresses=(ipaddress.ip_network("192.0.2.9"),),
        roles={Role.VIEWER: frozenset({"staff"}), Role.OPERATOR: frozenset({"sre", "ada"})},
        **given,  # type: ignore[arg-type]
    )


def behind(settings: Proxy) -> Authenticator:
    return Authenticator(WebConfig(users=USERS, roles=ROLES, proxy=settings))


def test_whom_a_trusted_proxy_names_may_what_their_groups_may() -> None:
    named = {"x-forwarded-user": "ada", "x-forwarded-groups": "everyone, staff"}
    assert allow(behind(proxy()), asking(named)) == "proxy:ada"
    with pytest.raises(AccessDenied, match="takes the role operator"):
        allow(behind(proxy()), asking(named), Role.OPERATOR)
    assert allow(behind(proxy()), asking({**named, "x-forwarded-groups": "sre"}), Role.OPERATOR) == "proxy:ada"
    with pytest.raises(AccessDenied, match="takes the role viewer"):
        allow(behind(proxy()), asking({"x-forwarded-user": "ada"}))


def test_without_groups_the_roles_are_the_users() -> None:
    found = behind(proxy(groups_header=None))
    assert allow(found, asking({"x-forwarded-user": "ada", "x-forwarded-groups": "staff"}), Role.OPERATOR)
    with pytest.raises(AccessDenied):
        allow(found, asking({"x-forwarded-user": "bob", "x-forwarded-groups": "sre"}))


@pytest.mark.parametrize("address", ["192.0.2.8", "127.0.0.1", "::1", "", "unix"])
def test_nobody_else_says_who_they_are(address: str) -> None:
    named = {"x-forwarded-user": "ada", "x-forwarded-groups": "sre", "x-forwarded-for": "192.0.2.9"}
    with pytest.raises(NotAuthenticated):
        allow(behind(proxy()), asking(named, address=address))


def test_a_name_that_came_through_the_proxy_from_outside_is_refused() -> None:
    named = {"x-forwarded-user": "ada", "x-forwarded-groups": "staff"}
    for name in (b"x-forwarded-user", b"x-forwarded-groups"):
        with pytest.raises(NotAuthenticated, match="it must replace it"):
            allow(behind(proxy()), asking(named, more=((name, b"sre"),)))


def test_whom_the_proxy_does_not_name_comes_in_as_ever() -> None:
    for named in ({}, {"x-forwarded-user": " "}):
        with pytest.raises(NotAuthenticated):
            allow(behind(proxy()), asking(named))
        header = {**named, "authorization": basic("alice", "alice's: word")}
        assert allow(behind(proxy()), asking(header), Role.OPERATOR) == "alice"


@pytest.mark.parametrize(
    ("said", "address", "expected"),
    [
        ("https", "192.0.2.9", "https"),
        ("HTTPS", "192.0.2.9", "https"),
        ("javascript", "192.0.2.9", "http"),
        ("", "192.0.2.9", "http"),
        ("https", "192.0.2.8", "http"),
    ],
)
def test_a_trusted_proxy_says_what_is_encrypted(said: str, address: str, expected: str) -> None:
    seen = []

    async def app(scope: object, receive: object, send: object) -> None:
        seen.append(scope["scheme"])  # type: ignore[index]

    request = asking({"x-forwarded-proto": said}, address=address)
    asyncio.run(Forwarded(app, proxy())(request.scope, None, None))  # type: ignore[arg-type]
    assert seen == [expected]


def test_a_section_that_is_not_there_trusts_nobody() -> None:
    assert read_proxy(None) is None


def test_the_key_is_made_once_and_nobody_else_reads_it(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    first = own_key(folder)
    assert len(first) == 64
    assert own_key(folder) == first
    assert (folder / "session.key").stat().st_mode & 0o777 == 0o600
