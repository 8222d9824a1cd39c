"""Addresses and URLs with placeholders in them: whatever an alert says, the host that is asked stays the author's.

In a host only `$target` may stand, in a port a whole label or annotation, in a URL's path and query anything. The
functions take a text as its author wrote it, and raise `Unfit` for one that could be read in two ways.
"""

from __future__ import annotations

import re
from ipaddress import IPv6Address, ip_address
from urllib.parse import quote, unquote

from webhook.core.placeholder import Filling, Unfit, placeholders

#: Longer URLs are refused by many a server, which would pass for sickness.
MAX_URL_LENGTH = 8000

_NAME = r"(?:[A-Za-z0-9._-]|\$target\b)+"
_PORT = r"[0-9]{1,5}|\$(?:labels|annotations)\.[A-Za-z_][A-Za-z0-9_]*"
_HOST = rf"\[[0-9A-Fa-f:.]+\]|\[\$target\]|{_NAME}"
_ADDRESS = re.compile(rf"({_HOST}):({_PORT})")
_AUTHORITY = re.compile(rf"({_HOST})(?::({_PORT}))?")
_URL = re.compile(r"(https?)://([^/?#]*)([^#\\\s\x00-\x1f\x7f]*)")
_HALF_ESCAPED = re.compile(r"%[0-9A-Fa-f]?\$(?:target\b|(?:labels|annotations)\.)")
_DNS_LABEL = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")
_HOST_NAME = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,252})")


def split_address(text: str) -> tuple[str, int]:
    """Host and port of `host:port` or `[v6]:port`, the host without its brackets.

    Raises:
        Unfit: it is neither.
    """
    found = _ADDRESS.fullmatch(text)
    if not found or placeholders(text):
        raise Unfit(f"the address {shown(text)} is neither host:port nor [v6]:port")
    return host_text(found[1]).strip("[]"), int(port_text(found[2]))


def check_address(text: str) -> None:
    """Returns when `text` is host:port or [v6]:port, `$target` in the host at most.

    Raises:
        Unfit: it is not.
    """
    found = _ADDRESS.fullmatch(text)
    if not found:
        raise Unfit(_advice(text, "an address with a port is needed, like '$target:443' or '[2001:db8::1]:443'"))
    _check(found[1], found[2])


def fill_address(text: str, fill: Filling) -> str:
    """The address with its placeholders replaced, an IPv6 target in brackets.

    Raises:
        Unfit: what goes in is no host or no port.
    """
    found = _ADDRESS.fullmatch(text)
    if not found:
        raise Unfit(f"the address {shown(text)} is neither host:port nor [v6]:port")
    return f"{_fill_host(found[1], fill)}:{fill(found[2], port_text)}"


def check_url(text: str) -> None:
    """Returns when `text` is a URL whose scheme, host and port no alert can change.

    Raises:
        Unfit: it is not.
    """
    found = _URL.fullmatch(text)
    if not found:
        raise Unfit("a URL that starts with http:// or https:// is needed, without spaces, backslashes and #")
    if "@" in found[2]:
        raise Unfit("a rule file is no place for credentials; leave out what stands before the @")
    authority = _AUTHORITY.fullmatch(found[2])
    if not authority:
        raise Unfit(_advice(found[2], f"{shown(found[2])} is neither host, host:port nor [v6]:port"))
    _check(authority[1], authority[2])
    if _HALF_ESCAPED.search(found[3]):
        raise Unfit("a % before a placeholder would make something else of the value")


def fill_url(text: str, fill: Filling) -> str:
    """The URL with its placeholders replaced, an IPv6 target in brackets, everything else percent-encoded.

    Raises:
        Unfit: what goes in is no host or no port, would be a step up in the path, or makes the URL too long.
    """
    found = _URL.fullmatch(text)
    authority = _AUTHORITY.fullmatch(found[2]) if found else None
    if not found or not authority:
        raise Unfit(f"{shown(text)} is no URL")
    port = f":{fill(authority[2], port_text)}" if authority[2] else ""
    rest = fill(found[3], lambda value: quote(value, safe=""))
    _refuse_steps(found[3], rest)
    url = f"{found[1]}://{_fill_host(authority[1], fill)}{port}{rest}"
    if len(url) > MAX_URL_LENGTH:
        raise Unfit(f"the URL would be longer than {MAX_URL_LENGTH} characters")
    return url


def host_text(text: str) -> str:
    """A host as it stands in an address: an IPv6 address in brackets.

    Raises:
        Unfit: this is neither a host's name nor an address.
    """
    bare = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    if ":" in bare and "%" not in bare:
        try:
            return f"[{IPv6Address(bare)}]"
        except ValueError:
            pass
    if bare != text or not _HOST_NAME.fullmatch(text):
        raise Unfit(f"{shown(text)} is no host")
    return text


def port_text(text: str) -> str:
    """A port as it stands in an address.

    Raises:
        Unfit: this is none.
    """
    if not re.fullmatch(r"[0-9]{1,5}", text) or not 1 <= int(text) <= 65535:
        raise Unfit(f"{shown(text)} is no port")
    return str(int(text))


def domain_text(text: str) -> str:
    """A name that DNS can be asked for, as it stands.

    Raises:
        Unfit: this is none; one in another script is written as `xn--…`.
    """
    labels = text.removesuffix(".").split(".")
    # No name ends in a number, so that none is an address (RFC 3696).
    if len(text) > 253 or labels[-1].isdigit() or not all(_DNS_LABEL.fullmatch(label) for label in labels):
        raise Unfit(f"{shown(text)} is no DNS name")
    return text


def address_text(text: str) -> str:
    """An IP address, in the one way to write it.

    Raises:
        Unfit: this is none.
    """
    try:
        return str(ip_address(text))
    except ValueError:
        raise Unfit(f"{shown(text)} is no IP address") from None


def shown(text: str) -> str:
    """`text` in quotes, escaped and cut, for words."""
    return ascii(text if len(text) <= 60 else text[:59] + "~")


def _check(host: str, port: str | None) -> None:
    if host != "[$target]":
        host_text(host.replace("$target", "target"))
    if port is not None and not placeholders(port):
        port_text(port)


def _fill_host(host: str, fill: Filling) -> str:
    return host_text(fill("$target" if host == "[$target]" else host))


def _advice(text: str, otherwise: str) -> str:
    others = [name for name in placeholders(text) if name != "$target"]
    if not others:
        return otherwise
    return (
        f"only $target may name the host, since {others[0]} is a stranger's word; it may be the whole port, like"
        f" '$target:{others[0]}'"
    )


def _refuse_steps(template: str, filled: str) -> None:
    parts = (template.partition("?")[0].split("/"), filled.partition("?")[0].split("/"))
    for written, found in zip(*parts, strict=True):
        if written != found and unquote(found) in (".", ".."):
            raise Unfit(f"in the URL's path {written} would be {shown(unquote(found))}")
