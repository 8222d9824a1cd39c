"""Reads and applies `tls` and `http_config`: how another server is spoken to over HTTP. Speaks to none itself."""

from __future__ import annotations

import base64
import os
import re
import ssl
from collections.abc import Collection, Mapping
from functools import cache
from pathlib import Path

from webhook.core.address import check_url
from webhook.core.escalation import WebhookStep
from webhook.core.httpconfig import HttpConfig, Server, Tls, TlsVersion
from webhook.core.placeholder import Unfit, placeholders
from webhook.errors import Unavailable
from webhook.located import Node, boolean, choice, existing_file, mapping, otherwise, text

_TLS = {"ca_file", "cert_file", "key_file", "server_name", "insecure_skip_verify", "min_version"}
KNOWN = {"basic_auth", "authorization", "tls_config", "follow_redirects"}
#: What Prometheus knows and this does not: left alone, someone would believe that it holds.
_NOT_SUPPORTED = (
    *("bearer_token", "bearer_token_file", "oauth2", "enable_http2", "http_headers"),
    *("proxy_url", "no_proxy", "proxy_from_environment", "proxy_connect_header"),
)
_VERSIONS = {TlsVersion.TLS12: ssl.TLSVersion.TLSv1_2, TlsVersion.TLS13: ssl.TLSVersion.TLSv1_3}


def read_tls(node: Node | None, *, known: Collection[str] = _TLS) -> Tls | None:
    """TLS options, their files looked at: a key must belong to its certificate."""
    if node is None:
        return None
    before, fields = len(node.problems), mapping(node, known=known)
    tls = Tls(
        ca_file=_file(fields.get("ca_file")),
        cert_file=_file(fields.get("cert_file")),
        key_file=_file(fields.get("key_file")),
        server_name=_server_name(fields.get("server_name")),
        insecure_skip_verify=otherwise(boolean(fields.get("insecure_skip_verify")), False),
        min_version=otherwise(choice(fields.get("min_version"), TlsVersion), TlsVersion.TLS12),
    )
    if ("cert_file" in fields) is not ("key_file" in fields):
        node.report("give both cert_file and key_file, or none of them")
    if tls.insecure_skip_verify and tls.ca_file:
        fields["ca_file"].report("nobody is asked for with insecure_skip_verify; leave one of them out")
    if len(node.problems) == before:
        _try(node, tls)
    return tls


def read_http_config(node: Node | None, *, with_secrets: bool = False) -> HttpConfig:
    """Credentials and TLS; without a node neither. A secret may stand in it itself only `with_secrets`."""
    fields = mapping(node, known={*KNOWN, *_NOT_SUPPORTED})
    for name in _NOT_SUPPORTED:
        if name in fields:
            fields[name].report("is not supported here; remove it, and give basic_auth or authorization")
    basic, other = fields.get("basic_auth"), fields.get("authorization")
    if node is not None and basic is not None and other is not None:
        node.report("give either basic_auth or authorization")
    with_password = mapping(basic, known={"username", "password", "password_file"}, required={"username"})
    with_token = mapping(other, known={"type", "credentials", "credentials_file"})
    for found, secret in ((basic, "password"), (other, "credentials")):
        _check_secret(found, secret, with_secrets=with_secrets)
    return HttpConfig(
        tls=read_tls(fields.get("tls_config")),
        username=text(with_password.get("username")),
        password_file=_file(with_password.get("password_file")),
        password=text(with_password.get("password")),
        authorization=otherwise(_scheme(with_token.get("type")), HttpConfig().authorization),
        credentials_file=_file(with_token.get("credentials_file")),
        credentials=text(with_token.get("credentials")),
        follow_redirects=otherwise(boolean(fields.get("follow_redirects")), True),
    )


