"""The web.config.file: what it says, and every problem in it with its place."""

from __future__ import annotations

import subprocess
from datetime import timedelta
from pathlib import Path

import pytest

from webhook.core.access import Provider, SessionTerms
from webhook.edge.webconfig import ClientAuth, Role, TlsVersion, read_web_config
from webhook.errors import ConfigError

HASH = "$2b$10$hNf2lSsxfm0.i4a.1kVpSOVyBCfIB51VRjgBUyv6kdnyTlgWj81Ay"
SELF_SIGNED = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=x"]


def written(folder: Path, content: str) -> Path:
    (folder / "token").write_text("abc\n")
    path = folder / "web.yml"
    path.write_text(content)
    return path


def problems(folder: Path, content: str) -> list[str]:
    with pytest.raises(ConfigError) as raised:
        read_web_config(written(folder, content))
    return [str(problem).removeprefix(f"{folder}/") for problem in raised.value.problems]


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("certificates")
    for name in ("a", "b"):
        subprocess.run(
            [*SELF_SIGNED, "-keyout", str(folder / f"{name}.key"), "-out", str(folder / f"{name}.pem")],
            check=True,
            capture_output=True,
        )
    return folder


def test_everything_that_can_be_said_is_read(tmp_path: Path, certificates: Path) -> None:
    config = read_web_config(
        written(
            tmp_path,
            f"""
tls_server_config:
  cert_file: {certificates}/a.pem
  key_file: {certificates}/a.key
  client_ca_file: {certificates}/b.pem
  client_auth_type: RequireAndVerifyClientCert
  min_version: TLS13
basic_auth_users: {{alice: {HASH}, wall: {HASH}, bob: {HASH}}}
roles: {{viewer: [wall], operator: [alice]}}
receiver_tokens_files: [token]
""",
        )
    )
    assert config.tls is not None
    assert config.tls.cert_file == certificates / "a.pem"
    assert config.tls.client_ca_file == certificates / "b.pem"
    assert (config.tls.client_auth_type, config.tls.min_version) == (ClientAuth.REQUIRED, TlsVersion.TLS13)
    assert config.users == {"alice": HASH, "wall": HASH, "bob": HASH}
    assert config.roles == {Role.VIEWER: {"wall"}, Role.OPERATOR: {"alice"}}
    assert config.receiver_tokens_files == (tmp_path / "token",)


