"""What the documentation shows can be used: every file loads without a problem, every command line parses."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from textwrap import indent
from typing import Any

import click
import pytest
import yaml
from click.testing import CliRunner

from tests.docs.pages import REPOSITORY, Block, blocks, commands
from webhook.cli import cli
from webhook.edge.argspec import ArgumentSpecs
from webhook.edge.configfile import read_config
from webhook.edge.inventory import read_inventory
from webhook.edge.payload import parse
from webhook.edge.webconfig import read_web_config
from webhook.errors import Unavailable

INVENTORY = "all: {hosts: {web1: {}, web2: {}}}\n"
CONFIG = "inventory: inventory.yml\nrule_files: [rules/*.yml]\n"
#: What a rule that is shown may refer to.
NAMED = """\
alertmanagers: [{url: 'http://127.0.0.1:9093'}]
prometheus: {url: 'http://127.0.0.1:9090'}
escalations: [{name: oncall, steps: [{alertmanager: {}}]}]
time_intervals: [{name: freeze, time_intervals: [{weekdays: [friday]}]}]
"""
RULE = "rules:\n  - name: example\n    match: ['alertname=\"TargetDown\"']\n    playbook: example.yml\n"
#: What the rule tests that are shown are about.
RULE_TESTED = """rules:
  - name: restart-web
    match: ['alertname="TargetDown"', 'job=~"web|api"']
    probe: {http: {url: 'http://$target:8080/healthz'}}
    playbook: restart_service.yml
    vars: {service: nginx}
    guards: {cooldown: 10m, rate_limit: 3/6h}
"""
SECRETS = {"redis": "redis://127.0.0.1:6379/0", "database": "postgresql://alertmend@127.0.0.1/alertmend"}
JSON = [block.text for block in blocks("json")]
NOTIFICATIONS = [
    *(text for text in JSON if "version" in json.loads(text)),
    *((REPOSITORY / "example" / name).read_text() for name in ("firing.json", "resolved.json")),
]
TYPED = [(block, line) for block in blocks("console") for line in commands(block)]


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A site in which a rule, or a part of one, can be tried."""
    for name, text in (("alertmend.yml", CONFIG + NAMED), ("inventory.yml", INVENTORY), ("rules/example.yml", RULE)):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    _write_playbook(tmp_path, "example.yml")
    return tmp_path


@pytest.mark.parametrize("block", blocks("yaml"), ids=str)
def test_every_file_that_is_shown_can_be_used(block: Block, site: Path) -> None:
    first = block.text.partition("\n")[0]
    for pattern, use in USES.items():
        if re.fullmatch(pattern, first):
            _provide(site, yaml.safe_load(block.text))
            return use(site, block.text)
    pytest.fail(f"{block}: say in the first line which file this is, like {', '.join(USES)}")


@pytest.mark.parametrize("text", NOTIFICATIONS)
def test_every_notification_that_is_shown_would_be_taken(text: str) -> None:
    assert parse(text, id="1", received_at=datetime.now(UTC)).alerts


def test_a_decision_looks_as_it_is_shown() -> None:
    shown = next(found for text in JSON if "decision" in (found := json.loads(text)))
    config = f"--config.file={REPOSITORY / 'example/alertmend.yml'}"
    answer = CliRunner().invoke(cli, ["explain", "alertname=ToyDown", "host=toy", config, "--output=json"])
    given = json.loads(answer.stdout)
    assert shown.keys() == given.keys() - {"rule", "target", "labels", "passed_by", "playbook"}
    assert shown["checks"][0].keys() == given["checks"][0].keys()


