"""http_config: what it says, what is wrong with it, and the headers that it makes."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from webhook.core.httpconfig import HttpConfig
from webhook.errors import Problem, Unavailable
from webhook.httpconfig import credentials, read_http_config
from webhook.located import parse


def read(folder: Path, written: str, *, with_secrets: bool = False) -> tuple[HttpConfig, list[str]]:
    problems: list[Problem] = []
    node = parse(written.encode(), file=folder / "it.yml", problems=problems)
    return read_http_config(node, with_secrets=with_secrets), [str(one).replace(f"{folder}/", "") for one in problems]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "secret").write_text("s3cret\n")
    return tmp_path


def test_nothing_is_no_credentials() -> None:
    assert credentials(read_http_config(None)) == {}
    assert read_http_config(None).follow_redirects


def test_a_password_goes_with_a_name(folder: Path) -> None:
    config, problems = read(folder, "basic_auth: {username: me, password_file: secret}")
    assert problems == []
    assert credentials(config) == {"authorization": f"Basic {base64.b64encode(b'me:s3cret').decode()}"}


def test_any_other_word_goes_before_credentials(folder: Path) -> None:
    config, problems = read(folder, "authorization: {type: Token, credentials_file: secret}\nfollow_redirects: false")
    assert problems == []
    assert credentials(config) == {"authorization": "Token s3cret"} and not config.follow_redirects


def test_the_file_is_read_each_time(folder: Path) -> None:
    config, _ = read(folder, "authorization: {credentials_file: secret}")
    (folder / "secret").write_text("new")
    assert credentials(config) == {"authorization": "Bearer new"}
    (folder / "secret").write_text("two\nlines")
    with pytest.raises(Unavailable, match="one line"):
        credentials(config)


def test_a_secret_may_be_written_out_where_the_file_is_a_persons_own(folder: Path) -> None:
    for written, header in [
        ("basic_auth: {username: me, password: pw}", f"Basic {base64.b64encode(b'me:pw').decode()}"),
        ("authorization: {credentials: token}", "Bearer token"),
    ]:
        config, problems = read(folder, written, with_secrets=True)
        assert problems == [] and credentials(config) == {"authorization": header}
        assert "pw" not in repr(config) and "token" not in repr(config)
        assert "a secret comes from a file here" in read(folder, written)[1][0]


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("basic_auth: {username: me}", "it.yml:1:13: basic_auth: the key 'password_file' is missing"),
        ("basic_auth: {password_file: secret}", "it.yml:1:13: basic_auth: the key 'username' is missing"),
        ("authorization: {}", "it.yml:1:16: authorization: the key 'credentials_file' is missing"),
        ("authorization: {type: 'a b', credentials_file: secret}", "one word like Bearer is needed"),
        ("authorization: {credentials_file: gone}", "cannot be read: No such file"),
        (
            "{basic_auth: {username: me, password_file: secret}, authorization: {credentials_file: secret}}",
            "give either basic_auth or authorization",
        ),
        ("proxy_url: http://proxy", "proxy_url: is not supported here; remove it"),
        ("bearer_token: x", "bearer_token: is not supported here; remove it, and give basic_auth or authorization"),
        ("basic_aut: {}", "unknown key 'basic_aut'; did you mean 'basic_auth'?"),
        ("follow_redirects: 1", "expected true or false"),
        ("tls_config: {cert_file: secret}", "give both cert_file and key_file"),
        ("tls_config: {ca_file: secret}", "the TLS files cannot be used"),
        ("tls_config: {insecure_skip_verify: true, ca_file: secret}", "leave one of them out"),
        ("[]", "expected a mapping"),
    ],
)
def test_a_mistake_is_told_with_its_place(folder: Path, written: str, words: str) -> None:
    _, problems = read(folder, written)
    assert len(problems) == 1 and words in problems[0], problems
    assert problems[0].startswith("it.yml:1:")


def test_exactly_one_place_has_the_secret(folder: Path) -> None:
    written = "basic_auth: {username: me, password: x, password_file: secret}"
    assert "give exactly one of password and password_file" in read(folder, written, with_secrets=True)[1][0]
