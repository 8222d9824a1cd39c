"""What `check` warns of in playbooks, each at its place; and that the library has none of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from webhook.edge.smell import smells

LIBRARY = Path(__file__).resolve().parents[2] / "playbooks"

SOUND = """\
- hosts: all
  tasks:
    - ansible.builtin.service: {name: nginx, state: started}
    - ansible.builtin.wait_for: {port: 80}
"""


def found(tmp_path: Path, playbook: str, **files: str) -> list[str]:
    """The warnings as line: words."""
    for name, content in {"playbooks/it.yml": playbook, **files}.items():
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
    playbooks = tmp_path / "playbooks"
    return [
        f"{problem.file.relative_to(playbooks)}:{problem.line}: {problem.words}"
        for problem in smells(playbooks / "it.yml", playbooks=playbooks)
    ]


def test_a_sound_playbook_smells_of_nothing(tmp_path: Path) -> None:
    assert found(tmp_path, SOUND) == []


@pytest.mark.parametrize("playbook", sorted(LIBRARY.glob("*.yml")), ids=lambda path: path.stem)
def test_the_library_smells_of_nothing(playbook: Path) -> None:
    assert smells(playbook, playbooks=LIBRARY) == ()


def test_hosts_other_than_all(tmp_path: Path) -> None:
    (warning,) = found(tmp_path, SOUND.replace("hosts: all", "hosts: web"))

    assert warning == "it.yml:1: hosts is 'web'; say all: the run is limited to the target, whichever it is"


@pytest.mark.parametrize(
    ("task", "words"),
    [
        ("service: {name: x, state: started}", "write ansible.builtin.service"),
        ("docker_container: {name: x}", "write the name of its collection before it"),
        ("{ansible.builtin.copy: {src: a, dest: b}, ignore_errors: true}", "ignore_errors hides the failure"),
        ("ansible.builtin.command: {argv: [x]}", "command counts as a change each time"),
        ("ansible.builtin.shell: x", "shell counts as a change each time"),
        ("ansible.builtin.service: {name: x, state: restarted}", "state restarted acts each time"),
        ("ansible.builtin.apt: {name: x, state: latest}", "state latest acts each time"),
        ("{ansible.builtin.shell: 'kill {{ pid }}', changed_when: true}", "becomes part of the command"),
    ],
)
def test_a_task_that_smells_is_named_at_its_line(tmp_path: Path, task: str, words: str) -> None:
    (warning,) = found(
        tmp_path, SOUND.replace("    - ansible.builtin.service", f"    - {task}\n    - ansible.builtin.service")
    )

    assert warning.startswith("it.yml:3: ")
    assert words in warning


@pytest.mark.parametrize(
    "task",
    [
        "ansible.builtin.command: {argv: [x], creates: /x}",
        "{ansible.builtin.shell: x, args: {removes: /x}}",
        "{ansible.builtin.command: {argv: [x]}, changed_when: false}",
        "{ansible.builtin.service: {name: x, state: restarted}, when: is_needed}",
        "{block: [{ansible.builtin.service: {name: x, state: restarted}}], when: is_needed}",
        "{ansible.builtin.file: {path: /x, state: absent}, ignore_errors: false}",
        "ansible.builtin.meta: flush_handlers",
        "ansible.builtin.debug: {msg: !unsafe '{{ x }}'}",
    ],
)
def test_what_is_said_to_be_needed_or_no_change_does_not_smell(tmp_path: Path, task: str) -> None:
    before = "    - ansible.builtin.service"

    assert found(tmp_path, SOUND.replace(before, f"    - {task}\n{before}")) == []


def test_a_playbook_that_looks_at_nothing_afterwards(tmp_path: Path) -> None:
    (warning,) = found(tmp_path, SOUND.replace("    - ansible.builtin.wait_for: {port: 80}\n", ""))

    assert warning.startswith("it.yml:1: nothing is looked at after the last change")
    assert smells(tmp_path / "playbooks/it.yml", playbooks=tmp_path / "playbooks", is_proved=True) == ()


def test_roles_and_what_they_include_are_looked_at_where_they_stand(tmp_path: Path) -> None:
    warnings = found(
        tmp_path,
        "- hosts: all\n  roles:\n    - role: mend\n",
        **{
            "playbooks/roles/mend/tasks/main.yml": "- ansible.builtin.import_tasks: act.yml\n- own_thing: {}\n"
            "- ansible.builtin.import_tasks: verify.yml\n",
            "playbooks/roles/mend/tasks/act.yml": "- block:\n    - copy: {src: a, dest: b}\n",
            "playbooks/roles/mend/tasks/verify.yml": "- ansible.builtin.assert: {that: true}\n",
            "playbooks/roles/mend/library/own_thing.py": "",
        },
    )

    assert warnings == ["roles/mend/tasks/act.yml:2: copy may be anyone's; write ansible.builtin.copy"]


def test_a_verify_that_is_never_run(tmp_path: Path) -> None:
    (warning,) = found(
        tmp_path,
        "- hosts: all\n  roles: [mend]\n",
        **{
            "playbooks/roles/mend/tasks/main.yml": "- ansible.builtin.file: {path: /tmp/x, state: absent}\n",
            "playbooks/roles/mend/tasks/verify.yml": "- ansible.builtin.assert: {that: true}\n",
        },
    )

    assert warning.startswith("it.yml:1: nothing is looked at after the last change")


@pytest.mark.parametrize(
    "playbook",
    [
        "- hosts: all\n  tasks:\n    - ansible.builtin.include_tasks: it.yml\n    - ansible.builtin.fail:\n",
        "just text\n",
        "- [1, 2]\n- hosts: all\n  tasks: 7\n  roles: {x: y}\n",
        "- import_playbook: it.yml\n",
        "\x00",
    ],
)
def test_what_is_odd_is_read_once_and_left_to_ansible(tmp_path: Path, playbook: str) -> None:
    assert found(tmp_path, playbook) == []
