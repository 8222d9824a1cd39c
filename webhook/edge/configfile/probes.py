"""Probes in rule files: the keys that every kind has. What stands under a kind's own key is read by the kind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta

from webhook.core.httpconfig import Server
from webhook.core.probe import Probe, ProbeKind, PromqlProbe
from webhook.located import Node, duration, integer, items, mapping, otherwise
from webhook.probing import find_kind, kind_names

_SETTINGS = {"period", "timeout", "failure_threshold", "success_threshold", "within"}
_AT_LEAST = timedelta(milliseconds=10)


def read_probe(node: Node | None, *, prometheus: Server | None = None) -> Probe | None:
    """A rule's probe, asked before and after its playbook; `prometheus` is asked where it names none itself."""
    if node is None:
        return None
    fields, kind = _read(node, _SETTINGS, prometheus)
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


def read_probes(node: Node | None, *, prometheus: Server | None = None) -> tuple[Probe, ...]:
    """A list of probes that are asked once each: a kind and its timeout."""
    probes = []
    for item in items(node):
        fields, kind = _read(item, {"timeout"}, prometheus)
        timeout = duration(fields.get("timeout"), minimum=_AT_LEAST)
        if kind is not None:
            probes.append(Probe(kind=kind, timeout=timeout) if timeout else Probe(kind=kind))
    return tuple(probes)


def _read(node: Node, settings: set[str], prometheus: Server | None) -> tuple[Mapping[str, Node], ProbeKind | None]:
    before, names = len(node.problems), kind_names()
    fields = mapping(node, known={*names, *settings})
    given = [name for name in fields if name in names]
    if len(given) == 1:
        return fields, _kind(fields[given[0]], prometheus)
    # Not besides the word on a misspelt one.
    if given or len(node.problems) == before:
        node.report(f"give exactly one of {', '.join(names)}")
    return fields, None


def _kind(node: Node, prometheus: Server | None) -> ProbeKind | None:
    try:
        kind = find_kind(node.name).read(node)
    except LookupError as error:
        node.report(str(error))
        return None
    if not isinstance(kind, PromqlProbe) or kind.prometheus is not None:
        return kind
    if prometheus is None:
        node.report("no Prometheus is known; give a url here, or prometheus at the top of alertmend.yml")
    return replace(kind, prometheus=prometheus)


def _threshold(node: Node | None, default: int) -> int:
    return otherwise(integer(node, minimum=1, maximum=1000), default)