def read_server(fields: Mapping[str, Node]) -> Server:
    """The server that `url` and `http_config` name."""
    node, config = fields.get("url"), read_http_config(fields.get("http_config"))
    url = otherwise(text(node), "")
    try:
        check_url(url)
    except Unfit as error:
        if node is not None and url:
            node.report(str(error))
    if node is not None and (placeholders(url) or "?" in url):
        node.report("the URL is fixed and has no query: nothing is replaced in it")
    if config.tls and url.startswith("http:"):
        fields["http_config"].report("there is no TLS in a URL that starts with http://")
    return Server(url=url.rstrip("/"), http_config=config)


def ssl_context(tls: Tls | None) -> ssl.SSLContext:
    """What a connection is made with. The files are read again each time, since certificates are renewed.

    Raises:
        OSError: a file cannot be read, or does not hold what it should (`ssl.SSLError`).
    """
    if tls is None:
        return _system()
    context = ssl.create_default_context(cafile=tls.ca_file)
    context.minimum_version = _VERSIONS[tls.min_version]
    if tls.insecure_skip_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if tls.cert_file:
        # A key with a password is refused rather than asked for on a terminal.
        context.load_cert_chain(tls.cert_file, tls.key_file, password=lambda: "")
    return context


def check_files(tls: Tls | None) -> None:
    """Returns when the files can be used as they are now.

    Raises:
        Unfit: they cannot.
    """
    try:
        ssl_context(tls)
    except OSError as error:
        reason = getattr(error, "reason", None) or error.strerror or str(error)
        raise Unfit(f"the TLS files cannot be used: {str(reason).replace('_', ' ').lower()}") from None


def credentials(config: HttpConfig) -> Mapping[str, str]:
    """The headers that say who we are, the secret as its file holds it now.

    Raises:
        Unavailable: the file cannot be read, or does not hold one line.
    """
    if config.username is not None:
        both = f"{config.username}:{_secret(config.password, config.password_file)}"
        return {"authorization": f"Basic {base64.b64encode(both.encode()).decode()}"}
    if config.credentials is not None or config.credentials_file is not None:
        return {"authorization": f"{config.authorization} {_secret(config.credentials, config.credentials_file)}"}
    return {}


def _file(node: Node | None) -> str | None:
    found = existing_file(node)
    if node is None or found is None:
        return None
    if placeholders(str(node.raw.value)):
        node.report("a path is fixed; nothing is replaced in it")
    return os.path.abspath(found)


def _server_name(node: Node | None) -> str | None:
    name = text(node)
    others = [word for word in placeholders(name or "") if word != "$target"]
    if node is not None and others:
        node.report(f"only $target is replaced here: {others[0]} is a stranger's word")
    return name


def _scheme(node: Node | None) -> str | None:
    word = text(node)
    if node is not None and word is not None and not re.fullmatch(r"[A-Za-z0-9-]+", word):
        node.report("one word like Bearer is needed")
    return word


def _try(node: Node, tls: Tls) -> None:
    try:
        check_files(tls)
    except Unfit as error:
        node.report(str(error))


@cache
def _system() -> ssl.SSLContext:
    """The system's certificates, among them those that the operator has added. Made once: it takes 20 ms."""
    return ssl.create_default_context()


def _check_secret(node: Node | None, name: str, *, with_secrets: bool) -> None:
    if node is None:
        return
    given = [key for key in mapping(node) if key in (name, f"{name}_file")]
    if len(given) != 1:
        node.report(
            f"give exactly one of {name} and {name}_file" if with_secrets else f"the key '{name}_file' is missing"
        )
    elif given == [name] and not with_secrets:
        node.report(f"a secret comes from a file here: write it into one, and name that as {name}_file")


def _secret(written: str | None, file: str | None) -> str:
    if file is None:
        return written or ""
    try:
        secret = Path(file).read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise Unavailable(file, str(error)) from None
    if not secret or not secret.isprintable():
        raise Unavailable(file, "it must hold one line of text")
    return secret


def url_of(step: WebhookStep) -> str:
    """Where it is posted to; a file is read each time, so that it can be rotated.

    Raises:
        OSError, UnicodeDecodeError: the file cannot be read.
    """
    if step.url:
        return step.url
    with open(step.url_file, encoding="utf-8") as file:
        return file.read().strip()
