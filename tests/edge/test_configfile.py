"""alertmend.yml and its rule files: what they say, and every problem in all of them with its place."""

from __future__ import annotations

import string
import subprocess
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from webhook.core.escalation import AlertmanagerStep, WaitStep, WebhookStep
from webhook.core.httpconfig import HttpConfig
from webhook.core.probe import CommandProbe, HttpProbe, TcpProbe
from webhook.core.rule import ApprovalPolicy, Breaker, GiveUp, Guards, Limits, MaxTargets, Mode, RateLimit
from webhook.core.schedule import Span, TimeInterval
from webhook.edge.configfile import Config, inventory_path, read_config
from webhook.edge.configfile.checkpoints import Checkpoints
from webhook.errors import ConfigError

TOP = "inventory: inventory.yml\nrule_files: [rules/*.yml]\n"
RULE = """rules:
  - name: restart-web
    match: ['alertname="Down"']
    playbook: restart.yml
"""
FULL_TOP = """mode: observe
inventory: inventory.yml
playbooks: playbooks
rule_files: [rules/*.yml]
redis: {url_file: redis-url}
database: {url: 'postgresql://alertmend@db/alertmend'}
receive: {max_body_bytes: 1048576, max_queue_age: 30m}
limits: {concurrency: 2, rate_limit: 5/10m, target_cooldown: 90s}
time_intervals:
  - name: freeze
    time_intervals: [{weekdays: [friday]}]
"""
FULL_RULE = """rules:
  - name: restart-web
    match: ['alertname="Down"', 'job=~"web|api"']
    target: host
    mode: observe
    probe:
      http: {url: 'http://$target:8080/healthz', method: post, status: [200, 204], body_regex: 'o.'}
      period: 5s
      timeout: 500ms
      failure_threshold: 1
      success_threshold: 4
      within: 2m
    resolve_within: 10m
    steps:
      - playbook: restart.yml
        vars: {service: nginx, port: '$labels.port', deep: {list: [1, true, null, 1.5]}}
        timeout: 3m
      - playbook: sub/reboot.yml
    guards: {cooldown: 10m, rate_limit: 3/6h, rule_rate_limit: 20/1h, concurrency: 2}
  - name: tcp
    match: ['alertname="Port"']
    probe: {tcp: {address: '$target:443'}}
    playbook: restart.yml
  - name: command
    match: ['alertname="Command"']
    probe: {command: {argv: [/bin/check, '$target']}}
    playbook: restart.yml
"""


