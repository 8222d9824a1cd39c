"""Does a name have an address: asked of a real DNS server on loopback."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import dns.flags
import dns.message
import dns.rcode
import dns.resolver
import dns.rrset
import pytest

from tests.edge.probe.asking import ask
from webhook.core.probe import DnsProbe

ZONE = {
    ("web1.test.", "A"): ["192.0.2.1", "192.0.2.2"],
    ("web1.test.", "AAAA"): ["2001:db8::1"],
    ("four.test.", "A"): ["192.0.2.4"],
    ("alias.test.", "CNAME"): ["four.test."],
    ("mail.test.", "TXT"): ["hello"],
}
Answer = Callable[[dns.message.Message], bytes | None]


def from_zone(query: dns.message.Message) -> bytes:
    question, answer = query.question[0], dns.message.make_response(query)
    names = {name for name, _ in ZONE}
    name, kind = question.name.to_text(), question.rdtype.name
    while records := ZONE.get((name, "CNAME")):
        answer.answer.append(dns.rrset.from_text(name, 60, "IN", "CNAME", *records))
        name = records[0]
    if records := ZONE.get((name, kind)):
        answer.answer.append(dns.rrset.from_text(name, 60, "IN", kind, *records))
    elif name not in names:
        answer.set_rcode(dns.rcode.NXDOMAIN)
    return bytes(answer.to_wire())


def refusing(code: dns.rcode.Rcode) -> Answer:
    def answer(query: dns.message.Message) -> bytes:
        refusal = dns.message.make_response(query)
        refusal.set_rcode(code)
        return bytes(refusal.to_wire())

    return answer


@contextmanager
def answering(answer: Answer, *, host: str = "127.0.0.1") -> Iterator[str]:
    """The address of a server that answers so."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as listening:
        listening.bind((host, 0))

        def serve() -> None:
            while True:
                wire, sender = listening.recvfrom(65535)
                if not wire:
                    return
                if found := answer(dns.message.from_wire(wire)):
                    listening.sendto(found, sender)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        port = int(listening.getsockname()[1])
        yield f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        with socket.socket(family, socket.SOCK_DGRAM) as ends:
            ends.sendto(b"", (host, port))
        thread.join(5)


@pytest.fixture
def server() -> Iterator[str]:
    with answering(from_zone) as address:
        yield address


def test_a_name_with_an_address_is_healthy(server: str) -> None:
    answer = ask(DnsProbe(name="web1.test", server=server))
    assert (answer.healthy, answer.words) == (True, "192.0.2.1, 192.0.2.2, 2001:db8::1")
    assert answer.asked == f"web1.test @{server}"


def test_one_of_the_expected_addresses_is_enough(server: str) -> None:
    assert ask(DnsProbe(name="web1.test", server=server, expect=("192.0.2.9", "192.0.2.2"))).healthy
    assert ask(DnsProbe(name="web1.test.", server=server, expect=("2001:db8::1",))).healthy
    answer = ask(DnsProbe(name="four.test", server=server, expect=("192.0.2.9", "::1")))
    assert (answer.healthy, answer.known, answer.words) == (False, True, "192.0.2.4 instead of 192.0.2.9 or ::1")


def test_an_alias_is_followed(server: str) -> None:
    assert ask(DnsProbe(name="alias.test", server=server)).words == "192.0.2.4"


def test_a_name_that_there_is_not_is_sick(server: str) -> None:
    answer = ask(DnsProbe(name="gone.test", server=server))
    assert (answer.healthy, answer.known, answer.words) == (False, True, "there is no such name")


def test_a_name_without_an_address_is_sick(server: str) -> None:
    answer = ask(DnsProbe(name="mail.test", server=server))
    assert (answer.healthy, answer.known, answer.words) == (False, True, "the name has no address")


def test_no_search_list_looks_for_the_name_elsewhere(
    server: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(dns.resolver.Resolver, "read_resolv_conf", lambda *_: None)
    asked: list[str] = []

    def listen(query: dns.message.Message) -> bytes:
        asked.append(query.question[0].name.to_text())
        return from_zone(query)

    with answering(listen) as address:
        ask(DnsProbe(name="web1", server=address))
    assert set(asked) == {"web1."}


@pytest.mark.parametrize("code", [dns.rcode.SERVFAIL, dns.rcode.REFUSED])
def test_a_server_that_is_named_and_does_not_answer_well_is_sick(code: dns.rcode.Rcode) -> None:
    with answering(refusing(code)) as address:
        answer = ask(DnsProbe(name="web1.test", server=address))
    assert (answer.healthy, answer.known) == (False, True)
    assert dns.rcode.to_text(code) in answer.words


def test_a_server_that_is_silent_is_given_up_on_at_the_timeout() -> None:
    with answering(lambda query: None) as address:
        answer = ask(DnsProbe(name="web1.test", server=address), seconds=0.3)
    assert (answer.healthy, answer.words) == (False, "timeout after 0.3s")
    assert answer.latency_seconds < 1


def test_an_answer_to_another_question_is_none() -> None:
    def other(query: dns.message.Message) -> bytes:
        return from_zone(dns.message.make_query("four.test", query.question[0].rdtype, id=query.id))

    def stale(query: dns.message.Message) -> bytes:
        query.id ^= 1
        return from_zone(query)

    for answer in (other, stale, lambda _: b"nonsense"):
        with answering(answer) as address:
            seen = ask(DnsProbe(name="web1.test", server=address), seconds=0.5)
        assert not seen.healthy
        assert "192.0.2.4" not in seen.words


def test_the_systems_resolvers_are_asked_where_no_server_is_named(monkeypatch: pytest.MonkeyPatch, server: str) -> None:
    host, port = server.split(":")

    def configure(resolver: dns.resolver.Resolver, _: object) -> None:
        resolver.nameservers, resolver.port = [host], int(port)

    monkeypatch.setattr(dns.resolver.Resolver, "read_resolv_conf", configure)
    assert ask(DnsProbe(name="four.test")).words == "192.0.2.4"
    gone = ask(DnsProbe(name="gone.test"))
    assert (gone.healthy, gone.known) == (False, True)


def test_resolvers_that_do_not_answer_say_nothing_about_the_name(monkeypatch: pytest.MonkeyPatch) -> None:
    with answering(refusing(dns.rcode.SERVFAIL)) as address:
        host, port = address.split(":")

        def configure(resolver: dns.resolver.Resolver, _: object) -> None:
            resolver.nameservers, resolver.port = [host], int(port)

        monkeypatch.setattr(dns.resolver.Resolver, "read_resolv_conf", configure)
        answer = ask(DnsProbe(name="web1.test"))
    assert (answer.healthy, answer.known) == (False, False)
    with answering(lambda query: None) as address:
        port = address.split(":")[1]
        answer = ask(DnsProbe(name="web1.test"), seconds=0.3)
    assert (answer.healthy, answer.known, answer.words) == (False, False, "timeout after 0.3s")


def test_a_server_may_be_named_and_may_be_ipv6(server: str) -> None:
    assert ask(DnsProbe(name="four.test", server=server.replace("127.0.0.1", "localhost"))).healthy
    with answering(from_zone, host="::1") as address:
        assert ask(DnsProbe(name="four.test", server=address)).healthy


def test_a_server_whose_name_is_not_known_is_sick() -> None:
    answer = ask(DnsProbe(name="web1.test", server="no-such-host.invalid:53"), seconds=20)
    assert not answer.healthy
    assert answer.words.startswith("DNS: ")