def test_tls_alone_is_of_the_newer_versions_and_asks_for_no_certificate(tmp_path: Path, certificates: Path) -> None:
    tls = f"{{cert_file: {certificates}/a.pem, key_file: {certificates}/a.key}}"
    config = read_web_config(written(tmp_path, f"tls_server_config: {tls}\nreceiver_tokens_files: [token]"))
    assert config.tls is not None
    assert (config.tls.client_auth_type, config.tls.min_version) == (ClientAuth.NONE, TlsVersion.TLS12)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("", "web.yml:0:0: it is empty"),
        ("{}", "web.yml:1:1: it lets nobody in"),
        (f"basic_auth_users: {{a: {HASH}}}", "web.yml:1:1: it lets nobody in"),
        (
            "basic_auth_user: {}",
            "web.yml:1:1: unknown key 'basic_auth_user'; did you mean 'basic_auth_users'?",
        ),
        (
            "receiver_tokens_files: [token]\nhttp_server_config: {http2: true}",
            "web.yml:2:21: http_server_config: is not supported here; remove it",
        ),
        (
            "receiver_tokens_files: [token]\nrate_limit: {interval: 1s}",
            "web.yml:2:13: rate_limit: is not supported here; remove it",
        ),
        ("receiver_tokens_files: [token]\nreceiver_tokens_files: [token]", "web.yml:2:1: the key"),
        ("receiver_tokens_files: token", "web.yml:1:24: receiver_tokens_files: expected a list"),
        (
            "receiver_tokens_files: [token, gone]",
            "cannot be read: No such file or directory",
        ),
        ("basic_auth_users: {a: secret}", "web.yml:1:23: a: this is not a bcrypt hash"),
        (f"basic_auth_users: {{a: {HASH.replace('$10$', '$31$')}}}", "a bcrypt cost of 31 is not usable"),
        (f"basic_auth_users: {{'a:b': {HASH}}}", "has no colon"),
        (f"basic_auth_users: {{no: {HASH}}}", "web.yml:1:20: a key must be text: no"),
        (
            f"basic_auth_users: {{oncall: {HASH}}}\nroles: {{operator: [oncal]}}",
            "web.yml:2:20: operator: 'oncal' is not one of basic_auth_users; did you mean 'oncall'?",
        ),
        (
            f"basic_auth_users: {{a: {HASH}}}\nroles: {{receiver: [a]}}",
            "web.yml:2:19: receiver: receivers have tokens: name their files in receiver_tokens_files",
        ),
        (
            f"basic_auth_users: {{a: {HASH}}}\nroles: {{operators: [a]}}",
            "web.yml:2:9: roles: unknown key 'operators'; did you mean 'operator'?",
        ),
        ("tls_server_config: {cert_file: token}", "web.yml:1:20: tls_server_config: the key 'key_file' is missing"),
        ("tls_server_config: {cert_file: gone, key_file: token}", "cannot be read: No such file"),
        (
            "tls_server_config: {cert_file: token, key_file: token}",
            "web.yml:1:32: cert_file: this certificate and its key cannot be used",
        ),
    ],
)
def test_a_mistake_is_one_problem_with_its_place(tmp_path: Path, content: str, expected: str) -> None:
    found = problems(tmp_path, content)
    assert len(found) == 1
    assert expected in found[0]


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("cipher_suites: [TLS_AES_128_GCM_SHA256]", "cipher_suites: is not supported here; remove it"),
        ("client_allowed_sans: [x]", "client_allowed_sans: is not supported here; remove it"),
        ("max_version: TLS12", "max_version: is not supported here; remove it"),
        ("min_version: TLS10", "min_version: TLS10 is not spoken any more; use TLS12 or TLS13"),
        ("min_version: TLS14", "'TLS14' is not known here"),
        ("client_auth_type: RequireAnyClientCert", "RequireAnyClientCert is not supported here"),
        ("client_auth_type: RequireAndVerifyClientCert", "needs the key 'client_ca_file'"),
        ("client_ca_file: CA", "client_ca_file does nothing without client_auth_type"),
        ("client_auth_type: VerifyClientCertIfGiven, client_ca_file: token", "client_ca_file: it holds no certificate"),
    ],
)
def test_what_of_tls_is_not_kept_is_never_left_unsaid(
    tmp_path: Path, certificates: Path, key: str, expected: str
) -> None:
    key = key.replace("CA", str(certificates / "b.pem")) if key.endswith(" CA") else key
    tls = f"{{cert_file: {certificates}/a.pem, key_file: {certificates}/a.key, {key}}}"
    found = problems(tmp_path, f"receiver_tokens_files: [token]\ntls_server_config: {tls}")
    assert len(found) == 1
    assert expected in found[0]


OIDC = {
    "issuer": "https://id.example/ops",
    "client_id": "alertmend",
    "redirect_url": "https://alertmend.example/login/oidc/callback",
    "roles": "{viewer: [staff], operator: [sre]}",
}
PROXY = {"trusted": "[127.0.0.1]", "user_header": "X-Forwarded-User", "roles": "{operator: [ada]}"}


def section(name: str, **keys: str | None) -> str:
    given = {key: value for key, value in keys.items() if value is not None}
    return f"{name}:\n" + "".join(f"  {key}: {value}\n" for key, value in given.items())


