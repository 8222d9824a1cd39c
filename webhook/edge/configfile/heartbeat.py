"""The section `heartbeat` of alertmend.yml: who gets signs of life, and how often."""

from __future__ import annotations

from datetime import timedelta

from webhook.core.heartbeat import Heartbeat
from webhook.edge.configfile.escalations import read_alertmanager_step, read_webhook_step
from webhook.located import Node, duration, mapping, otherwise


def read_heartbeat(node: Node | None, *, has_alertmanagers: bool) -> Heartbeat | None:
    """What the section says; None when there is none."""
    if node is None:
        return None
    fields = mapping(node, known={"interval", "alertmanager", "webhook"})
    if "alertmanager" not in fields and "webhook" not in fields:
        node.report("say who gets it: alertmanager, webhook, or both")
    alertmanager, webhook = fields.get("alertmanager"), fields.get("webhook")
    return Heartbeat(
        interval=otherwise(duration(fields.get("interval"), minimum=timedelta(seconds=1)), Heartbeat().interval),
        alertmanager=read_alertmanager_step(alertmanager, has_alertmanagers=has_alertmanagers)
        if alertmanager is not None
        else None,
        webhook=read_webhook_step(webhook) if webhook is not None else None,
    )
