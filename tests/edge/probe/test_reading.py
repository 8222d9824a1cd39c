"""Probes as they are written: read, or refused at their place."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

from tests.edge.probe.authority import Authority
from webhook.core.httpconfig import HttpConfig, Server, Tls, TlsVersion
from webhook.core.probe import DnsProbe, GrpcProbe, HttpProbe, JsonCheck, Probe, PromqlProbe, TcpProbe
from webhook.edge.configfile.probes import read_probe, read_probes
from webhook.errors import Problem
from webhook.located import mapping, parse

DEFAULT = Server(url="http://prometheus:9090")


def read(written: str, *, folder: Path = Path(), prometheus: Server | None = DEFAULT) -> tuple[Probe | None, list[str]]:
    problems: list[Problem] = []
    node = parse(dedent(written).encode(), file=folder / "rules.yml", problems=problems)
    probe = read_probe(mapping(node).get("probe"), prometheus=prometheus)
    return probe, [f"{problem.line}:{problem.column}: {problem.words}" for problem in problems]


def kind_of(written: str, *, folder: Path = Path(), prometheus: Server | None = DEFAULT) -> object:
    probe, problems = read(f"probe: {written}", folder=folder, prometheus=prometheus)
    assert problems == [] and probe is not None
    return probe.kind


def problem_of(written: str, *, folder: Path = Path(), prometheus: Server | None = DEFAULT) -> str:
    [problem] = read(f"probe: {written}", folder=folder, prometheus=prometheus)[1]
    return problem


def test_every_kind_is_read() -> None:
    assert kind_of("{grpc: {address: '$target:9000'}}") == GrpcProbe(address="$target:9000")
    assert kind_of("{grpc: {address: 'a:1', service: '$labels.s'}}") == GrpcProbe(address="a:1", service="$labels.s")
    assert kind_of("{dns: {name: '$target.example.org'}}") == DnsProbe(name="$target.example.org")
    assert kind_of("{dns: {name: a, expect: [192.0.2.1, '$labels.ip'], server: '$target'}}") == DnsProbe(
        name="a", expect=("192.0.2.1", "$labels.ip"), server="$target:53"
    )
    assert kind_of("{dns: {name: a, server: '[2001:db8::53]'}}") == DnsProbe(name="a", server="[2001:db8::53]:53")
    assert kind_of("{dns: {name: a, server: '10.0.0.1:5353'}}") == DnsProbe(name="a", server="10.0.0.1:5353")
    assert kind_of("{http: {url: 'https://a', json: {path: $.status, equals: ok}}}") == HttpProbe(
        url="https://a", json=JsonCheck(path="$.status", equals="ok")
    )
    for written, value in (("true", True), ("3", 3), ("1.5", 1.5), ("null", None), ("'3'", "3"), ("''", "")):
        kind = kind_of(f"{{http: {{url: 'https://a', json: {{path: $, equals: {written}}}}}}}")
        assert isinstance(kind, HttpProbe) and kind.json == JsonCheck(path="$", equals=value)


def test_promql_is_asked_of_the_prometheus_at_the_top_or_of_its_own() -> None:
    assert kind_of("{promql: {expr: 'up == 1'}}") == PromqlProbe(expr="up == 1", prometheus=DEFAULT)
    assert kind_of("{promql: {expr: up, url: 'http://other/prom/'}}", prometheus=None) == PromqlProbe(
        expr="up", prometheus=Server(url="http://other/prom")
    )
    problem = problem_of("{promql: {expr: up}}", prometheus=None)
    assert problem == "1:17: promql: no Prometheus is known; give a url here, or prometheus at the top of alertmend.yml"


def test_credentials_and_tls_are_read_from_beside_the_file(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    cert, key = authority.issue("alertmend.test")
    assert authority.file == str(tmp_path / "ca.pem")
    authority.write("secret", b"hunter2\n")
    tls = "{ca_file: ca.pem, cert_file: alertmend.test.pem, key_file: alertmend.test.key, min_version: TLS13}"
    expected = Tls(ca_file=authority.file, cert_file=cert, key_file=key, min_version=TlsVersion.TLS13)
    assert kind_of(f"{{http: {{url: 'https://a', tls: {tls}}}}}", folder=tmp_path) == HttpProbe(
        url="https://a", tls=expected
    )
    basic = "{basic_auth: {username: alertmend, password_file: secret}, tls_config: {server_name: '$target'}}"
    kind = kind_of(f"{{promql: {{expr: up, url: 'https://p', http_config: {basic}}}}}", folder=tmp_path)
    assert isinstance(kind, PromqlProbe) and kind.prometheus is not None
    assert kind.prometheus.http_config == HttpConfig(
        username="alertmend", password_file=str(tmp_path / "secret"), tls=Tls(server_name="$target")
    )
    bearer = "{authorization: {type: Token, credentials_file: secret}}"
    kind = kind_of(f"{{promql: {{expr: up, url: 'https://p', http_config: {bearer}}}}}", folder=tmp_path)
    assert isinstance(kind, PromqlProbe) and kind.prometheus is not None
    assert kind.prometheus.http_config == HttpConfig(authorization="Token", credentials_file=str(tmp_path / "secret"))
    assert "hunter2" not in repr(kind)


@pytest.mark.parametrize(
    ("written", "problem"),
    [
        ("{grpc: {adress: 'a:1', address: 'a:1'}}", "1:16: grpc: unknown key 'adress'; did you mean 'address'?"),
        ("{grpc: {address: a}}", "1:25: address: an address with a port is needed"),
        ("{grpc: {address: '$labels.h:1'}}", "1:25: address: only $target may name the host"),
        (
            "{grpc: {address: 'a:1', tls: {insecure_skip_verify: true}}}",
            "1:38: tls: unknown key 'insecure_skip_verify'",
        ),
        ("{dns: {name: 'a b'}}", "1:21: name: 'a b' is no DNS name"),
        ("{dns: {name: 192.0.2.1}}", "1:21: name: '192.0.2.1' is no DNS name"),
        ("{dns: {name: a, expect: []}}", "1:32: expect: give at least one address"),
        ("{dns: {name: a, expect: [b]}}", "1:33: expect: 'b' is no IP address"),
        ("{dns: {name: a, server: 'a b'}}", "1:32: server: a host or an address is needed"),
        ("{dns: {name: a, server: '$labels.dns'}}", "1:32: server: a host or an address is needed"),
        ("{promql: {expr: 'up{'}}", "1:24: expr: the bracket { has no partner"),
        ("{promql: {expr: 'up == $labels.x'}}", "1:24: expr: a placeholder may only stand in"),
        ("{promql: {expr: up, http_config: {}}}", "1:41: http_config: it belongs to a url of the probe's own"),
        ("{promql: {expr: up, url: 'http://$target'}}", "1:33: url: the URL is fixed"),
        ("{promql: {expr: up, url: 'http://a?b'}}", "1:33: url: the URL is fixed"),
        ("{promql: {expr: up, url: a}}", "1:33: url: a URL that starts with http"),
        (
            "{promql: {expr: up, url: 'http://a', http_config: {tls_config: {}}}}",
            "1:58: http_config: there is no TLS in",
        ),
        (
            "{promql: {expr: up, url: 'http://a', http_config: {basic_auth: {username: a}}}}",
            "1:71: basic_auth: the key",
        ),
        ("{promql: {expr: up, url: 'http://a', http_config: {authorization: {}}}}", "1:74: authorization: the key"),
        (
            "{promql: {expr: up, url: 'http://a', http_config: {authorization: {credentials_file: gone}}}}",
            "1:93: credentials_file: 'gone' cannot be read",
        ),
        ("{http: {url: 'http://a', status: []}}", "1:41: status: give at least one status, or leave it out"),
        ("{http: {url: 'http://a', method: head, json: {path: $, equals: 1}}}", "1:53: json: the answer to a HEAD has"),
        ("{http: {url: 'http://a', tls: {}}}", "1:38: tls: there is no TLS in a URL that starts with http://"),
        ("{http: {url: 'https://a', tls: {cert_file: rules.yml}}}", "1:39: tls: give both cert_file and key_file"),
        ("{http: {url: 'https://a', tls: {ca_file: gone}}}", "1:49: ca_file: 'gone' cannot be read"),
        (
            "{http: {url: 'https://a', tls: {ca_file: rules.yml}}}",
            "1:39: tls: the TLS files cannot be used: no certificate",
        ),
        (
            "{http: {url: 'https://a', tls: {ca_file: rules.yml, insecure_skip_verify: true}}}",
            "1:49: ca_file: nobody is asked for with insecure_skip_verify",
        ),
        ("{http: {url: 'https://a', tls: {server_name: '$labels.x'}}}", "1:53: server_name: only $target is replaced"),
        ("{http: {url: 'https://a', tls: {min_version: TLS11}}}", "1:53: min_version: 'TLS11' is not known here"),
        ("{http: {url: 'http://a', json: {path: $.a}}}", "1:39: json: the key 'equals' is missing"),
        ("{http: {url: 'http://a', json: {path: $.*, equals: 1}}}", "1:46: path: at character 2: only .name"),
        ("{http: {url: 'http://a', json: {path: $.a, equals: [1]}}}", "1:59: equals: expected a text, a number"),
    ],
)
def test_what_is_wrong_is_told_at_its_place(
    written: str, problem: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("rules.yml").write_text("no certificate\n")
    assert problem_of(written).startswith(problem)


def test_a_key_that_belongs_to_another_certificate_is_told(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    authority.issue("one.test")
    authority.issue("two.test")
    tls = "{cert_file: one.test.pem, key_file: two.test.key}"
    problem = problem_of(f"{{http: {{url: 'https://a', tls: {tls}}}}}", folder=tmp_path)
    assert problem == "1:39: tls: the TLS files cannot be used: key values mismatch"


def test_a_list_of_probes_takes_a_kind_and_a_timeout_each() -> None:
    problems: list[Problem] = []
    written = (
        b"[{tcp: {address: 'a:1'}}, {tcp: {address: 'b:1'}, timeout: 3s}, {tcp: {address: 'c:1'}, period: 1s}, {}]"
    )
    probes = read_probes(parse(written, file=Path("rules.yml"), problems=problems))
    assert [probe.kind for probe in probes] == [TcpProbe(address=f"{host}:1") for host in "abc"]
    assert [probe.timeout.total_seconds() for probe in probes] == [1, 3, 1]
    assert [problem.words.split(";")[0] for problem in problems] == [
        "unknown key 'period'",
        "give exactly one of command, dns, grpc, http, promql, tcp",
    ]


def test_reading_a_probe_imports_nothing_that_only_asking_needs() -> None:
    # The web process reads the rules too, and never asks.
    code = """
import sys
import subprocess
import sys
from pathlib import Path
from webhook.edge.configfile.probes import read_probes
from webhook.located import parse
from webhook.probing import kind_names
problems = []
kinds = ["{url: 'http://a'}", "{address: 'a:1'}", "{name: a}", "{expr: up, url: 'http://a'}", "{argv: [a]}"]
written = ", ".join("{%s: %s}" % pair for pair in zip(["http", "grpc", "dns", "promql", "command"], kinds))
assert len(read_probes(parse(f"[{written}]".encode(), file=Path("rules.yml"), problems=problems))) == 5, problems
print(sorted({"grpc", "dns", "httpx", "google.protobuf"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("[]\n", "")
