"""Does a name have an address, and the one that it should have?"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Final

from webhook.core.address import address_text, check_address, domain_text, split_address
from webhook.core.placeholder import Unfit, placeholders, sample
from webhook.core.probe import DnsProbe
from webhook.located import Node, items, mapping, text
from webhook.probing import Deadline, Kind, Seen

if TYPE_CHECKING:
    import dns.resolver

_PORT: Final = 53


def _read(node: Node) -> DnsProbe | None:
    fields = mapping(node, known={"name", "expect", "server"}, required={"name"})
    expect = items(fields.get("expect"))
    if "expect" in fields and not expect:
        fields["expect"].report("give at least one address, or leave it out")
    return DnsProbe(
        name=_name(fields.get("name")),
        expect=tuple(_address(item) for item in expect),
        server=_server(fields.get("server")),
    )


def _name(node: Node | None) -> str:
    name = text(node)
    if node is None or name is None:
        return ""
    try:
        domain_text(sample(name))
    except Unfit as error:
        node.report(str(error))
    return name


def _address(node: Node) -> str:
    address = text(node) or ""
    try:
        if address and not placeholders(address):
            address_text(address)
    except Unfit as error:
        node.report(str(error))
    return address


def _server(node: Node | None) -> str | None:
    server = text(node)
    if node is None or server is None:
        return None
    for address in (server, f"{server}:{_PORT}"):
        try:
            check_address(address)
            return address
        except Unfit:
            continue
    node.report("a host or an address is needed, with or without a port, like '$target' or '[2001:db8::53]:5353'")
    return None


def _ask(probe: DnsProbe, deadline: Deadline) -> Seen:
    import dns.name
    import dns.resolver

    resolver = _resolver(probe)
    try:
        # From the root: a search list would look for the name elsewhere too.
        answers = resolver.resolve_name(dns.name.from_text(probe.name), lifetime=deadline.seconds_left, search=False)
    except dns.resolver.NXDOMAIN:
        return Seen(healthy=False, words="there is no such name")
    except dns.resolver.NoAnswer:
        return Seen(healthy=False, words="the name has no address")
    found = sorted({address_text(address) for address in answers.addresses()})
    words = ", ".join(found)
    if probe.expect and not set(found) & set(probe.expect):
        return Seen(healthy=False, words=f"{words} instead of {' or '.join(probe.expect)}")
    return Seen(healthy=True, words=words)


def _resolver(probe: DnsProbe) -> dns.resolver.Resolver:
    import dns.resolver

    if probe.server is None:
        return dns.resolver.Resolver()
    host, port = split_address(probe.server)
    resolver = dns.resolver.Resolver(configure=False)
    resolver.nameservers = [str(found[4][0]) for found in socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)]
    resolver.port = port
    return resolver


KIND = Kind(read=_read, ask=_ask, imports=("dns.resolver",))
