"""Is a web page as it should be?"""

from __future__ import annotations

import json
import re
from typing import Final

from webhook.core.address import check_url
from webhook.core.jsonpath import Absent, is_same, parse_path, value_at
from webhook.core.matcher import Matcher, MatcherError, MatchType
from webhook.core.placeholder import Unfit, placeholders
from webhook.core.probe import HttpProbe, JsonCheck
from webhook.exchange import Request, exchange, head_of
from webhook.httpconfig import check_files, read_tls
from webhook.located import Node, integer, items, mapping, otherwise, plain, text
from webhook.probing import Deadline, Kind, Seen

#: No more of a body is read. One that is longer is matched as far as this, and is no JSON.
BODY_LIMIT_BYTES: Final = 64 * 1024
_METHOD: Final = re.compile(r"[A-Za-z]{1,20}")


def _read(node: Node) -> HttpProbe | None:
    fields = mapping(node, known={"url", "method", "status", "body_regex", "json", "tls"}, required={"url"})
    default = HttpProbe(url="")
    probe = HttpProbe(
        url=otherwise(_url(fields.get("url")), default.url),
        method=otherwise(_method(fields.get("method")), default.method),
        status=otherwise(_status(fields.get("status")), default.status),
        body_regex=_regex(fields.get("body_regex")),
        json=_json(fields.get("json")),
        tls=read_tls(fields.get("tls")),
    )
    if "tls" in fields and probe.url.startswith("http:"):
        fields["tls"].report("there is no TLS in a URL that starts with http://")
    for name in ("body_regex", "json"):
        if name in fields and probe.method == "HEAD":
            fields[name].report("the answer to a HEAD has no body")
    return probe


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


def _status(node: Node | None) -> tuple[int, ...] | None:
    if node is None:
        return None
    found = [integer(item, minimum=100, maximum=599) for item in items(node)]
    if not found:
        node.report("give at least one status, or leave it out")
    return tuple(status for status in found if status is not None)


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


def _json(node: Node | None) -> JsonCheck | None:
    fields = mapping(node, known={"path", "equals"}, required={"path", "equals"})
    path, equals = text(fields.get("path")), plain(fields.get("equals"))
    if isinstance(equals, (dict, list)):
        fields["equals"].report("expected a text, a number, true, false or null")
        return None
    if path is None:
        return None
    try:
        parse_path(path)
    except Unfit as error:
        fields["path"].report(str(error))
    return JsonCheck(path=path, equals=equals)  # type: ignore[arg-type]


def _ask(probe: HttpProbe, deadline: Deadline) -> Seen:
    check_files(probe.tls)
    request = Request(method=probe.method, url=probe.url, tls=probe.tls)
    with exchange(request, deadline) as response:
        status = response.status_code
        if status not in probe.status:
            wanted = " or ".join(str(status) for status in probe.status)
            return Seen(healthy=False, words=f"status {status} instead of {wanted}")
        if probe.body_regex is None and probe.json is None:
            return Seen(healthy=True, words=f"status {status}")
        body = head_of(response, BODY_LIMIT_BYTES)
    if probe.body_regex is not None and not _matches(probe.body_regex, body[:BODY_LIMIT_BYTES]):
        return Seen(healthy=False, words=f"the body does not match {probe.body_regex}")
    if probe.json is not None and (problem := _differs(probe.json, body)):
        return Seen(healthy=False, words=problem)
    return Seen(healthy=True, words=f"status {status}, and the body is as it should be")


def _matches(pattern: str, body: bytes) -> bool:
    import re2

    options = re2.Options()
    options.log_errors = False
    return re2.compile(pattern, options).search(body.decode("utf-8", "replace")) is not None


def _differs(check: JsonCheck, body: bytes) -> str:
    """How the value in the body differs; empty when it does not."""
    if len(body) > BODY_LIMIT_BYTES:
        return f"the body is longer than {BODY_LIMIT_BYTES} bytes"
    try:
        found = value_at(json.loads(body), parse_path(check.path))
    except Absent:
        return f"there is no {check.path} in the body"
    except (ValueError, RecursionError):
        return "the body is no JSON"
    if is_same(found, check.equals):
        return ""
    return f"{check.path} is {json.dumps(found)[:80]} instead of {json.dumps(check.equals)}"


KIND = Kind(read=_read, ask=_ask, imports=("httpx",))
