"""Probes in rule files: the keys that every kind has. What stands under a kind's own key is read by the kind."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import replace
from datetime import timedelta

from webhook.core.httpconfig import Server
from webhook.core.probe import Probe, ProbeKind, PromqlProbe
from webhook.located import Node, duration, integer, items, mapping, otherwise
from webhook.probing import Kind, find_kind, kind_names

_SETTINGS = {"period", "timeout", "failure_threshold", "success_threshold", "within"}
_SETTINGS_ONCE = frozenset(["timeout"])
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
        fields, kind = _read(item, _SETTINGS_ONCE, prometheus)
        timeout = duration(fields.get("timeout"), minimum=_AT_LEAST)
        if kind is not None:
            probes.append(Probe(kind=kind, timeout=timeout) if timeout else Probe(kind=kind))
    return tuple(probes)


def _read(node: Node, settings: Set[str], prometheus: Server | None) -> tuple[Mapping[str, Node], ProbeKind | None]:
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
        reader = find_kind(node.name)
    except LookupError as error:
        node.report(str(error))
        return None
    kind = _read_kind(reader, node)
    if not isinstance(kind, PromqlProbe) or kind.prometheus is not None:
        return kind
    if prometheus is None:
        node.report("no Prometheus is known; give a url here, or prometheus at the top of alertmend.yml")
    return replace(kind, prometheus=prometheus)


def _read_kind(reader: Kind, node: Node) -> ProbeKind | None:
    try:
        kind = reader.read(node)
    except Exception as error:
        # A package that is broken is a problem of this rule, and not of the whole configuration.
        node.report(f"its package is broken: {type(error).__name__}: {error}")
        return None
    if kind is not None and kind.key != node.name:
        node.report(f"its package is broken: it says that its key is {kind.key!r}")
    return kind


def _threshold(node: Node | None, default: int) -> int:
    return otherwise(integer(node, minimum=1, maximum=1000), default)
