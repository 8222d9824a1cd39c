"""Which host an alert names: what is found, what is refused and with which words."""

from __future__ import annotations

import time
from ipaddress import IPv6Address

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from webhook.core.target import Inventory, Target, find_target

FLEET = Inventory(
    hosts=frozenset({"web1", "web2", "db1.example.com", "10.0.0.1", "2001:db8::1", "0:0:0:0:0:0:0:2", "münchen", "7"}),
    groups={
        "web": frozenset({"web1", "web2"}),
        "db": frozenset({"db1.example.com"}),
        "all": frozenset(),
        "ungrouped": frozenset(),
    },
)


def found(value: str | None, inventory: Inventory = FLEET) -> str | None:
    return find_target(value, label="instance", inventory=inventory).host


def problem(value: str | None, inventory: Inventory = FLEET) -> str:
    return find_target(value, label="instance", inventory=inventory).problem


@pytest.mark.parametrize(
    ("value", "host"),
    [
        ("web1", "web1"),
        ("web1:9100", "web1"),
        ("web1:1", "web1"),
        ("web1:65535", "web1"),
        ("db1.example.com:5432", "db1.example.com"),
        ("10.0.0.1", "10.0.0.1"),
        ("10.0.0.1:9100", "10.0.0.1"),
        ("2001:db8::1", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("[2001:db8::1]:9100", "2001:db8::1"),
        ("2001:DB8:0::1", "2001:db8::1"),
        ("[2001:0db8:0000::0001]:9100", "2001:db8::1"),
        ("::2", "0:0:0:0:0:0:0:2"),
        ("münchen:80", "münchen"),
        ("7", "7"),
    ],
)
def test_a_host_of_the_inventory_is_found_with_and_without_a_port(value: str, host: str) -> None:
    assert find_target(value, label="instance", inventory=FLEET).host == host


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, 'has no label "instance"'),
        ("", 'has an empty label "instance"'),
        ("all", "names many hosts"),
        ("all:9100", "names many hosts"),
        ("ungrouped", "names many hosts"),
        ("web", "is a group"),
        ("web:9100", "is a group"),
        ("*", "is a pattern"),
        ("web*", "is a pattern"),
        ("web?", "is a pattern"),
        ("web1,web2", "is a pattern"),
        ("web1;web2", "is a pattern"),
        ("web1:web2", "pattern of two names"),
        ("web1:!web2", "is a pattern"),
        ("~web.*", "is a pattern"),
        ("!web1", "is a pattern"),
        ("&web", "is a pattern"),
        ("web[0:3]", "is a pattern"),
        ("web[0]", "is a pattern"),
        ("[web1]", "is a pattern"),
        ("[web1]:9100", "is a pattern"),
        ("[10.0.0.1]:80", "is a pattern"),
        ("@file", "is a pattern"),
        ("@/etc/passwd", "slash"),
        ("../../etc/passwd", "slash"),
        ("-i", "begins with a dash"),
        ("--limit=all", "begins with a dash"),
        (" web1", "space"),
        ("web1 ", "space"),
        ("web1\n", "control character"),
        ("web1\x00", "control character"),
        ("web1\x1b[K", "control character"),
        ("web1\u202e", "control character"),
        ("web1\ud800", "control character"),
        ("web1\u00a0", "space"),
        ("http://web1:9100/metrics", "is a URL"),
        ("web1/metrics", "slash"),
        ("web1:", "ends with a colon"),
        ("[::1]:", "ends with a colon"),
        (":9100", "no host before the colon"),
        ("web1:0", "no valid port"),
        ("web1:65536", "no valid port"),
        ("web1:000080", "no valid port"),
        ("web1:" + "9" * 100_000, "no valid port"),
        ("web1:+80", "only a port is understood"),
        ("web1:٨٠", "only a port is understood"),
        ("web1:9100:9100", "several colons"),
        ("2001:db8::1:9100:zz", "several colons"),
        ("[2001:db8::1]:http", "only a port is understood"),
        ("[2001:db8::1]9100", "is a pattern"),
        ("fe80::1%*", "is a pattern"),
        ("a" * 254, "longer than 253"),
        ("a" * 254 + ":80", "longer than 253"),
        ("a" * 253, "not a host in the inventory"),
        ("localhost", "not a host in the inventory"),
        ("127.0.0.1:9100", "not a host in the inventory"),
        ("::1", "not a host in the inventory"),
        ("WEB1", "not a host in the inventory"),
        ("{{ lookup('pipe','id') }}", "space"),
        ("{{lookup('pipe')}}", "not a host in the inventory"),
        ("$(id)", "not a host in the inventory"),
        ("web9", 'did you mean "web2"?'),
        ("db1", "not a host in the inventory"),
        ("db1.exmaple.com:5432", 'did you mean "db1.example.com"?'),
    ],
)
def test_a_value_that_names_no_single_host_is_refused_in_its_own_words(value: str | None, words: str) -> None:
    assert found(value) is None
    assert words in problem(value)