@pytest.mark.parametrize(("block", "line"), TYPED, ids=lambda value: str(value)[:60])
def test_every_command_line_of_ours_parses(
    block: Block, line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    program, *words = shlex.split(line, comments=True)
    if program == "make":
        targets = re.findall(r"^([a-z]+):", (REPOSITORY / "Makefile").read_text(), re.MULTILINE)
        assert {word for word in words if "=" not in word} <= set(targets), f"{block}: {line}"
    elif os.path.basename(program) == "alertmend":
        _parse(words, where=f"{block}: {line}")


def _parse(words: list[str], *, where: str) -> None:
    command, name = cli, "alertmend"
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        name, *words = words
        found = command.get_command(click.Context(command), name)
        assert found is not None, f"{where}: there is no command {name!r}"
        command = found
    for word in words:
        _touch(word.rpartition("=")[2])
    try:
        command.make_context(name, words)
    except click.UsageError as error:
        pytest.fail(f"{where}: {error.format_message()}")
    except click.exceptions.Exit:
        pass


def _touch(name: str) -> None:
    path = Path(name)
    if path.suffix in (".yml", ".json", ".jsonl") and not path.is_absolute():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def _use_config(site: Path, text: str) -> None:
    (site / "alertmend.yml").write_text(text)
    _read(site)


def _use_rules(site: Path, text: str) -> None:
    (site / "rules/example.yml").write_text(text)
    _read(site)


def _read(site: Path) -> None:
    read_config(site / "alertmend.yml", check_vars=ArgumentSpecs().check)


def _use_part_of_config(site: Path, text: str) -> None:
    _use_config(site, CONFIG + text)


def _use_part_of_rule(site: Path, text: str) -> None:
    part = yaml.safe_load(text)
    rule = "".join(line + "\n" for line in RULE.splitlines() if line.strip().partition(":")[0] not in _replaced(part))
    _use_rules(site, rule + indent(text, "    "))


def _replaced(part: Mapping[str, Any]) -> set[str]:
    return {*part, *(["playbook"] if "steps" in part else [])}


def _use_inventory(site: Path, text: str) -> None:
    (site / "inventory.yml").write_text(text)
    read_inventory(site / "inventory.yml")


def _use_web_config(site: Path, text: str) -> None:
    (site / "web.yml").write_text(text)
    read_web_config(site / "web.yml")


def _use_playbook(site: Path, text: str) -> None:
    (site / "playbooks/example.yml").write_text(text)
    program = Path(sys.executable).with_name("ansible-playbook")
    _succeeds(site, program, "--syntax-check", "-i", "inventory.yml", "playbooks/example.yml")


def _use_task(site: Path, text: str) -> None:
    _use_playbook(site, "- hosts: all\n  tasks:\n" + indent(text, "    "))


def _use_alertmanager(site: Path, text: str) -> None:
    (site / "alertmanager.yml").write_text(text)
    _succeeds(site, Path("amtool"), "check-config", "alertmanager.yml")


def _use_prometheus_rules(site: Path, text: str) -> None:
    (site / "prometheus.rules.yml").write_text(text)
    _succeeds(site, Path("promtool"), "check", "rules", "prometheus.rules.yml")


def _use_prometheus(site: Path, text: str) -> None:
    (site / "prometheus.yml").write_text(text)
    _succeeds(site, Path("promtool"), "check", "config", "prometheus.yml")


def _use_rule_tests(site: Path, text: str) -> None:
    (site / "rules/web.yml").write_text(RULE_TESTED)
    (site / "rules/example.yml").unlink()
    (site / "rule_tests.yml").write_text(text)
    answer = CliRunner().invoke(cli, ["test", str(site / "rule_tests.yml")])
    assert answer.exit_code == 0, answer.output


def _use_rule_tests_of_page(site: Path, text: str) -> None:
    """With the rule and the inventory that are shown on the same page."""
    [name] = re.findall(r"^# (tests/.*)", text)
    [page] = {block.file for block in blocks("yaml") if block.text == text}
    for shown in (block.text for block in blocks("yaml") if block.file == page):
        first = shown.partition("\n")[0].removeprefix("# ")
        (site / first).parent.mkdir(exist_ok=True)
        (site / first).write_text(shown.replace("mode: observe", "mode: auto"))
    answer = CliRunner().invoke(cli, ["test", str(site / name)])
    assert answer.exit_code == 0, answer.output


def _use_credentials(site: Path, text: str) -> None:
    (site / "http.yml").write_text(text)
    server = ["--server.url=http://127.0.0.1:1", f"--http.config.file={site / 'http.yml'}"]
    # What is wrong with the file would be said before anyone is asked.
    assert isinstance(CliRunner().invoke(cli, ["runs", "list", *server]).exception, Unavailable)


#: What the first line of a block says, and how such a file is tried.
USES = {
    r"# alertmend\.yml": _use_config,
    r"# rules/[\w.-]+\.yml": _use_rules,
    r"# in alertmend\.yml": _use_part_of_config,
    r"# in a rule": _use_part_of_rule,
    r"# inventory\.yml": _use_inventory,
    r"# web\.yml": _use_web_config,
    r"# playbooks/[\w.-]+\.yml": _use_playbook,
    r"# a task": _use_task,
    r"# alertmanager\.yml": _use_alertmanager,
    r"# prometheus\.yml": _use_prometheus,
    r"# prometheus\.rules\.yml": _use_prometheus_rules,
    r"# http\.yml": _use_credentials,
    r"# rule_tests\.yml": _use_rule_tests,
    r"# tests/[\w.-]+\.yml": _use_rule_tests_of_page,
}


def _provide(site: Path, document: object) -> None:
    """The playbooks and the secrets that a document names."""
    for path, value in _texts(document):
        key = path[-1]
        if key in ("playbook", "rollback"):
            _write_playbook(site, value)
        elif key in ("cert_file", "key_file") and path[0] != "session":
            _write_certificate(site)
        elif key.endswith(("_file", "_tokens_files")) and not Path(value).is_absolute():
            (site / value).parent.mkdir(exist_ok=True)
            (site / value).write_text(SECRETS.get(path[0], "0123456789abcdef0123456789abcdef") + "\n")
            (site / value).chmod(0o600)


def _texts(value: object, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _texts(item, (*path, str(key)))
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item, path)


def _write_playbook(site: Path, name: str) -> None:
    shutil.copytree(REPOSITORY / "playbooks", site / "playbooks", dirs_exist_ok=True)
    if not (site / "playbooks" / name).exists():
        (site / "playbooks" / name).write_text("- hosts: all\n  tasks: []\n")


def _write_certificate(site: Path) -> None:
    names = ["-keyout", "alertmend.key", "-out", "alertmend.crt", "-subj", "/CN=alertmend.example"]
    _succeeds(site, Path("openssl"), "req", "-x509", "-newkey", "rsa:2048", "-nodes", *names)


def _succeeds(site: Path, program: Path, *words: str) -> None:
    answer = subprocess.run([program, *words], cwd=site, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stdout + answer.stderr
