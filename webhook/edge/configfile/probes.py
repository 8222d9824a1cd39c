"""Probes in rule files."""

from __future__ import annotations

from datetime import timedelta

from webhook.core.matcher import Matcher, MatcherError, MatchType
from webhook.core.rule import CommandProbe, HttpProbe, Probe, ProbeKind, TcpProbe, placeholders
from webhook.edge.configfile.fields import known
from webhook.located import Node, duration, integer, items, mapping, otherwise, string_list, text

_PROBE_KINDS = {"http", "tcp", "command"}
_PROBE_KINDS_LATER = {"grpc", "promql", "dns"}
_PROBE = {"period", "timeout", "failure_threshold", "success_threshold", "within"} | _PROBE_KINDS


def read_probe(node: Node | None) -> Probe | None:
    if node is None:
        return None
    fields = known(node, _PROBE, later=_PROBE_KINDS_LATER)
    kinds = [name for name in fields if name in _PROBE_KINDS]
    if len(kinds) != 1:
        node.report("give exactly one of http, tcp and command")
        return None
    kind = READERS[kinds[0]](fields[kinds[0]])
    if kind is None:
        return None
    default = Probe(kind=kind)
    at_least = timedelta(milliseconds=10)
    return Probe(
        kind=kind,
        period=otherwise(duration(fields.get("period"), minimum=at_least), default.period),
        timeout=otherwise(duration(fields.get("timeout"), minimum=at_least), default.timeout),
        failure_threshold=_threshold(fields.get("failure_threshold"), default.failure_threshold),
        success_threshold=_threshold(fields.get("success_threshold"), default.success_threshold),
        within=otherwise(duration(fields.get("within")), default.within),
    )


def _threshold(node: Node | None, default: int) -> int:
    return otherwise(integer(node, minimum=1, maximum=1000), default)


def _http(node: Node) -> ProbeKind | None:
    fields = known(node, {"url", "method", "status", "body_regex"}, later={"json", "tls"}, required={"url"})
    url = text(fields.get("url"))
    if url is not None and not url.startswith(("http://", "https://")):
        fields["url"].report("a URL that starts with http:// or https:// is needed")
    status = tuple(
        number
        for item in items(fields.get("status"))
        if (number := integer(item, minimum=100, maximum=599)) is not None
    )
    default = HttpProbe(url="")
    return HttpProbe(
        url=url or "",
        method=otherwise(text(fields.get("method")), default.method).upper(),
        status=status or default.status,
        body_regex=_regex(fields.get("body_regex")),
    )


def _regex(node: Node | None) -> str | None:
    written = text(node)
    if node is None or written is None:
        return None
    try:
        Matcher(name="body", type=MatchType.REGEX, value=written)
    except MatcherError as error:
        node.report(str(error))
    return written


def _tcp(node: Node) -> ProbeKind | None:
    fields = mapping(node, known={"address"}, required={"address"})
    address = text(fields.get("address"))
    if address is not None and ":" not in address:
        fields["address"].report("an address with a port is needed, like '$target:443'")
    return TcpProbe(address=address or "")


def _command(node: Node) -> ProbeKind | None:
    fields = mapping(node, known={"argv"}, required={"argv"})
    argv = otherwise(string_list(fields.get("argv")), ())
    if "argv" in fields and not argv:
        fields["argv"].report("give the program and its arguments as a list")
    if argv and placeholders(argv[0]):
        fields["argv"].report("the program is fixed; nothing is replaced in its name")
    return CommandProbe(argv=argv)


#: By the key that names the kind.
READERS = {"http": _http, "tcp": _tcp, "command": _command}
