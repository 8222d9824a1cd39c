"""What an alert's words may become in a probe."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook.core.httpconfig import Tls
from webhook.core.placeholder import Unfit, missing_names
from webhook.core.probe import (
    CommandProbe,
    DnsProbe,
    GrpcProbe,
    HttpProbe,
    JsonCheck,
    Probe,
    ProbeKind,
    PromqlProbe,
    TcpProbe,
    filled_probe,
    unfit_words,
)


def filled(kind: ProbeKind, *, target: str = "web1", **labels: str) -> ProbeKind:
    return filled_probe(Probe(kind=kind), target=target, labels=labels, annotations={}).kind


def test_every_placeholder_of_a_probe_is_asked_for() -> None:
    probe = Probe(kind=CommandProbe(argv=("check", "$labels.a", "$target", "x$annotations.b")))
    assert missing_names([probe, None], labels={}, annotations={}) == ("$labels.a", "$annotations.b")
    assert missing_names(Probe(kind=TcpProbe(address="$target:80")), labels={}, annotations={}) == ()


@given(st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\0")))
def test_a_value_stays_one_argument_of_a_command(value: str) -> None:
    kind = filled(CommandProbe(argv=("check", "--path=$labels.x", "--", "$labels.x", "$target")), x=value)
    assert kind == CommandProbe(argv=("check", f"--path={value}", "--", value, "web1"))


def test_a_value_does_not_become_an_option() -> None:
    with pytest.raises(Unfit, match=r"\$labels\.x would be the option '--exec=reboot'; put -- before it"):
        filled(CommandProbe(argv=("check", "$labels.x")), x="--exec=reboot")


@pytest.mark.parametrize("value", ["a\0b", "\ud800"])
def test_what_no_argument_can_hold_is_refused(value: str) -> None:
    with pytest.raises(Unfit, match=r"^\$labels\.x "):
        filled(CommandProbe(argv=("check", "$labels.x")), x=value)


def test_what_does_not_fit_is_told_in_words_and_what_is_missing_is_not_its_affair() -> None:
    probe = Probe(kind=HttpProbe(url="http://$target:$labels.port/"))
    words = {"target": "web1", "annotations": {}}
    assert unfit_words(probe, labels={"port": "80"}, **words) == ""
    assert unfit_words(probe, labels={"port": "80/../x"}, **words) == "$labels.port '80/../x' is no port"
    assert unfit_words(probe, labels={}, **words) == ""


def test_a_kind_that_is_broken_keeps_nothing_from_being_decided() -> None:
    class Broken(TcpProbe):
        def filled(self, fill: object) -> TcpProbe:
            raise ZeroDivisionError("division by zero")

    words = unfit_words(Probe(kind=Broken(address="a:1")), target="web1", labels={}, annotations={})
    assert words == "this kind of probe is broken: ZeroDivisionError: division by zero"


HOSTILE = st.one_of(
    st.text(max_size=30),
    st.sampled_from(
        ["a.evil.example", ".", "..", "a..b", "a b", "x" * 64, "evil.example:53", "::1", "192.0.2.1", "\n"]
    ),
)


@given(HOSTILE, HOSTILE)
def test_a_name_stays_within_its_domain_and_the_server_its_authors(one: str, two: str) -> None:
    kind = DnsProbe(name="$labels.one.example.org", expect=("$labels.two",), server="$target:53")
    try:
        found = filled(kind, one=one, two=two)
    except Unfit:
        return
    assert isinstance(found, DnsProbe)
    assert found.server == "web1:53"
    assert found.name.endswith(".example.org") and found.name.isascii() and " " not in found.name
    assert [str(ip_address(address)) for address in found.expect] == list(found.expect)


@given(HOSTILE, HOSTILE)
def test_a_grpc_probe_asks_the_target_whatever_the_service_is_called(service: str, port: str) -> None:
    kind = GrpcProbe(address="$target:$labels.port", service="$labels.service", tls=Tls(server_name="$target"))
    try:
        found = filled(kind, service=service, port=port)
    except Unfit:
        return
    assert found == GrpcProbe(address=f"web1:{int(port)}", service=service, tls=Tls(server_name="web1"))


@given(HOSTILE)
def test_an_expected_value_is_compared_as_it_is(value: str) -> None:
    kind = HttpProbe(url="http://$target/", json=JsonCheck(path="$.a", equals="<$labels.x>"))
    if not is_utf8(value):
        with pytest.raises(Unfit):
            filled(kind, x=value)
        return
    assert filled(kind, x=value) == HttpProbe(url="http://web1/", json=JsonCheck(path="$.a", equals=f"<{value}>"))


def is_utf8(text: str) -> bool:
    return not any(0xD800 <= ord(character) <= 0xDFFF for character in text)


def test_an_ipv6_target_gets_its_brackets_where_an_address_stands() -> None:
    v6 = "2001:db8::1"
    assert filled(TcpProbe(address="$target:80"), target=v6) == TcpProbe(address="[2001:db8::1]:80")
    assert filled(GrpcProbe(address="$target:80"), target=v6) == GrpcProbe(address="[2001:db8::1]:80")
    assert filled(HttpProbe(url="http://$target:80/"), target=v6) == HttpProbe(url="http://[2001:db8::1]:80/")
    server = DnsProbe(name="a.test", expect=("$target",), server="$target:53")
    assert filled(server, target=v6) == DnsProbe(name="a.test", expect=(v6,), server="[2001:db8::1]:53")
    expr = PromqlProbe(expr='up{instance="$target:9100"}')
    assert filled(expr, target=v6) == PromqlProbe(expr='up{instance="2001:db8::1:9100"}')
