"""Escalations: whom a rule calls when it has given up."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta

from webhook.core.escalation import ALERTNAME, OWN_LABEL, AlertmanagerStep, Chain, ChainStep, WaitStep, WebhookStep
from webhook.located import Node, duration, existing_file, items, mapping, text

_KINDS = {"alertmanager", "wait", "webhook"}
_LABEL_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
#: What the alert says itself.
_OURS = frozenset(("alertname", "rule", "target", "outcome", OWN_LABEL))


def read_escalations(node: Node | None, *, has_alertmanagers: bool) -> Mapping[str, Chain]:
    """The escalations by their names."""
    chains: dict[str, Chain] = {}
    for item in items(node):
        fields = mapping(item, known={"name", "steps"}, required={"name", "steps"})
        name = text(fields.get("name"))
        if name in chains:
            fields["name"].report(f"the escalation {name!r} was given already")
        steps = tuple(
            step for part in items(fields.get("steps")) if (step := _step(part, has_alertmanagers=has_alertmanagers))
        )
        if "steps" in fields and not items(fields["steps"]):
            fields["steps"].report("give at least one step: alertmanager, webhook or wait")
        if name is not None:
            chains[name] = Chain(name=name, steps=steps)
    return chains


def _step(node: Node, *, has_alertmanagers: bool) -> ChainStep | None:
    fields = mapping(node, known=_KINDS)
    if len(fields) != 1:
        node.report("give exactly one of alertmanager, webhook and wait")
        return None
    (field,) = fields.values()
    if field.name == "wait":
        span = duration(field, minimum=timedelta(seconds=1))
        return WaitStep(wait=span) if span is not None else None
    if field.name == "webhook":
        return read_webhook_step(field)
    return read_alertmanager_step(field, has_alertmanagers=has_alertmanagers)


def read_alertmanager_step(node: Node, *, has_alertmanagers: bool) -> AlertmanagerStep:
    """An alert of our own, with the labels that people add to it."""
    if not has_alertmanagers:
        node.report("there is no Alertmanager to send it to: name one under alertmanagers")
    return AlertmanagerStep(labels=_labels(mapping(node, known={"labels"}).get("labels")))


def read_webhook_step(node: Node) -> WebhookStep | None:
    """A URL that is posted to."""
    fields = mapping(node, known={"url", "url_file"})
    if len(fields) != 1:
        node.report("give exactly one of url and url_file")
        return None
    (field,) = fields.values()
    if field.name == "url_file":
        # Read for each call, so that it can be rotated.
        file = existing_file(field)
        return WebhookStep(url_file=str(file.absolute())) if file is not None else None
    url = text(field)
    if url is not None and not url.startswith(("http://", "https://")):
        field.report("a URL that starts with http:// or https:// is needed")
    return WebhookStep(url=url or "")


def _labels(node: Node | None) -> Mapping[str, str]:
    labels: dict[str, str] = {}
    for name, value in mapping(node).items():
        if not _LABEL_NAME.fullmatch(name):
            value.report("a label's name is made of letters, digits and _")
        elif name in _OURS:
            value.report(f"this label says what {ALERTNAME} is about; it cannot be changed")
        elif (written := text(value)) is not None:
            labels[name] = written
    return labels
