"""Kinds of probe that packages bring are peers of the built-in ones, and harm nobody when they are broken."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.edge.probe.asking import serving
from tests.edge.probe.package import install_example, write_package

SITE = {
    "alertmend.yml": "inventory: inventory.yml\nrule_files: [rules.yml]\n",
    "inventory.yml": "all: {hosts: {web1: {}}}\n",
    "playbooks/mend.yml": "- hosts: all\n",
}
RULES = "rules:\n  - name: mend\n    match: ['alertname=\"Down\"']\n    playbook: mend.yml\n    probe: {probe}\n"
#: A kind that is whole; a test breaks one part of it.
WHOLE = """
from dataclasses import dataclass
from typing import ClassVar
from webhook.probing import Kind, Seen

@dataclass(frozen=True)
class Question:
    key: ClassVar[str] = "moon"
    asks_target: ClassVar[bool] = True
    def filled(self, fill):
        return self
    def __str__(self):
        return "the moon"

KIND = Kind(read=lambda node: Question(), ask=lambda question, deadline: Seen(healthy=True, words="full"))
"""
READ = """
from pathlib import Path
from webhook.edge.configfile import read_config
from webhook.errors import ConfigError
try:
    read_config(Path("alertmend.yml"))
except ConfigError as error:
    print(*error.problems, sep="\\n")
