"""Addresses and URLs: whatever an alert says, the host that is asked stays the author's."""

from __future__ import annotations

from urllib.parse import parse_qs, unquote

import httpx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from webhook.core.address import check_address, check_url, fill_address, fill_url, split_address
from webhook.core.placeholder import Filling, Unfit

HOSTILE = st.one_of(
    st.text(max_size=50),
    st.text(alphabet="/\\?#@:%.[]&=+;,$ \t\r\n\x00a1", max_size=20),
    st.sampled_from(["", ".", "..", "%2e%2e", "@evil.example", "//evil.example/", "evil.example:80", "$target", "é"]),
)


def filling(target: str = "web1", **labels: str) -> Filling:
    return Filling(target=target, labels=labels, annotations={"note": "a b"})


@pytest.mark.parametrize(
    ("template", "target", "url"),
    [
        ("http://$target:8080/healthz", "web1", "http://web1:8080/healthz"),
        ("http://$target/", "2001:db8::1", "http://[2001:db8::1]/"),
        ("https://$target:8443", "2001:DB8:0::1", "https://[2001:db8::1]:8443"),
        ("http://[$target]:80/", "2001:db8::1", "http://[2001:db8::1]:80/"),
        ("http://[$target]:80/", "web1", "http://web1:80/"),
        ("http://[::1]:80/", "web1", "http://[::1]:80/"),
        ("http://$target.example.org/", "web1", "http://web1.example.org/"),
        ("http://$target:$labels.port/", "web1", "http://web1:81/"),
        (
            "http://lb/of/$target?job=$labels.job&note=$annotations.note",
            "web1",
            "http://lb/of/web1?job=a%2Fb%26c&note=a%20b",
        ),
        ("http://lb/v1.$labels.port/", "web1", "http://lb/v1.81/"),
        ("http://lb/of/$target", "2001:db8::1", "http://lb/of/2001%3Adb8%3A%3A1"),
    ],
)
def test_values_go_into_a_url_where_its_author_put_them(template: str, target: str, url: str) -> None:
    check_url(template)
    assert fill_url(template, filling(target, port="81", job="a/b&c")) == url


@pytest.mark.parametrize(
    "bad",
    [
        "ftp://a/",
        "http:///x",
        "http://$labels.host/",
        "http://a.$labels.domain:80/",
        "http://user@a/",
        "http://user:$labels.password@a/",
        "http://a:80$labels.port/",
        "http://a:0/",
        "http://a/#x",
        "http://a b/",
        "http://a\\b/",
        "http://a/ b",
        "http://[::1",
        "http://[::g]/",
        "http://-a/",
        "http://$target_x/",
        "http://a/%$labels.x",
        "http://a/?b=%2$target",
        "$labels.scheme://a/",
        "$labels.url",
    ],
)
def test_a_url_that_an_alert_could_turn_elsewhere_is_refused(bad: str) -> None:
    with pytest.raises(Unfit):
        check_url(bad)


@given(HOSTILE, HOSTILE)
@example("..", "..")
@example("\ud800", "a")
def test_no_value_changes_what_a_url_asks_whom(one: str, two: str) -> None:

    template = "https://$target:8443/a/$labels.one/b?c=$labels.two&d=1"
    try:
        text = fill_url(template, filling(one=one, two=two))
    except Unfit as error:
        assert str(error)
        return
    url = httpx.URL(text)
    assert (url.scheme, url.host, url.port, url.userinfo, url.fragment) == ("https", "web1", 8443, b"", "")
    path = url.raw_path.decode().partition("?")[0].split("/")
    assert path[:2] == ["", "a"] and path[3:] == ["b"] and unquote(path[2]) == one
    assert parse_qs(url.query.decode(), keep_blank_values=True) == {"c": [two], "d": ["1"]}


@given(HOSTILE)
def test_a_port_is_a_port_or_refused(port: str) -> None:
    try:
        assert fill_url("http://$target:$labels.port/", filling(port=port)) == f"http://web1:{int(port)}/"
    except Unfit as error:
        assert str(error).startswith("$labels.port ")


@given(HOSTILE)
def test_a_target_that_is_no_host_is_refused(target: str) -> None:
    for template in ("http://$target:80/", "http://[$target]:80/", "http://$target.example:80/"):
        try:
            url = fill_url(template, filling(target))
        except Unfit:
            continue
        assert not set(url.removeprefix("http://").removesuffix("/")) & set("/\\?#@% \t\r\n\x00")


@pytest.mark.parametrize("path", ["http://a/$labels.x/b", "http://a/b/$labels.x", "http://a/%2e$labels.x?c"])
def test_a_step_up_in_the_path_is_refused(path: str) -> None:
    with pytest.raises(Unfit, match=r"would be '\.\.?'"):
        fill_url(path, filling(x=".." if "%" not in path else "."))


def test_a_url_that_servers_would_refuse_for_its_length_is_refused_here() -> None:
    with pytest.raises(Unfit, match="longer than 8000"):
        fill_url("http://a/$labels.x", filling(x="a" * 8000))


@pytest.mark.parametrize(
    ("template", "target", "address"),
    [
        ("$target:443", "web1", "web1:443"),
        ("$target:443", "2001:db8::1", "[2001:db8::1]:443"),
        ("[$target]:443", "2001:db8::1", "[2001:db8::1]:443"),
        ("$target:$labels.port", "web1", "web1:81"),
        ("db.example:5432", "web1", "db.example:5432"),
        ("[2001:db8::1]:443", "web1", "[2001:db8::1]:443"),
    ],
)
def test_values_go_into_an_address_where_its_author_put_them(template: str, target: str, address: str) -> None:
    check_address(template)
    filled = fill_address(template, filling(target, port="81"))
    assert filled == address
    host, port = split_address(filled)
    assert ("[" not in host) and 1 <= port <= 65535


@pytest.mark.parametrize(
    "bad",
    [
        "$target",
        "$labels.address",
        "$labels.host:80",
        "a:0",
        "a:99999",
        ":80",
        "a b:80",
        "::1:80",
        "a:$target",
        "a:8$labels.p",
    ],
)
def test_an_address_that_an_alert_could_turn_elsewhere_is_refused(bad: str) -> None:
    with pytest.raises(Unfit):
        check_address(bad)


def test_words_say_what_to_write_instead() -> None:
    with pytest.raises(Unfit, match=r"only \$target may name the host.*'\$target:\$labels\.instance'"):
        check_url("http://$labels.instance/healthz")
