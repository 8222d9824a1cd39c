"""Whether what is wrong with a playbook is found when it is tried, and whether nothing gets out of the copy."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from webhook.edge.tryout import Case, Copy, Expected, Finding, Subject, read_cases, try_case
from webhook.errors import ConfigError

#: Does what it should: a file is made, once.
SOUND = [{"ansible.builtin.copy": {"content": "x", "dest": "/var/tmp/tried", "mode": "0600"}, "name": "Make it"}]
UNCHECKED = [{"ansible.builtin.command": {"argv": ["touch", "/var/tmp/tried"]}, "check_mode": False}]
REFUSING = [{"ansible.builtin.fail": {"msg": "not like that"}}]


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Copy]:
    folder = tmp_path / "copy"
    folder.mkdir()
    with Copy(folder=folder) as machine:
        yield machine


def tried(machine: Copy, tmp_path: Path, tasks: list[dict[str, object]], expect: Expected, words: str = "") -> Finding:
    """The last finding of one case of a playbook with these tasks in its role's act, and one more in its verify."""
    subject = Subject(name="try_it", playbooks=tmp_path / "playbooks")
    files: dict[Path, object] = {
        subject.playbook: [{"hosts": "all", "gather_facts": False, "roles": ["try_it"]}],
        subject.role / "tasks/main.yml": [
            {"ansible.builtin.import_tasks": "act.yml"},
            {"ansible.builtin.import_tasks": "verify.yml"},
        ],
        subject.role / "tasks/act.yml": tasks,
        subject.role / "tasks/verify.yml": [{"ansible.builtin.assert": {"that": "helps | default(true)"}}],
    }
    for file, content in files.items():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(content))
    case = Case(name="a case", vars={"helps": expect != Expected.FAILED}, given=(), expect=expect, words=words)
    *_, last = try_case(case, subject, machine)
    return last


def test_a_sound_one_has_no_fault_and_nothing_of_it_gets_out(machine: Copy, tmp_path: Path) -> None:
    last = tried(machine, tmp_path, SOUND, Expected.MENDED)

    assert (last.what, last.fault) == ("a case: run again", ""), last.output
    assert not Path("/var/tmp/tried").exists()


def test_files_processes_and_ports_stay_in_the_copy(machine: Copy) -> None:
    marker = f"600.{os.getpid()}"
    script = f"echo x >/etc/alertmend-tried; sleep {marker} & ss -ltnH; ls /proc | grep -c '^[0-9]'"

    ended = machine.run(["/bin/sh", "-c", script], {"PATH": os.environ["PATH"]})

    assert (ended.code, int(ended.output.split()[-1]) < 10) == (0, True), ended.output
    assert any("etc/alertmend-tried" in trace for trace in machine.traces())
    assert not Path("/etc/alertmend-tried").exists()
    machine.__exit__(None, None, None)
    commands = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists()]
    assert not any(marker.encode() in command for command in commands)


@pytest.mark.parametrize(
    ("tasks", "expect", "fault"),
    [
        (
            UNCHECKED,
            Expected.MENDED,
            "a case: check mode: it only had to say what it would do, and changed /var/tmp/tried",
        ),
        ([{"ansible.builtin.debug": {}}], Expected.MENDED, "it does not say that it would change anything"),
        (
            [{"name": "Do it again", "ansible.builtin.command": {"argv": ["true"], "creates": "/none"}}],
            Expected.MENDED,
            "a case: run again: it changed something: try_it : Do it again",
        ),
        (
            [*SOUND, {"ansible.builtin.command": {"argv": ["touch", "/var/tmp/again"]}, "changed_when": False}],
            Expected.MENDED,
            "a case: run again: it says that it changed nothing, and did: /var/tmp/again",
        ),
        (SOUND, Expected.UNTOUCHED, "a case: check mode: it says that it would change something"),
        ([*SOUND, *REFUSING], Expected.REFUSED, "it refused only after it had changed something: try_it : Make it"),
        (SOUND, Expected.REFUSED, "it did not refuse"),
        (REFUSING, Expected.FAILED, "it failed in act.yml, before verify could look"),
    ],
)
def test_a_fault_is_found_and_named(
    machine: Copy, tmp_path: Path, tasks: list[dict[str, object]], expect: Expected, fault: str
) -> None:
    last = tried(machine, tmp_path, tasks, expect)

    assert fault in f"{last.what}: {last.fault}", last.output


def test_a_verify_that_sees_nothing_is_found(machine: Copy, tmp_path: Path) -> None:
    failed = tried(machine, tmp_path, SOUND, Expected.FAILED)
    blind = Case(name="a case", vars={}, given=(), expect=Expected.FAILED, words="")
    *_, last = try_case(blind, Subject(name="try_it", playbooks=tmp_path / "playbooks"), machine)

    assert failed.fault == "", failed.output
    assert last.fault == "it did not fail, though it did not help"


def test_words_that_are_not_said_are_missed(machine: Copy, tmp_path: Path) -> None:
    assert tried(machine, tmp_path, REFUSING, Expected.REFUSED, words="not like that").fault == ""
    assert "does not say" in tried(machine, tmp_path, REFUSING, Expected.REFUSED, words="otherwise").fault


@pytest.mark.parametrize(
    ("cases", "words"),
    [
        ("cases: []\n", "nothing shows that it helps"),
        ("cases:\n  - {name: a, expect: mended}\n", "nothing shows that verify fails"),
        ("cases:\n  - {name: a, expect: healed}\n", "healed"),
        ("cases:\n  - {expect: mended}\n", "'name' is missing"),
        ("cases:\n  - {name: a, expect: mended, exepct: failed}\n", "unknown key 'exepct'"),
        ("", "empty"),
    ],
)
def test_cases_that_show_too_little_are_refused(tmp_path: Path, cases: str, words: str) -> None:
    file = tmp_path / "cases.yml"
    file.write_text(cases)

    with pytest.raises(ConfigError, match=words):
        read_cases(file)