"""
ASK = """
import json, sys
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from webhook.core.probe import filled_probe
from webhook.edge.configfile import read_config
from webhook.edge.probe import WorldProber
probe = read_config(Path("alertmend.yml")).rules[0].probe
target, labels = sys.argv[1], json.loads(sys.argv[2])
answer = WorldProber().ask(filled_probe(probe, target=target, labels=labels, annotations={}))
print(json.dumps([answer.healthy, answer.known, answer.kind, answer.asked, answer.words]))
"""


@pytest.fixture
def site(tmp_path: Path) -> Path:
    for name, text in SITE.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def run(site: Path, packages: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """In a process of its own: what is installed is looked at once."""
    environment = {**os.environ, "PYTHONPATH": str(packages)}
    return subprocess.run(
        [sys.executable, *command], cwd=site, env=environment, capture_output=True, text=True, timeout=60
    )


def problems(site: Path, packages: Path, probe: str) -> list[str]:
    """What is wrong with a probe."""
    (site / "rules.yml").write_text(RULES.replace("{probe}", probe))
    done = run(site, packages, "-c", READ)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def ask(site: Path, packages: Path, probe: str, *, target: str = "127.0.0.1", **labels: str) -> list[Any]:
    (site / "rules.yml").write_text(RULES.replace("{probe}", probe))
    done = run(site, packages, "-c", ASK, target, json.dumps(labels))
    assert done.returncode == 0, done.stderr
    answer: list[Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return install_example(tmp_path_factory.mktemp("example"))


def test_alertmend_check_knows_the_example_and_every_mistake_at_its_place(site: Path, example: Path) -> None:
    for probe, found in (
        ("{redis: {address: '$target:6379'}, period: 5s}", []),
        (
            "{redis: {adress: '$target:6379', address: '$labels.host:1'}}",
            [
                "rules.yml:5:21: redis: unknown key 'adress'; did you mean 'address'?",
                "rules.yml:5:54: address: only $target may name the host, since $labels.host is a stranger's word; it"
                " may be the whole port, like '$target:$labels.host'",
            ],
        ),
    ):
        (site / "rules.yml").write_text(RULES.replace("{probe}", probe))
        done = run(site, example, "-m", "webhook.cli", "check", "--config.file=alertmend.yml")
        problems = [line for line in done.stdout.splitlines() if ": warning: " not in line]
        assert (done.returncode, problems) == (2 if found else 0, found), done.stderr


def test_the_example_is_read_like_a_built_in_kind(site: Path, example: Path) -> None:
    assert problems(site, example, "{redis: {}}") == ["rules.yml:5:20: redis: the key 'address' is missing"]
    assert problems(site, example, "{rediss: {}}") == [
        "rules.yml:5:13: probe: unknown key 'rediss'; did you mean 'redis'?"
    ]


def test_the_example_is_asked(site: Path, example: Path) -> None:
    def talk(connection: socket.socket) -> None:
        assert connection.recv(100) == b"PING\r\n"
        connection.sendall(b"+PONG\r\n")

    with serving(talk) as port:
        answer = ask(site, example, "{redis: {address: '$target:$labels.port'}, timeout: 10s}", port=str(port))
    assert answer == [True, True, "redis", f"127.0.0.1:{port}", "+PONG"]
    with serving(lambda connection: connection.sendall(b"-ERR\x1b[2J\r\n")) as port:
        answer = ask(site, example, "{redis: {address: '$target:$labels.port'}, timeout: 10s}", port=str(port))
    assert answer == [False, True, "redis", f"127.0.0.1:{port}", "-ERR [2J"]


def test_the_example_is_bounded_by_the_timeout_and_says_why_it_was_not_answered(
    site: Path, example: Path, free_port: int
) -> None:
    with serving(lambda connection: list(iter(lambda: connection.recv(100), b""))) as port:
        answer = ask(site, example, f"{{redis: {{address: '$target:{port}'}}, timeout: 300ms}}")
    assert answer[:3] + answer[4:] == [False, True, "redis", "timeout after 0.3s"]
    answer = ask(site, example, f"{{redis: {{address: '$target:{free_port}'}}}}")
    assert answer[4] == "connection refused"


def test_without_the_package_its_key_is_unknown(site: Path, tmp_path: Path) -> None:
    [problem] = problems(site, tmp_path, "{redis: {address: '$target:6379'}}")
    assert problem.startswith("rules.yml:5:13: probe: unknown key 'redis'; ")


def test_two_packages_with_one_key_are_a_problem_and_neither_wins(site: Path, tmp_path: Path) -> None:
    packages = tmp_path / "packages"
    write_package(packages, "moon-one", key="moon", code=WHOLE)
    assert problems(site, packages, "{moon: {}}") == []
    write_package(packages, "moon-two", key="moon", code=WHOLE)
    [problem] = problems(site, packages, "{moon: {}}")
    assert problem == "rules.yml:5:19: moon: both moon-one 1.0 and moon-two 1.0 bring this kind of probe"


def test_a_built_in_kind_cannot_be_replaced(site: Path, tmp_path: Path) -> None:
    packages = tmp_path / "packages"
    write_package(packages, "evil", key="tcp", code=WHOLE)
    [problem] = problems(site, packages, "{tcp: {address: 'a:1'}}")
    assert problem == "rules.yml:5:18: tcp: both alertmend itself and evil 1.0 bring this kind of probe"
    assert problems(site, packages, "{http: {url: 'http://a'}}") == []


@pytest.mark.parametrize(
    ("code", "problem"),
    [
        (
            "import nothing_of_this_name",
            "moon 1.0 is broken: ModuleNotFoundError: No module named 'nothing_of_this_name'",
        ),
        ("pass", "moon 1.0 is broken: AttributeError: "),
        ("KIND = 1", "moon 1.0 is broken: moon:KIND is no webhook.probing.Kind"),
        (WHOLE.replace("lambda node: Question()", "lambda node: 1 / 0"), "its package is broken: ZeroDivisionError: "),
        (WHOLE.replace('= "moon"', '= "sun"'), "its package is broken: it says that its key is 'sun'"),
    ],
)
def test_a_package_that_is_broken_is_a_problem_of_the_rules_that_use_it_alone(
    site: Path, tmp_path: Path, code: str, problem: str
) -> None:
    packages = tmp_path / "packages"
    write_package(packages, "moon", key="moon", code=code)
    [found] = problems(site, packages, "{moon: {}}")
    assert found.startswith(f"rules.yml:5:19: moon: {problem}")
    assert problems(site, packages, "{tcp: {address: 'a:1'}}") == []


@pytest.mark.parametrize(
    ("ask_with", "answer"),
    [
        ("1 / 0", [False, True, "moon", "the moon", "ZeroDivisionError: division by zero"]),
        ("None", [False, True, "moon", "the moon", "TypeError: None is no answer"]),
        ("Seen(healthy=None, words='clouds')", [False, False, "moon", "the moon", "clouds"]),
        (
            "deadline.at_end(print) or __import__('time').sleep(60)",
            [False, True, "moon", "the moon", "timeout after 1s"],
        ),
    ],
)
def test_whatever_a_package_answers_is_an_answer(site: Path, tmp_path: Path, ask_with: str, answer: list[Any]) -> None:
    packages = tmp_path / "packages"
    whole = 'Seen(healthy=True, words="full")'
    assert whole in WHOLE
    write_package(packages, "moon", key="moon", code=WHOLE.replace(whole, ask_with))
    assert ask(site, packages, "{moon: {}}") == answer