class Site:
    """A folder with a configuration in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("rules", "playbooks/sub"):
            (folder / name).mkdir(parents=True)
        self.write("inventory.yml", "all: {hosts: {web1: }}\n")
        self.write("playbooks/restart.yml", "[]\n")
        self.write("playbooks/sub/reboot.yml", "[]\n")
        self.write("redis-url", "redis://redis:6379/1\n")
        self.write("alertmend.yml", TOP)
        self.write("rules/web.yml", RULE)

    def write(self, name: str, content: str | bytes) -> Path:
        path = self.folder / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass"))
        return path

    def read(self, *, top: str = TOP, rule: str = RULE) -> Config:
        self.write("rules/web.yml", rule)
        return read_config(self.write("alertmend.yml", top))

    def problems(self, *, top: str = TOP, rule: str = RULE) -> list[str]:
        """Each as `file:line:column: words`."""
        with pytest.raises(ConfigError) as raised:
            self.read(top=top, rule=rule)
        return [str(problem).replace(f"{self.folder}/", "") for problem in raised.value.problems]


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def test_everything_that_can_be_said_is_read(site: Site) -> None:
    config = site.read(top=FULL_TOP, rule=FULL_RULE)
    assert config.policy.ceiling is Mode.OBSERVE
    assert config.policy.max_queue_age == timedelta(minutes=30)
    assert config.policy.limits == Limits(
        concurrency=2,
        rate_limit=RateLimit(count=5, per=timedelta(minutes=10)),
        target_cooldown=timedelta(seconds=90),
    )
    assert (config.redis_url, config.database_url) == ("redis://redis:6379/1", "postgresql://alertmend@db/alertmend")
    assert config.max_body_bytes == 1048576
    assert config.policy.time_intervals["freeze"].intervals == (TimeInterval(weekdays=(Span(5, 5),)),)
    assert (config.inventory, config.playbooks) == (site.folder / "inventory.yml", site.folder / "playbooks")
    web, tcp, command = config.rules
    assert [str(matcher) for matcher in web.match] == ['alertname="Down"', 'job=~"web|api"']
    assert (web.name, web.target, web.mode, web.resolve_within) == (
        "restart-web",
        "host",
        Mode.OBSERVE,
        timedelta(minutes=10),
    )
    assert web.probe is not None
    assert web.probe.kind == HttpProbe(
        url="http://$target:8080/healthz", method="POST", status=(200, 204), body_regex="o."
    )
    assert (web.probe.period, web.probe.timeout, web.probe.within) == (
        timedelta(seconds=5),
        timedelta(milliseconds=500),
        timedelta(minutes=2),
    )
    assert (web.probe.failure_threshold, web.probe.success_threshold) == (1, 4)
    assert [step.playbook for step in web.steps] == ["restart.yml", "sub/reboot.yml"]
    assert web.steps[0].vars == {"service": "nginx", "port": "$labels.port", "deep": {"list": [1, True, None, 1.5]}}
    assert [step.timeout for step in web.steps] == [timedelta(minutes=3), timedelta(minutes=5)]
    assert web.guards == Guards(
        cooldown=timedelta(minutes=10),
        rate_limit=RateLimit(count=3, per=timedelta(hours=6)),
        rule_rate_limit=RateLimit(count=20, per=timedelta(hours=1)),
        concurrency=2,
    )
    assert tcp.probe is not None and tcp.probe.kind == TcpProbe(address="$target:443")
    assert command.probe is not None and command.probe.kind == CommandProbe(argv=("/bin/check", "$target"))


def test_two_keys_are_enough(site: Site) -> None:
    config = site.read()
    assert (config.redis_url, config.database_url, config.policy.ceiling) == (None, None, Mode.AUTO)
    assert config.policy.limits == Limits() and config.max_body_bytes == 4 * 1024 * 1024
    assert config.rules[0].target == "instance" and config.rules[0].probe is None
    assert config.rules[0].guards == Guards()


def test_rules_keep_the_order_of_their_files(site: Site) -> None:
    for name in ("b", "a", "c"):
        site.write(f"rules/{name}.yml", RULE.replace("restart-web", name))
    top = "inventory: inventory.yml\nrule_files: [rules/c.yml, 'rules/[ab].yml']\n"
    assert [rule.name for rule in site.read(top=top).rules] == ["c", "a", "b"]


def test_paths_are_relative_to_the_file_and_not_to_where_one_stands(
    site: Site, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    monkeypatch.chdir(site.folder)
    assert read_config(Path("alertmend.yml")).inventory == site.folder / "inventory.yml"
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    assert len(read_config(site.folder / "alertmend.yml").rules) == 1


def test_a_folder_may_have_any_name(tmp_path: Path) -> None:
    """In `[x]` and `*` a shell would see patterns."""
    site = Site(tmp_path / "a [x] * é")
    assert len(site.read().rules) == 1


# ---------------------------------------------------------------------------------------------------------------------
# Problems


def test_every_problem_in_every_file_is_told_at_once_with_its_place(site: Site) -> None:
    top = """mode: automatic
