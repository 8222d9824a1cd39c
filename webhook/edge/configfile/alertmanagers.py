"""The Alertmanagers that are asked what fires, and that failures are escalated to."""

from __future__ import annotations

from webhook.httpconfig import read_server
from webhook.located import Node, items, mapping, otherwise, text
from webhook.world import Alertmanager


def read_alertmanagers(node: Node | None) -> tuple[Alertmanager, ...]:
    """In file order, each URL once."""
    found: dict[str, Alertmanager] = {}
    for item in items(node):
        fields = mapping(item, known={"url", "http_config", "receiver"}, required={"url"})
        server = read_server(fields)
        if server.url in found:
            fields["url"].report("this Alertmanager was given already")
        found[server.url] = Alertmanager(server=server, receiver=otherwise(text(fields.get("receiver")), "alertmend"))
    return tuple(found.values())
