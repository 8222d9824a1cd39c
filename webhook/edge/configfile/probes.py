"""Probes in rule files: the keys that every kind has. What stands under a kind's own key is read by the kind."""

from __future__ import annotations

from datetime import timedelta

from webhook.core.probe import Probe, ProbeKind
from webhook.edge.configfile.fields import known
from webhook.located import Node, duration, integer, items, otherwise
from webhook.probing import find_kind, kind_names

_SETTINGS = {"period", "timeout", "failure_threshold", "success_threshold", "within"}
_LATER = {"grpc", "promql", "dns"}
_AT_LEAST = timedelta(milliseconds=10)


def read_probe(node: Node | None) -> Probe | None:
    """A rule's probe, asked before and after its playbook."""
    if node is None:
        return None
    fields = known(node, {*kind_names(), *_SETTINGS}, later=_LATER)
    kind = _kind(node, fields)
    if kind is None:
        return None
    default = Probe(kind=kind)
    return Probe(
        kind=kind,
        period=otherwise(duration(fields.get("period"), minimum=_AT_LEAST), default.period),
        timeout=otherwise(duration(fields.get("timeout"), minimum=_AT_LEAST), default.timeout),
        failure_threshold=_threshold(fields.get("failure_threshold"), default.failure_threshold),
        success_threshold=_threshold(fields.get("success_threshold"), default.success_threshold),
        within=otherwise(duration(fields.get("within")), default.within),
    )


def read_probes(node: Node | None) -> tuple[Probe, ...]:
    """A list of probes that are asked once each: a kind and its timeout."""
    return tuple(probe for item in items(node) if (probe := _read_once(item)) is not None)


def _read_once(node: Node) -> Probe | None:
    fields = known(node, {*kind_names(), "timeout"}, later=_LATER)
    kind = _kind(node, fields)
    if kind is None:
        return None
    timeout = otherwise(duration(fields.get("timeout"), minimum=_AT_LEAST), Probe(kind=kind).timeout)
    return Probe(kind=kind, timeout=timeout)


def _kind(node: Node, fields: dict[str, Node]) -> ProbeKind | None:
    given = [name for name in fields if name in kind_names()]
    if len(given) != 1:
        node.report(f"give exactly one of {', '.join(kind_names())}")
        return None
    (name,) = given
    try:
        return find_kind(name).read(fields[name])
    except LookupError as error:
        fields[name].report(str(error))
        return None


def _threshold(node: Node | None, default: int) -> int:
    return otherwise(integer(node, minimum=1, maximum=1000), default)