inventory: gone.yml
rule_files: [rules/*.yml, more/*.yml]
limits: {concurrency: 0, rate_limit: 3 per hour}
inventroy: x
"""
    rule = """rules:
  - name: bad name
    match: ['alertname="Down"', '=job']
    playbook: gone.yml
    guards: {cooldwon: 1m}
  - name: second
    playbook: restart.yml
"""
    assert [problem.split(": ")[0] for problem in site.problems(top=top, rule=rule)] == [
        "alertmend.yml:1:7",
        "alertmend.yml:2:12",
        "alertmend.yml:3:27",
        "alertmend.yml:4:23",
        "alertmend.yml:4:38",
        "alertmend.yml:5:1",
        "rules/web.yml:2:11",
        "rules/web.yml:3:33",
        "rules/web.yml:4:15",
        "rules/web.yml:5:14",
        "rules/web.yml:6:5",
    ]


@pytest.mark.parametrize(
    ("top", "problem"),
    [
        (TOP + "inventroy: x\n", "alertmend.yml:3:1: unknown key 'inventroy'; did you mean 'inventory'?"),
        (
            TOP + "limits: {concurency: 1}\n",
            "alertmend.yml:3:10: limits: unknown key 'concurency'; did you mean 'concurrency'?",
        ),
        (TOP + "mode: auto\nmode: observe\n", "alertmend.yml:4:1: the key 'mode' was given already on line 3"),
        (TOP + "mode: no\n", "alertmend.yml:3:7: mode: no, which YAML reads as false; write it in quotes: 'no'"),
        (TOP + "redis: {}\n", "alertmend.yml:3:8: redis: give exactly one of url and url_file"),
        (TOP + "redis: {url: a, url_file: b}\n", "alertmend.yml:3:8: redis: give exactly one of url and url_file"),
        (TOP + "redis: {url_file: gone}\n", "alertmend.yml:3:19: url_file: "),
        (TOP + "redis: {url: 'http://redis'}\n", "alertmend.yml:3:14: url: "),
        (TOP + "redis: {url: redis}\n", "alertmend.yml:3:14: url: "),
        (TOP + "database: {url: 'mysql://db'}\n", "alertmend.yml:3:17: url: "),
        (TOP + "receive: {max_body_bytes: 4M}\n", "alertmend.yml:3:27: max_body_bytes: expected a whole number"),
        (TOP + "receive: {max_queue_age: 1:30}\n", "alertmend.yml:3:26: max_queue_age: "),
        (TOP + "receive: {max_queue_age: 0s}\n", "alertmend.yml:3:26: max_queue_age: 0s is too short"),
        (TOP + "limits: {rate_limit: 20000/1h}\n", "alertmend.yml:3:22: rate_limit: at most 10000 can be counted"),
        (TOP + "playbooks: gone\n", "alertmend.yml:3:12: playbooks: there is no folder"),
        ("rule_files: [rules/*.yml]\n", "alertmend.yml:1:1: the key 'inventory' is missing"),
        ("inventory: inventory.yml\n", "alertmend.yml:1:1: the key 'rule_files' is missing"),
        ("- x\n", "alertmend.yml:1:1: expected a mapping"),
        ("", "alertmend.yml:0:0: it is empty"),
        (TOP + "mode: [\n", "alertmend.yml:4:1: this is not YAML"),
    ],
)
def test_a_problem_in_the_configuration_is_told_with_its_place(site: Site, top: str, problem: str) -> None:
    assert site.problems(top=top)[0].startswith(problem)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("mode: no", "5:11: mode: no, which YAML reads as false"),
        ("mode: autoo", "5:11: mode: 'autoo' is not known here; did you mean 'auto'?"),
        ("target: no", "5:13: target: no, which YAML reads as false"),
        ("target: 1.5", "5:13: target: 1.5, which YAML reads as the number 1.5"),
        ("timout: 1m", "5:5: rules: unknown key 'timout'; did you mean 'timeout'?"),
        ("timeout: 90", "5:14: timeout: '90' is not a duration: the unit is missing"),
        ("timeout: 1:30", "5:14: timeout: '1:30' is not a duration"),
        ("timeout: 0s", "5:14: timeout: 0s is too short"),
        ("for: 5", "5:10: for: '5' is not a duration"),
        ("require: [{tcp: {address: 'a:1'}, within: 1m}]", "5:39: require: unknown key 'within'"),
        ("rollback: undo.yml", "5:15: rollback: there is no playbook 'undo.yml'"),
        ("guards: {breaker: {}}", "5:23: breaker: the key '"),
        ("guards: {breaker: {failures: 0, window: 1h, open_for: 1h}}", "5:34: failures: 0 is too small"),
        ("guards: {lock: cluster}", "5:20: lock:"),
        ("guards: {max_targets: 0}", "5:27: max_targets: '0' is neither a number of hosts from 1 nor a share"),
        ("guards: {max_targets: 101%}", "5:27: max_targets: '101%' is neither a number of hosts from 1 nor a share"),
        ("guards: {max_targets: -1}", "5:27: max_targets: '-1' is neither"),
        (
            "guards: {mute_time_intervals: [freze]}",
            "5:36: mute_time_intervals: there is no time interval 'freze'; none is",
        ),
        ("approval: {count: 0}", "5:23: count: 0 is too small"),
        ("give_up: {}", "5:14: give_up: give a playbook, an escalation (escalate), or both"),
        ("give_up: {escalate: oncall}", "5:25: escalate: there is no escalation 'oncall'"),
        ("give_up: {playbook: nothing.yml}", "5:25: playbook: there is no playbook 'nothing.yml'"),
        ("guards: {rate_limit: 3}", "5:26: rate_limit: '3' is not a rate"),
        ("guards: {rate_limit: 0/1h}", "5:26: rate_limit: '0/1h' is not a rate"),
        ("guards: {concurrency: 0}", "5:27: concurrency: 0 is too small"),
        ("resolve_within: 0s", "5:21: resolve_within: 0s is too short"),
        ("steps: [{playbook: restart.yml}]", "5:12: steps: give either steps, or playbook"),
        ("vars: {ansible_connection: local}", "5:32: ansible_connection: this variable decides how"),
        ("vars: {ansible_host: evil}", "5:26: ansible_host: this variable decides"),
        ("vars: {hostvars: {}}", "5:22: hostvars: this variable decides"),
        ("vars: {inventory_hostname: x}", "5:32: inventory_hostname: this variable decides"),
        ("vars: {inventory_hostname_short: x}", "5:38: inventory_hostname_short: this variable decides"),
        ("vars: {alertmend: x}", "5:23: alertmend: this variable decides"),
        ("vars: {environment: {A: b}}", "5:25: environment: this variable decides"),
        ("vars: {a-b: x}", "5:17: a-b: a variable's name is made of"),
        ("vars: {'{{ x }}': x}", "5:23: {{ x }}: a variable's name is made of"),
        ("vars: {x: 2026-01-01}", "5:15: x: 2026-01-01, which YAML reads as a date"),
        ("vars: {x: !!python/name:os.system y}", "5:15: "),
        ("vars: [x]", "5:11: vars: expected a mapping"),
        ("probe: {}", "5:12: probe: give exactly one of command, dns, grpc, http, promql, tcp"),
        ("probe: {tcp: {address: 'a:1'}, http: {url: 'http://a'}}", "5:12: probe: give exactly one of"),
        ("probe: {htp: {url: 'http://a'}}", "5:13: probe: unknown key 'htp'; did you mean 'http'?"),
        ("probe: {tcp: {address: a}}", "5:28: address: an address with a port is needed"),
        ("probe: {http: {url: 'file:///etc/passwd'}}", "5:25: url: a URL that starts with http"),
        ("probe: {http: {url: 'http://a', status: [99]}}", "5:46: status: 99 is too small"),
        ("probe: {http: {url: 'http://a', body_regex: '('}}", "5:49: body_regex: "),
        ("probe: {command: {argv: []}}", "5:29: argv: give the program and its arguments"),
        ("probe: {command: {argv: 'rm -rf /'}}", "5:29: argv: expected a list"),
        ("probe: {command: {argv: ['$labels.x']}}", "5:29: argv: the program is fixed"),
        ("probe: {tcp: {address: 'a:1', adress: x}}", "5:35: tcp: unknown key 'adress'; did you mean 'address'?"),
        ("probe: {tcp: {address: '$labels.host:1'}}", "5:28: address: only $target may name the host"),
        ("probe: {tcp: {address: '$target:70000'}}", "5:28: address: '70000' is no port"),
        ("probe: {http: {url: 'http://$labels.instance/'}}", "5:25: url: only $target may name the host"),
        ("probe: {http: {url: 'http://u:p@a/'}}", "5:25: url: a rule file is no place for credentials"),
        ("probe: {http: {url: 'http://a/#b'}}", "5:25: url: a URL that starts with http"),
        ("probe: {http: {url: 'http://a', method: 'G T'}}", "5:45: method: a method like GET"),
        ("probe: {http: {url: 'http://a', body_regex: '$target'}}", "5:49: body_regex: a pattern is yours alone"),
        ("probe: {tcp: {address: 'a:1'}, period: 1ms}", "5:44: period: 1ms is too short"),
    ],
)
def test_a_problem_in_a_rule_is_told_with_its_place(site: Site, line: str, problem: str) -> None:
    found = site.problems(rule=f"{RULE}    {line}\n")[0]
    assert found.startswith(f"rules/web.yml:{problem}")


def test_a_rule_says_what_it_takes(site: Site) -> None:
    missing = "rules:\n  - name: x\n    playbook: restart.yml\n"
    assert site.problems(rule=missing) == ["rules/web.yml:2:5: rules: the key 'match' is missing"]
    assert "give at least one matcher" in site.problems(rule=missing + "    match: []\n")[0]


def test_a_rule_says_what_it_does(site: Site) -> None:
    rule = "rules:\n  - name: x\n    match: ['a=b']\n"
    assert site.problems(rule=rule)[0].startswith("rules/web.yml:2:5: rules: the key 'playbook' is missing")
    assert "give at least one step" in site.problems(rule=rule + "    steps: []\n")[0]


@pytest.mark.parametrize(
    ("matcher", "place"),
    [("=job", 1), ('job=~"("', 6), ('"job', 1), ('job="a", x="b"', 1), ("job", 4), ('{job="a"', 9)],
)
def test_a_matcher_is_refused_with_the_character_where_it_goes_wrong(site: Site, matcher: str, place: int) -> None:
    (found,) = site.problems(rule=RULE.replace("'alertname=\"Down\"'", f"'{matcher}'"))
    assert found.startswith("rules/web.yml:3:13: match: ") and f"at character {place}: " in found


def test_two_rules_of_one_name_are_refused_across_files(site: Site) -> None:
    site.write("rules/zzz.yml", "# a comment\n" + RULE)
    assert site.problems() == ["rules/zzz.yml:3:11: name: the rule 'restart-web' was given already in rules/web.yml:2"]


@pytest.mark.parametrize("name", ["", "a b", "a/b", "a|b", "ä", "-a", "a" * 65, "a\n", "$(id)"])
def test_a_rules_name_goes_anywhere_and_is_plain_therefore(site: Site, name: str) -> None:
    assert ":2:11: name: " in site.problems(rule=RULE.replace("restart-web", f'"{name!s}"'.replace("\n", "\\n")))[0]


def escape_by_dots(site: Site) -> str:
    site.write("outside.yml", "[]\n")
    return "../outside.yml"


def escape_by_absolute_path(site: Site) -> str:
    return str(site.write("outside.yml", "[]\n"))


def escape_by_link(site: Site) -> str:
    (site.folder / "playbooks/link.yml").symlink_to(site.write("outside.yml", "[]\n"))
    return "link.yml"


def escape_by_linked_folder(site: Site) -> str:
    (site.folder / "other").mkdir()
    site.write("other/outside.yml", "[]\n")
    (site.folder / "playbooks/linked").symlink_to(site.folder / "other")
    return "linked/outside.yml"


def escape_to_a_folder_that_begins_alike(site: Site) -> str:
    (site.folder / "playbooks-old").mkdir()
    site.write("playbooks-old/outside.yml", "[]\n")
    return "../playbooks-old/outside.yml"


@pytest.mark.parametrize(
    "escape",
    [
        escape_by_dots,
        escape_by_absolute_path,
        escape_by_link,
        escape_by_linked_folder,
        escape_to_a_folder_that_begins_alike,
    ],
)
def test_a_playbook_outside_of_the_folder_cannot_be_run(site: Site, escape: Callable[[Site], str]) -> None:
    (found,) = site.problems(rule=RULE.replace("restart.yml", escape(site)))
    assert found.startswith("rules/web.yml:4:15: playbook: only playbooks below ")


@pytest.mark.parametrize("name", ["sub", ".", "gone.yml", "sub/../gone.yml", "x" * 300, "x/" * 3000, "restart.yml/x"])
def test_a_playbook_that_is_not_there_is_refused(site: Site, name: str) -> None:
    (found,) = site.problems(rule=RULE.replace("restart.yml", name))
    assert found.startswith("rules/web.yml:4:15: playbook: ")


def test_a_playbooks_name_takes_no_placeholder(site: Site) -> None:
    site.write("playbooks/$labels.x", "[]\n")
    assert "nothing is replaced in it" in site.problems(rule=RULE.replace("restart.yml", "'$labels.x'"))[0]


def test_a_link_in_a_circle_is_a_problem_and_no_crash(site: Site) -> None:
    (site.folder / "playbooks/circle.yml").symlink_to("circle.yml")
    assert ":4:15: playbook: " in site.problems(rule=RULE.replace("restart.yml", "circle.yml"))[0]
    (site.folder / "circle").symlink_to("circle")
    assert ":1:12: inventory: " in site.problems(top=TOP.replace("inventory.yml", "circle"))[0]
    assert ":3:12: playbooks: " in site.problems(top=TOP + "playbooks: circle\n")[0]


@pytest.mark.parametrize("value", ["x" * 300, '"a\\0b"', '"\\uD800"'])
@pytest.mark.parametrize(
    "line", ["inventory: V", "playbooks: V", "redis: {url_file: V}", "rule_files: [V]"], ids=lambda line: line[:9]
)
def test_a_path_that_no_file_can_have_is_a_problem_and_no_crash(site: Site, line: str, value: str) -> None:
    top = "".join(kept + "\n" for kept in TOP.splitlines() if kept.split(":")[0] != line.split(":")[0])
    assert site.problems(top=top + line.replace("V", value) + "\n")


def test_a_secret_that_is_no_text_or_is_empty_is_refused(site: Site) -> None:
    for content in (b"\xff\xfe", b"", b" \n", b"redis://a\nredis://b\n"):
        site.write("redis-url", content)
        (found,) = site.problems(top=TOP + "redis: {url_file: redis-url}\n")
        assert found.startswith("alertmend.yml:3:19: url_file: ")


def test_what_a_secret_file_holds_is_not_repeated(site: Site) -> None:
    for secret in ("hunter2", "sentinel://:hunter2@one:26379"):
        site.write("redis-url", secret)
        (found,) = site.problems(top=TOP + "redis: {url_file: redis-url}\n")
        assert found.startswith("alertmend.yml:3:19: url_file: ") and "hunter2" not in found


def test_a_configuration_that_is_not_there_is_a_problem(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as raised:
        read_config(tmp_path / "gone.yml")
    assert str(raised.value).startswith(f"{tmp_path}/gone.yml:0:0: cannot be read")


def test_a_rule_file_that_cannot_be_read_is_a_problem_beside_the_others(site: Site) -> None:
    (site.folder / "rules/folder.yml").mkdir()
    site.write("rules/broken.yml", "rules: [\n")
    site.write("rules/latin.yml", b"rules: # \xe9\n")
    assert [problem.split(": ")[0] for problem in site.problems()] == [
        "rules/broken.yml:2:1",
        "rules/folder.yml:0:0",
        "rules/latin.yml:1:10",
    ]


def test_where_the_inventory_lies_is_known_even_when_the_rest_is_wrong(site: Site) -> None:
    assert inventory_path(site.write("alertmend.yml", TOP + "wrong: 1\n")) == site.folder / "inventory.yml"
    assert inventory_path(site.write("alertmend.yml", "inventory: gone\n")) is None
    assert inventory_path(site.write("alertmend.yml", "[")) is None
    assert inventory_path(site.write("alertmend.yml", f"inventory: {'x' * 300}\n")) is None


# ---------------------------------------------------------------------------------------------------------------------
# Whatever stands there

MARKS = [": ", "- ", "[", "]", "{", "}", "'", '"', "&a ", "*a", "<<: ", "!!int ", "|\n", "# ", "% ", "--- ", "...", "~"]
VALUES = ["null", "no", "0", "-1", "1e400", ".nan", "0x1", "0o7", "1:30", "2026-01-01", "9" * 5000, "x" * 300, "é"]
HOSTILE = ["", " ", "\n", "\t", "\0", "\ud800", "\ufeff", '"\\uD800"', "$labels.x", "..", "/", "*", "**", "~root"]
PIECES = st.sampled_from([*MARKS, *VALUES, *HOSTILE])


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_whatever_is_written_there_it_is_read_or_refused_with_places(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    site = Site(tmp_path_factory.mktemp("site"))
    texts = {"top": FULL_TOP, "rule": FULL_RULE}
    for _ in range(data.draw(st.integers(1, 3))):
        name = data.draw(st.sampled_from(["top", "rule", "rule"]))
        start = data.draw(st.integers(0, len(texts[name])))
        end = min(len(texts[name]), start + data.draw(st.integers(0, 12)))
        piece = data.draw(PIECES | st.text(string.printable, max_size=5))
        texts[name] = texts[name][:start] + piece + texts[name][end:]
    try:
        config = site.read(**texts)
    except ConfigError as error:
        assert error.problems
        assert all(problem.line >= 0 and problem.words for problem in error.problems)
    else:
        assert config.rules is not None


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(content=st.binary(max_size=60))
@example(content=b"&a [*a]")
@example(content=b"rules: &a [*a, *a]")
def test_any_bytes_are_read_or_refused(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    site = Site(tmp_path_factory.mktemp("site"))
    site.write("rules/web.yml", content)
    with pytest.raises(ConfigError):
        read_config(site.folder / "alertmend.yml")
    with pytest.raises(ConfigError):
        read_config(site.write("alertmend.yml", content))


# ---------------------------------------------------------------------------------------------------------------------
# Alertmanagers


def test_alertmanagers_are_read_with_their_credentials(site: Site) -> None:
    site.write("am-pass", "s3cret")
    config = site.read(
        top=TOP
        + """reconcile_interval: 30s
alertmanagers:
  - url: https://am1/prefix/
    http_config: {basic_auth: {username: alertmend, password_file: am-pass}, follow_redirects: false}
  - {url: 'http://am2:9093', receiver: ops.heal}
"""
    )
    first, second = config.alertmanagers
    assert (first.server.url, first.receiver) == ("https://am1/prefix", "alertmend")
    http = HttpConfig(username="alertmend", password_file=str(site.folder / "am-pass"), follow_redirects=False)
    assert first.server.http_config == http
    assert (second.server.url, second.receiver) == ("http://am2:9093", "ops.heal")
    assert config.reconcile_interval == timedelta(seconds=30)
    assert site.read().alertmanagers == () and site.read().reconcile_interval == timedelta(minutes=1)


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("{}", "the key 'url' is missing"),
        ("{url: am}", "http://"),
        ("{url: 'http://am?x=1'}", "has no query"),
        ("{url: 'http://am', receiver: ''}", "expected a text that is not empty"),
        ("{url: 'http://am', http_config: {tls_config: {}}}", "there is no TLS in a URL that starts with http://"),
        (
            "{url: 'http://am', http_config: {basic_auth: {username: a, password: b}}}",
            "a secret comes from a file here",
        ),
    ],
)
def test_a_mistake_in_an_alertmanager_is_told_with_its_place(site: Site, written: str, words: str) -> None:
    (problem,) = site.problems(top=f"{TOP}alertmanagers: [{written}]\n")
    assert problem.startswith("alertmend.yml:3:") and words in problem


def test_an_alertmanager_is_given_once(site: Site) -> None:
    (problem,) = site.problems(top=f"{TOP}alertmanagers: [{{url: 'http://am'}}, {{url: 'http://am/'}}]\n")
    assert problem == "alertmend.yml:3:43: url: this Alertmanager was given already"


def test_what_is_to_be_redacted_is_known_by_its_patterns(site: Site) -> None:
    config = site.read(top=TOP + "redact: ['(?i)bearer\\s+\\S+', 'sk-[a-z]+']\n")
    assert config.redaction.apply("Bearer abc, sk-abc") == "[redacted] [redacted]"


@pytest.mark.parametrize(
    ("pattern", "words"),
    [("'('", "'(': missing )"), ("'x*'", "it matches the empty text"), ("3", "the number 3"), ("(?<=x)y", "invalid")],
)
def test_a_pattern_that_cannot_be_redacted_by_is_found(site: Site, pattern: str, words: str) -> None:
    [problem] = site.problems(top=TOP + f"redact: [{pattern}]\n")
    assert problem.startswith("alertmend.yml:3:10: redact") and words in problem


EVERYTHING_TOP = """inventory: inventory.yml
rule_files: [rules/*.yml]
alertmanagers: [{url: 'http://127.0.0.1:9093'}]
external_url: https://alertmend.example
ignore_labels: [replica]
time_intervals: [{name: freeze, time_intervals: [{weekdays: [friday]}]}]
escalations:
  - name: oncall
    steps: [{alertmanager: {labels: {severity: page}}}, {wait: 10m}, {webhook: {url_file: redis-url}}]
"""
EVERYTHING_RULE = """rules:
  - name: restart-web
    match: ['alertname="Down"']
    mode: approve
    for: 5m
    require: [{tcp: {address: 'lb:80'}, timeout: 2s}, {http: {url: 'http://lb/healthy'}}]
    steps: [{playbook: restart.yml}, {playbook: sub/reboot.yml, mode: approve}]
    rollback: restart.yml
    guards:
      lock: ['$labels.cluster']
      max_targets: 12.5%
      mute_time_intervals: [freeze]
      active_time_intervals: [freeze]
      breaker: {failures: 3, window: 1h, open_for: 2h}
    approval: {count: 2, expires: 1h}
    give_up: {playbook: sub/reboot.yml, escalate: oncall}
"""


def test_every_guard_and_every_way_out_is_read(site: Site) -> None:
    config = site.read(top=EVERYTHING_TOP, rule=EVERYTHING_RULE)
    [rule] = config.rules
    assert (rule.mode, rule.for_, rule.rollback) == (Mode.APPROVE, timedelta(minutes=5), "restart.yml")
    assert [str(probe.kind) for probe in rule.require] == ["lb:80", "GET http://lb/healthy"]
    assert [step.mode for step in rule.steps] == [Mode.AUTO, Mode.APPROVE]
    hour = timedelta(hours=1)
    assert rule.guards == Guards(
        lock=("$labels.cluster",),
        max_targets=MaxTargets(share=0.125),
        mute_time_intervals=("freeze",),
        active_time_intervals=("freeze",),
        breaker=Breaker(failures=3, window=hour, open_for=2 * hour),
    )
    assert rule.approval == ApprovalPolicy(count=2, expires=hour)
    assert rule.give_up == GiveUp(playbook="sub/reboot.yml", escalate="oncall")
    assert (config.external_url, config.ignore_labels) == ("https://alertmend.example", frozenset({"replica"}))
    page, wait, pager = config.chains["oncall"].steps
    assert page == AlertmanagerStep(labels={"severity": "page"})
    assert wait == WaitStep(wait=timedelta(minutes=10))
    assert isinstance(pager, WebhookStep)
    assert pager.url_file.endswith("redis-url")


@pytest.mark.parametrize(
    ("step", "problem"),
    [
        ("{}", "give exactly one of alertmanager, webhook and wait"),
        ("{wait: 0s}", "0s is too short"),
        ("{wait: 1m, webhook: {url: 'http://a'}}", "give exactly one of alertmanager, webhook and wait"),
        ("{webhook: {}}", "give exactly one of url and url_file"),
        ("{webhook: {url: 'ftp://a'}}", "a URL that starts with http:// or https:// is needed"),
        ("{webhook: {url_file: nothing}}", "url_file: "),
        ("{alertmanager: {labels: {rule: x}}}", "this label says what RemediationFailed is about"),
        ("{alertmanager: {labels: {'a-b': x}}}", "a label's name is made of letters, digits and _"),
        ("{alertmanger: {}}", "did you mean 'alertmanager'?"),
    ],
)
def test_a_problem_in_an_escalation_is_told(site: Site, step: str, problem: str) -> None:
    top = TOP + "alertmanagers: [{url: 'http://a'}]\nescalations: [{name: oncall, steps: [STEP]}]\n"
    assert any(problem in found for found in site.problems(top=top.replace("STEP", step)))


def test_an_alert_needs_an_alertmanager_to_take_it(site: Site) -> None:
    with pytest.raises(ConfigError, match="there is no Alertmanager to send it to"):
        site.read(top=TOP + "escalations: [{name: oncall, steps: [{alertmanager: {}}]}]\n")


# ---------------------------------------------------------------------------------------------------------------------
# The record


def test_the_record_is_kept_for_ever_and_a_checkpoint_made_each_hour_unless_told_otherwise(site: Site) -> None:
    assert site.read().retention is None
    assert site.read().checkpoints == Checkpoints()
    subprocess.run(
        ["openssl", "genpkey", "-algorithm", "ed25519", "-out", site.folder / "key.pem"],
        check=True,
        capture_output=True,
    )
    config = site.read(top=TOP + "retention: 400d\naudit: {checkpoint_interval: 5m, signing_key_file: key.pem}\n")
    assert config.retention == timedelta(days=400)
    assert config.checkpoints == Checkpoints(interval=timedelta(minutes=5), signing_key_file=site.folder / "key.pem")


@pytest.mark.parametrize(
    ("top", "words"),
    [
        ("retention: 23h", "3:12: retention: 23h is too short"),
        ("audit: {checkpoint_interval: 1s}", "3:30: checkpoint_interval: 1s is too short"),
        ("audit: {signing_key_file: inventory.yml}", "3:27: signing_key_file: it must hold an Ed25519 private key"),
        ("audit: {key: x}", "3:9: "),
    ],
)
def test_a_record_that_cannot_be_kept_so_is_a_problem(site: Site, top: str, words: str) -> None:
    assert words in str(site.problems(top=TOP + top))
