"""Who is let in, who is not, and what it costs."""

from __future__ import annotations

import asyncio
import base64
import os
import statistics
import time
from pathlib import Path

import bcrypt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import HTTPConnection

from webhook.edge.webconfig import ClientAuth, TlsConfig, WebConfig
from webhook.errors import AccessDenied, NotAuthenticated, Unavailable
from webhook.web.auth import Authenticator, Identity, Role

SELF_SIGNED = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost"]


def hashed(password: str, *, cost: int = 4) -> str:
    return bcrypt.hashpw(password.encode()[:72], bcrypt.gensalt(cost)).decode()


USERS = {name: hashed(f"{name}'s: word") for name in ("alice", "wall", "nobody")}
ROLES = {Role.OPERATOR: frozenset({"alice"}), Role.VIEWER: frozenset({"wall"})}


def basic(name: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()


def asking(header: str | None) -> HTTPConnection:
    written = [] if header is None else [(b"authorization", header.encode("utf-8", "surrogateescape"))]
    return HTTPConnection({"type": "http", "headers": written})


def identify(authenticator: Authenticator, header: str | None) -> Identity:
    return asyncio.run(authenticator.identify(asking(header)))


def may(authenticator: Authenticator, header: str | None) -> set[Role]:
    """The roles that are let through."""
    return {role for role in Role if _is_let_through(authenticator, header, role)}


def _is_let_through(authenticator: Authenticator, header: str | None, role: Role) -> bool:
    try:
        asyncio.run(authenticator.allow(asking(header), role))
    except AccessDenied:
        return False
    return True


@pytest.fixture
def tokens(tmp_path: Path) -> tuple[Path, Path]:
    old, new = tmp_path / "am-token", tmp_path / "am-token-next"
    old.write_text("old-token\n")
    new.write_text("  new-token")
    return old, new


@pytest.fixture
def authenticator(tokens: tuple[Path, Path]) -> Authenticator:
    return Authenticator(WebConfig(users=USERS, roles=ROLES, receiver_tokens_files=tokens))


def test_without_a_configuration_everyone_may_do_everything() -> None:
    assert may(Authenticator(None), None) == set(Role)
    assert identify(Authenticator(None), "Bearer x").name == "anonymous"


def test_each_token_delivers_and_does_nothing_else(authenticator: Authenticator) -> None:
    assert may(authenticator, "Bearer old-token") == {Role.RECEIVER}
    assert may(authenticator, "bearer  new-token ") == {Role.RECEIVER}
    assert identify(authenticator, "Bearer new-token").name == "token:am-token-next"


def test_an_operator_may_do_everything_and_a_viewer_only_look(authenticator: Authenticator) -> None:
    assert may(authenticator, basic("alice", "alice's: word")) == set(Role)
    assert may(authenticator, basic("wall", "wall's: word")) == {Role.VIEWER}


def test_a_user_without_a_role_is_known_and_may_do_nothing(authenticator: Authenticator) -> None:
    header = basic("nobody", "nobody's: word")
    assert identify(authenticator, header) == Identity(name="nobody", roles=frozenset())
    with pytest.raises(AccessDenied, match="takes the role viewer") as raised:
        asyncio.run(authenticator.allow(asking(header), Role.VIEWER))
    assert not isinstance(raised.value, NotAuthenticated)


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        " ",
        "Bearer",
        "Bearer ",
        "Bearer old",
        "Bearer old-token2",
        "Bearer OLD-TOKEN",
        "Bearer old-token new-token",
        "Bearer caf\xe9",
        "Bearer \udcff",
        "old-token",
        "Digest old-token",
        "Basic",
        "Basic !!!",
        "Basic " + base64.b64encode(b"alice").decode(),
        "Basic " + base64.b64encode(b"\xff\xff:x").decode(),
        basic("alice", ""),
        basic("alice", "wall's: word"),
        basic("alice", "alice's: word\0"),
        basic("", ""),
        basic("", "alice's: word"),
        basic("stranger", "alice's: word"),
        basic("ALICE", "alice's: word"),
    ],
)
def test_whoever_is_not_known_is_told_what_to_set(authenticator: Authenticator, header: str | None) -> None:
    with pytest.raises(NotAuthenticated, match=r"credentials_file.*basic_auth"):
        identify(authenticator, header)


def test_a_refusal_does_not_repeat_the_secret(authenticator: Authenticator) -> None:
    for header in ("Bearer hunter2", basic("alice", "hunter2"), "hunter2"):
        with pytest.raises(NotAuthenticated) as raised:
            identify(authenticator, header)
        assert "hunter2" not in str(raised.value)