def test_a_refusal_shows_the_value_escaped_and_cut() -> None:
    assert r'"web1\n\x1b[K\u202e\ud800" (label "instance")' in problem("web1\n\x1b[K\u202e\ud800")
    assert r'"a\" is fine, \"b"' in problem('a" is fine, "b')
    shown = problem("\U000e0001" * 10_000)
    assert len(shown) < 300
    assert "…" in shown
    assert shown.isprintable()


def test_a_host_that_shares_its_name_with_a_group_is_refused_as_ambiguous() -> None:
    inventory = Inventory(hosts=frozenset({"web", "all"}), groups={"web": frozenset({"web"})})

    for value in ("web", "web:9100", "all"):
        assert found(value, inventory) is None
        assert "is a host and a group" in problem(value, inventory)


def test_an_address_that_two_hosts_have_is_taken_only_as_it_is_written() -> None:
    inventory = Inventory(hosts=frozenset({"::1", "0:0:0:0:0:0:0:1"}), groups={})

    assert found("::1", inventory) == "::1"
    assert found("[0:0:0:0:0:0:0:1]:22", inventory) == "0:0:0:0:0:0:0:1"
    assert found("0::1", inventory) is None
    assert "is the address of 2 hosts" in problem("0::1", inventory)


def test_the_whole_value_comes_before_the_value_without_its_port() -> None:
    inventory = Inventory(hosts=frozenset({"web1", "web1:9100"}), groups={})

    assert found("web1:9100", inventory) == "web1:9100"
    assert found("web1:9101", inventory) == "web1"


@pytest.mark.parametrize("host", ["*", "web1,web2", "a:b", "~x", "!x", "&x", "@x", "x[0]", "-x", "a b", "all"])
def test_a_host_that_ansible_would_read_as_a_pattern_is_refused_even_when_the_inventory_has_it(host: str) -> None:
    assert found(host, Inventory(hosts=frozenset({host, "web1", "web2", "a", "b"}), groups={})) is None


def test_localhost_is_a_host_when_the_inventory_has_it() -> None:
    assert found("localhost:9100", Inventory(hosts=frozenset({"localhost"}), groups={})) == "localhost"


def test_a_target_is_a_host_or_a_problem_and_never_both_or_neither() -> None:
    for wrong in ({}, {"host": "web1", "problem": "no"}):
        with pytest.raises(ValueError, match="either"):
            Target(**wrong)


names = st.text(st.sampled_from("ab1.-:[]*~!&@,é \n"), min_size=1, max_size=6) | st.sampled_from(
    ["web1", "web1:80", "::1", "[::1]:80", "0:0::1", "fe80::1%eth0", "10.0.0.1", "all"]
)
inventories = st.builds(
    Inventory,
    hosts=st.frozensets(names, max_size=6),
    groups=st.dictionaries(names, st.just(frozenset[str]()), max_size=2),
)


@given(st.data(), inventories)
def test_only_a_host_that_the_value_spells_is_ever_found(data: st.DataObject, inventory: Inventory) -> None:
    host = st.sampled_from(sorted(inventory.hosts)) if inventory.hosts else names
    value = data.draw(names | st.text() | host | host.map("{}:80".format) | host.map("[{}]:80".format))

    target = find_target(value, label="instance", inventory=inventory)

    if target.host is None:
        assert target.problem
        return
    assert target.host in inventory.hosts
    assert target.host not in inventory.groups
    assert target.host not in ("all", "ungrouped")
    spelled = value.removesuffix(":80").removeprefix("[").removesuffix("]")
    assert target.host in (value, spelled) or IPv6Address(target.host) == IPv6Address(spelled)
    assert not set(target.host) & set("*?,;!&~@[] \n")
    assert not target.host.startswith("-")


@given(st.text())
@example("a" * 1_000_000)
@example("[" * 100_000)
@example(":" * 100_000)
@example("\ud800" * 1000)
def test_any_text_is_answered_in_few_printable_words(value: str) -> None:
    target = find_target(value, label="instance", inventory=FLEET)

    assert target.host in FLEET.hosts or (target.problem.isprintable() and len(target.problem) < 400)


def test_a_storm_of_unknown_names_does_not_walk_the_inventory_for_each() -> None:
    """A thousand alerts that name nobody, in a fleet of ten thousand: under a millisecond each."""
    inventory = Inventory(hosts=frozenset(f"web{n:05}.example.com" for n in range(10_000)), groups={})
    find_target("warm", label="instance", inventory=inventory)

    start = time.perf_counter()
    for n in range(1000):
        assert find_target(f"web{n:05}.exmaple.com:9100", label="instance", inventory=inventory).host is None
    spent = time.perf_counter() - start

    # A walk over the inventory for each took over a minute; this has a wide margin for a busy machine.
    assert spent < 10
