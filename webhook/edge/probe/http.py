"""Is a web page as it should be?"""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING, Final

from webhook.core.address import check_url
from webhook.core.matcher import Matcher, MatcherError, MatchType
from webhook.core.placeholder import Unfit, placeholders
from webhook.core.probe import HttpProbe
from webhook.located import Node, integer, items, mapping, otherwise, text
from webhook.probing import Deadline, Kind, Seen

if TYPE_CHECKING:
    import httpx

#: No more of a body is read, and a body that is longer is matched as far as this.
BODY_LIMIT_BYTES: Final = 64 * 1024
_METHOD: Final = re.compile(r"[A-Za-z]{1,20}")


def _read(node: Node) -> HttpProbe | None:
    fields = mapping(node, known={"url", "method", "status", "body_regex"}, required={"url"})
    status = tuple(
        number
        for item in items(fields.get("status"))
        if (number := integer(item, minimum=100, maximum=599)) is not None
    )
    default = HttpProbe(url="")
    return HttpProbe(
        url=otherwise(_url(fields.get("url")), default.url),
        method=otherwise(_method(fields.get("method")), default.method),
        status=status or default.status,
        body_regex=_regex(fields.get("body_regex")),
    )


def _url(node: Node | None) -> str | None:
    url = text(node)
    if node is None or url is None:
        return None
    try:
        check_url(url)
    except Unfit as error:
        node.report(str(error))
    return url


def _method(node: Node | None) -> str | None:
    method = text(node)
    if node is None or method is None:
        return None
    if not _METHOD.fullmatch(method):
        node.report("a method like GET, HEAD or POST is needed")
    return method.upper()


def _regex(node: Node | None) -> str | None:
    written = text(node)
    if node is None or written is None:
        return None
    if placeholders(written):
        node.report("a pattern is yours alone; nothing is replaced in it")
    try:
        Matcher(name="body", type=MatchType.REGEX, value=written)
    except MatcherError as error:
        node.report(str(error))
    return written


def _ask(probe: HttpProbe, deadline: Deadline) -> Seen:
    import httpx

    def trace(event: str, details: dict[str, object]) -> None:
        stream = details.get("return_value")
        if event in ("connection.connect_tcp.complete", "connection.start_tls.complete") and stream is not None:
            deadline.watch(stream.get_extra_info("socket"))  # type: ignore[attr-defined]

    url = httpx.URL(probe.url)
    verify = _trusted() if url.scheme == "https" else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    with (
        # No environment: a proxy answers for itself, not for the host that is asked about.
        httpx.Client(verify=verify, trust_env=False, timeout=deadline.seconds_left) as client,
        client.stream(
            probe.method,
            url,
            # Nothing compressed, since a small body could grow without bound.
            headers={"user-agent": "alertmend", "accept-encoding": "identity", "connection": "close"},
            follow_redirects=False,
            extensions={"trace": trace},
        ) as response,
    ):
        return _judged(probe, response)


def _judged(probe: HttpProbe, response: httpx.Response) -> Seen:
    if response.status_code not in probe.status:
        wanted = " or ".join(str(status) for status in probe.status)
        return Seen(healthy=False, words=f"status {response.status_code} instead of {wanted}")
    if probe.body_regex is None:
        return Seen(healthy=True, words=f"status {response.status_code}")
    if _matches(probe.body_regex, _head(response.iter_raw())):
        return Seen(healthy=True, words=f"status {response.status_code}, and the body matches")
    return Seen(healthy=False, words=f"the body does not match {probe.body_regex}")


def _matches(pattern: str, body: bytes) -> bool:
    import re2

    options = re2.Options()
    options.log_errors = False
    return re2.compile(pattern, options).search(body.decode("utf-8", "replace")) is not None


def _head(chunks: Iterator[bytes]) -> bytes:
    head = bytearray()
    for chunk in chunks:
        head += chunk
        if len(head) >= BODY_LIMIT_BYTES:
            break
    return bytes(head[:BODY_LIMIT_BYTES])


@cache
def _trusted() -> ssl.SSLContext:
    """The system's certificates, among them those that the operator has added. Made once: it takes 20 ms."""
    return ssl.create_default_context()


KIND = Kind(read=_read, ask=_ask, imports=("httpx",))