def test_the_ways_in_besides_are_read(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("hunter2\n")
    (tmp_path / "key").write_bytes(b"k" * 32)
    config = read_web_config(
        written(
            tmp_path,
            section("oidc", **OIDC, client_secret_file="secret", roles_claim="realm_access.roles", scopes="[openid]")
            + section("proxy", **PROXY | {"trusted": "[10.0.0.0/8, '::1']"}, groups_header="X-Forwarded-Groups")
            + section("session", lifetime="30m", key_file="key"),
        )
    )
    assert config.oidc == Provider(
        issuer=OIDC["issuer"],
        client_id="alertmend",
        client_secret_file=str(tmp_path / "secret"),
        redirect_url=OIDC["redirect_url"],
        scopes=("openid",),
        roles_claim="realm_access.roles",
        roles={Role.VIEWER: frozenset({"staff"}), Role.OPERATOR: frozenset({"sre"})},
    )
    assert config.proxy is not None
    assert config.proxy.is_trusted("10.1.2.3") and config.proxy.is_trusted("::1")
    assert config.proxy.is_trusted("::ffff:10.1.2.3")
    assert not any(config.proxy.is_trusted(address) for address in ("11.0.0.1", "127.0.0.1", "::2", "web1", ""))
    assert (config.proxy.user_header, config.proxy.groups_header) == ("X-Forwarded-User", "X-Forwarded-Groups")
    assert config.session == SessionTerms(lifetime=timedelta(minutes=30), key_file=str(tmp_path / "key"))


def test_a_proxy_that_names_nobody_only_says_what_is_encrypted(tmp_path: Path) -> None:
    config = read_web_config(written(tmp_path, "receiver_tokens_files: [token]\nproxy: {trusted: [127.0.0.1]}"))
    assert config.proxy is not None
    assert config.proxy.user_header is None


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (section("oidc", **OIDC | {"issuer": None}), "web.yml:2:3: oidc: the key 'issuer' is missing"),
        (section("oidc", **OIDC | {"roles": None}), "oidc: the key 'roles' is missing"),
        (section("oidc", **OIDC | {"roles": "{viewer: []}"}), "roles: it lets nobody in"),
        (section("oidc", **OIDC | {"roles": "{admin: [a]}"}), "roles: unknown key 'admin'"),
        (section("oidc", **OIDC | {"issuer": "id.example"}), "web.yml:2:11: issuer: "),
        (section("oidc", **OIDC | {"issuer": "http://id.example"}), "is believed without TLS on loopback only"),
        (section("oidc", **OIDC | {"issuer": "https://id.example?a=b"}), "the URL is fixed and has no query"),
        (section("oidc", **OIDC | {"redirect_url": "https://a.example/"}), "and ends with /login/oidc/callback"),
        (section("oidc", **OIDC, scopes="[email]"), "scopes: 'openid' is missing"),
        (section("oidc", **OIDC, client_secret_file="empty"), "must hold the client's secret, in one line"),
        (section("oidc", **OIDC, client_secret="x"), "unknown key 'client_secret'"),
        (
            section("oidc", **OIDC | {"issuer": "http://127.0.0.1:8080"}, tls_config="{min_version: TLS13}"),
            "there is no TLS in an issuer that starts with http://",
        ),
        (section("proxy", **PROXY | {"trusted": "[]"}), "name at least one address"),
        (section("proxy", **PROXY | {"trusted": "[proxy.example]"}), "an address like 127.0.0.1 or 10.0.0.0/8"),
        (section("proxy", **PROXY | {"trusted": "[10.0.0.1/8]"}), "has host bits set"),
        (section("proxy", **PROXY | {"trusted": "[0.0.0.0/0]"}), "this is everyone"),
        (section("proxy", **PROXY | {"roles": None}), "user_header needs the key 'roles'"),
        (section("proxy", **PROXY | {"user_header": "'a b'"}), "the name of a header"),
        ("receiver_tokens_files: [token]\nproxy: {trusted: ['::1'], groups_header: a}", "does nothing without"),
        ("receiver_tokens_files: [token]\nsession: {lifetime: 1s}", "1s is too short; at least 60s is needed"),
        ("receiver_tokens_files: [token]\nsession: {lifetime: 60d}", "lifetime: at most 30d"),
        ("receiver_tokens_files: [token]\nsession: {key_file: token}", "at least 32 bytes are needed"),
    ],
)
def test_a_mistake_in_them_is_one_problem(tmp_path: Path, content: str, expected: str) -> None:
    (tmp_path / "empty").write_text("\n")
    found = problems(tmp_path, content)
    assert len(found) == 1, found
    assert expected in found[0]


def test_a_key_of_another_certificate_is_refused(tmp_path: Path, certificates: Path) -> None:
    tls = f"{{cert_file: {certificates}/a.pem, key_file: {certificates}/b.key}}"
    (problem,) = problems(tmp_path, f"receiver_tokens_files: [token]\ntls_server_config: {tls}")
    assert "key values mismatch" in problem


@pytest.mark.parametrize("content", ["", "\n \n", "two words", "two\nlines", "a\0b"])
def test_a_token_file_holds_one_token(tmp_path: Path, content: str) -> None:
    (tmp_path / "bad").write_text(content)
    (problem,) = problems(tmp_path, "receiver_tokens_files:\n  - token\n  - bad")
    assert problem.startswith("web.yml:3:5: ")


def test_all_problems_are_told_at_once_and_no_secret_among_them(tmp_path: Path) -> None:
    found = problems(
        tmp_path,
        "basic_auth_users: {alice: hunter2, bob: ''}\nroles: {operator: [alice, carol]}\nrate_limit: {}\nrols: {}\n",
    )
    assert [problem.split(" ")[0] for problem in found] == [
        "web.yml:1:27:",
        "web.yml:1:41:",
        "web.yml:2:27:",
        "web.yml:3:13:",
        "web.yml:4:1:",
    ]
    assert not any("hunter2" in problem for problem in found)