@given(st.text(max_size=60))
def test_no_header_lets_a_stranger_in(header: str) -> None:
    authenticator = Authenticator(WebConfig(users={}, receiver_tokens_files=(Path("/nonexistent"),)))
    for written in (header, f"Bearer {header}", f"Basic {header}"):
        with pytest.raises(NotAuthenticated):
            identify(authenticator, written)


def test_a_configuration_that_names_nobody_lets_nobody_in() -> None:
    assert may(Authenticator(WebConfig()), None) == set()
    assert may(Authenticator(WebConfig()), basic("", "")) == set()


def test_a_verified_certificate_is_enough_where_nothing_else_is_asked_for(tokens: tuple[Path, Path]) -> None:
    tls = TlsConfig(
        cert_file=Path("x"), key_file=Path("x"), client_ca_file=Path("x"), client_auth_type=ClientAuth.REQUIRED
    )
    assert may(Authenticator(WebConfig(tls=tls)), None) == set(Role)
    assert may(Authenticator(WebConfig(tls=tls, receiver_tokens_files=tokens)), None) == set()
    assert may(Authenticator(WebConfig(tls=tls, users=USERS)), None) == set()


def test_a_token_is_rotated_without_a_restart(authenticator: Authenticator, tokens: tuple[Path, Path]) -> None:
    assert may(authenticator, "Bearer old-token") == {Role.RECEIVER}
    fresh = tokens[0].with_name("fresh")
    fresh.write_text("fresh-token")
    os.replace(fresh, tokens[0])
    assert may(authenticator, "Bearer fresh-token") == {Role.RECEIVER}
    assert may(authenticator, "Bearer old-token") == set()
    assert may(authenticator, "Bearer new-token") == {Role.RECEIVER}


@pytest.mark.parametrize("content", [b"", b" \n", b"\xff\xfe"])
def test_a_token_file_that_lost_its_token_lets_nobody_in(
    authenticator: Authenticator, tokens: tuple[Path, Path], content: bytes
) -> None:
    tokens[0].write_bytes(content)
    for header in ("Bearer ", "Bearer old-token", "Bearer \xff\xfe"):
        assert may(authenticator, header) == set()
    tokens[0].unlink()
    assert may(authenticator, "Bearer old-token") == set()
    assert may(authenticator, "Bearer new-token") == {Role.RECEIVER}


def test_a_right_password_is_checked_once_and_a_wrong_one_each_time() -> None:
    authenticator = Authenticator(WebConfig(users={"alice": hashed("right", cost=10)}, roles=ROLES))
    assert may(authenticator, basic("alice", "right")) == set(Role)
    assert seconds(authenticator, basic("alice", "right")) < 0.01
    wrong = seconds(authenticator, basic("alice", "wrong"))
    assert wrong > 5 * seconds(authenticator, basic("alice", "right"))


def test_an_unknown_user_takes_as_long_as_a_wrong_password() -> None:
    authenticator = Authenticator(WebConfig(users={"alice": hashed("right", cost=10)}, roles=ROLES))
    wrong = seconds(authenticator, basic("alice", "wrong"))
    unknown = seconds(authenticator, basic("stranger", "wrong"))
    assert 0.4 < unknown / wrong < 2.5


def seconds(authenticator: Authenticator, header: str) -> float:
    def once() -> float:
        # Of the processor, whatever else it has to do.
        began = time.process_time()
        _is_let_through(authenticator, header, Role.OPERATOR)
        return time.process_time() - began

    return statistics.median(once() for _ in range(5))


def test_a_password_longer_than_bcrypt_reads_is_cut_as_htpasswd_does() -> None:
    authenticator = Authenticator(WebConfig(users={"alice": hashed("x" * 72)}, roles=ROLES))
    assert may(authenticator, basic("alice", "x" * 100)) == set(Role)


def test_tokens_do_not_wait_for_strangers_who_guess(tokens: tuple[Path, Path]) -> None:
    asyncio.run(_a_storm_of_guesses(tokens))


async def _a_storm_of_guesses(tokens: tuple[Path, Path]) -> None:
    users = {"alice": hashed("right", cost=12)}
    authenticator = Authenticator(WebConfig(users=users, roles=ROLES, receiver_tokens_files=tokens))
    wrong = [asking(basic("alice", f"guess {i}")) for i in range(80)]
    guesses = [asyncio.ensure_future(authenticator.identify(request)) for request in wrong]
    await asyncio.sleep(0.01)
    began = time.perf_counter()
    await authenticator.allow(asking("Bearer old-token"), Role.RECEIVER)
    assert time.perf_counter() - began < 0.1
    # Those beyond the limit are told at once, and that it is no verdict.
    refused = [guess.exception() for guess in guesses if guess.done()]
    assert len(refused) >= 16
    assert {type(error) for error in refused} <= {Unavailable, NotAuthenticated}
    for guess in guesses:
        guess.cancel()
    await asyncio.gather(*guesses, return_exceptions=True)
