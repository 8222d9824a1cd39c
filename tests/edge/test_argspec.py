"""A rule's vars against what its playbook's roles say that they take: every mistake before anything runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from webhook.edge.argspec import ArgumentSpecs
from webhook.edge.configfile import read_config
from webhook.errors import ConfigError
from webhook.wiring.current import load

SPEC = """argument_specs:
  main:
    options:
      restart_name: {type: str, required: true, description: The unit.}
      restart_port: {type: int, description: [Where it, answers.]}
      restart_mode: {choices: [soft, hard], default: soft}
      restart_force: {type: bool, default: false}
      restart_hosts: {type: list, elements: int, default: []}
      restart_size: {type: bytes}
      restart_limits:
        type: dict
        options:
          cpu: {type: float, required: true, description: Cores.}
          names: {type: list, elements: dict, options: {first: {required: true, description: First.}}}
  drain:
    options:
      restart_drain: {type: int, required: true, description: Seconds.}
"""
PLAYBOOK = "- hosts: all\n  roles: [restart]\n"


class Site:
    """A configuration with one playbook that uses one role."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.write("alertmend.yml", "inventory: inventory.yml\nrule_files: [rules.yml]\n")
        self.write("inventory.yml", "all: {hosts: {web1: }}\n")
        self.write("playbooks/restart.yml", PLAYBOOK)
        self.write("playbooks/roles/restart/meta/argument_specs.yml", SPEC)

    def write(self, name: str, content: str) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)

    def problems(self, vars: str, *, playbook: str = "", whole: bool = False) -> list[str]:
        """What is wrong with the vars of a rule, as line:column: words; in the `whole`, Ansible reads the inventory."""
        if playbook:
            self.write("playbooks/restart.yml", playbook)
        head = "rules:\n  - name: r\n    match: [a=b]\n    playbook: restart.yml\n"
        self.write("rules.yml", f"{head}    vars: {vars}\n" if vars else head)
        try:
            file = self.folder / "alertmend.yml"
            load(file) if whole else read_config(file, check_vars=ArgumentSpecs().check)
        except ConfigError as error:
            return [str(problem).removeprefix(f"{self.folder}/rules.yml:") for problem in error.problems]
        return []


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def test_what_fits_is_no_problem(site: Site) -> None:
    assert site.problems("{restart_name: nginx, restart_port: 80, restart_limits: {cpu: 1.5}}") == []


def test_an_unknown_variable_is_found_with_its_place_and_a_hint(site: Site) -> None:
    [problem] = site.problems("{restart_name: nginx, restart_prot: 80}")
    assert problem == "5:47: restart_prot: restart.yml takes no such variable; did you mean 'restart_port'?"


@pytest.mark.parametrize(("vars", "place"), [("{restart_port: 1}", "5:11: vars"), ("", "4:15: playbook")])
def test_a_missing_variable_is_found_where_it_should_stand(site: Site, vars: str, place: str) -> None:
    [problem] = site.problems(vars)
    assert problem == f"{place}: the variable 'restart_name' is missing; the role restart needs it: The unit."


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("restart_port: eighty", "the role restart takes a whole number here, not 'eighty'"),
        ("restart_port: 8.5", "takes a whole number here, not 8.5"),
        ("restart_port: true", "takes a whole number here, not True"),
        ("restart_port: [80]", "takes a whole number here, not [80]"),
        ("restart_port: .inf", "the number inf; write it in quotes"),
        ("restart_mode: hrad", "does not know 'hrad'; did you mean 'hard'?"),
        ("restart_mode: yes", "takes text here, not True"),
        ("restart_force: maybe", "takes true or false here, not 'maybe'"),
        ("restart_force: 2", "takes true or false here, not 2"),
        ("restart_hosts: {a: 1}", "takes a list here"),
        ("restart_hosts: [1, two]", "takes a whole number here, not 'two'"),
        ("restart_size: big one", "takes a size like 10M here, not 'big one'"),
        ("restart_limits: 5", "takes a mapping here, not 5"),
        ("restart_limits: {cpu: many}", "takes a number here, not 'many'"),
        ("restart_limits: {cpu: 1, mem: 2}", "unknown key 'mem'"),
        ("restart_limits: {}", "the key 'cpu' is missing; the role restart needs it: Cores."),
        ("restart_limits: {cpu: 1, names: [{}]}", "the key 'first' is missing"),
    ],
)
def test_a_value_that_the_role_would_refuse_is_found(site: Site, given: str, words: str) -> None:
    [problem] = site.problems("{restart_name: x, " + given + "}")
    assert words in problem
    assert problem.startswith("5:")


@pytest.mark.parametrize(
    "given",
    [
        "restart_port: '80'",
        "restart_port: '$labels.port'",
        "restart_mode: $labels.mode",
        "restart_hosts: '$labels.a,$labels.b'",
        "restart_limits: '$annotations.limits'",
        "restart_hosts: [1, '$labels.x']",
        "restart_port: '{{ 80 + 1 }}'",
        "restart_port: null",
        "restart_hosts: '1,2'",
        "restart_limits: 'cpu=2'",
        "restart_force: 'yes'",
        "restart_force: 0",
        "restart_size: 10M",
        "restart_mode: soft",
    ],
)
def test_what_ansible_would_make_into_the_type_is_accepted(site: Site, given: str) -> None:
    assert site.problems("{restart_name: x, " + given + "}") == []


HANDED_ON = """- hosts: all
  roles:
    - role: restart
      vars:
        restart_name: "{{ service | default(none) }}"
        restart_port: "{{ port | default(80) }}"
"""


def test_a_variable_that_the_playbook_hands_on_is_held_against_the_roles_spec(site: Site) -> None:
    assert site.problems("{service: nginx, port: 80}", playbook=HANDED_ON) == []
    assert "'service' is missing; the role restart needs it: The unit." in site.problems("{port: 80}")[0]
    assert "5:34: port: the role restart takes a whole number" in site.problems("{service: nginx, port: x}")[0]
    assert "did you mean 'service'?" in site.problems("{service: nginx, servce: x}")[0]
    # An option of the role can be given as it is called there, too.
    assert site.problems("{service: nginx, restart_force: yes}") == []


PLAYS = {
    "a role in tasks": "- {hosts: all, tasks: [{ansible.builtin.include_role: {name: restart}}]}",
    "a role in a block": "- {hosts: all, tasks: [{block: [{import_role: {name: restart}}]}]}",
    "another playbook": "- import_playbook: other.yml",
    "tasks in a file": "- {hosts: all, tasks: [{ansible.builtin.import_tasks: tasks.yml}]}",
    "a role that another depends on": "- {hosts: all, roles: [outer]}",
}


@pytest.mark.parametrize("playbook", PLAYS.values(), ids=PLAYS.keys())
def test_a_role_is_found_in(site: Site, playbook: str) -> None:
    site.write("playbooks/other.yml", PLAYBOOK)
    site.write("playbooks/tasks.yml", "- include_role: {name: restart}\n")
    site.write("playbooks/roles/outer/meta/main.yml", "dependencies: [{role: restart}]\n")
    site.write("playbooks/roles/outer/meta/argument_specs.yml", "argument_specs: {main: {options: {outer: {}}}}\n")
    assert len(site.problems("{restart_port: x, restart_prot: 80}", playbook=playbook + "\n")) == 3


def test_a_role_is_entered_where_the_task_says(site: Site) -> None:
    playbook = "- {hosts: all, tasks: [{include_role: {name: restart, tasks_from: drain.yml}}]}\n"
    assert "'restart_drain' is missing" in site.problems("", playbook=playbook)[0]


def test_a_playbooks_own_spec_counts(site: Site) -> None:
    spec = "{ansible.builtin.validate_argument_spec: {argument_spec: {size: {type: int, required: true}}}}"
    playbook = f"- {{hosts: all, pre_tasks: [{spec}]}}\n"
    assert "the playbook takes a whole number" in site.problems("{size: large}", playbook=playbook)[0]


@pytest.mark.parametrize(
    "playbook",
    [
        "- {hosts: all, tasks: [{include_role: {name: '{{ which }}'}}, {import_role: {name: restart}}]}",
        "- {hosts: all, roles: [restart, not_here]}",
        "- {hosts: all, roles: [restart], tasks: [{include_tasks: '{{ which }}'}]}",
        "- {hosts: all, roles: [restart], vars_files: [x.yml]}",
        "- {hosts: all, roles: [restart], tasks: [{ansible.builtin.debug: {msg: '{{ restart_prot | int }}'}}]}",
        "- {hosts: all, roles: [restart], tasks: [{ansible.builtin.meta: noop, when: restart_prot is defined}]}",
        "- {hosts: all, tasks: []}",
        "not: a playbook",
        "- hosts: [",
    ],
)
def test_a_variable_is_not_called_unknown_where_something_may_read_it(site: Site, playbook: str) -> None:
    assert site.problems("{restart_name: x, restart_prot: 80}", playbook=playbook + "\n") == []


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("inventory.yml", "all: {hosts: {web1: {restart_name: nginx}}}\n"),
        ("group_vars/all.yml", "restart_name: nginx\n"),
        ("playbooks/roles/restart/defaults/main.yml", "restart_name: nginx\n"),
        ("playbooks/restart.yml", "- {hosts: all, roles: [{role: restart, restart_name: nginx}]}\n"),
        ("playbooks/restart.yml", "- {hosts: all, vars: {restart_name: nginx}, roles: [restart]}\n"),
    ],
)
def test_what_is_given_elsewhere_is_not_missing(site: Site, name: str, content: str) -> None:
    site.write(name, content)
    assert site.problems("{restart_port: 80}", whole=True) == []


def test_an_inventory_that_cannot_be_read_is_the_only_problem(site: Site) -> None:
    site.write("inventory.yml", "all: {hosts: [web1]}\n")
    [problem] = site.problems("{restart_port: 80}", whole=True)
    assert "inventory.yml" in problem


LOOPS: dict[str, dict[str, Any]] = {
    "a playbook that imports itself": {"playbooks/restart.yml": "- import_playbook: restart.yml\n"},
    "roles that depend on each other": {
        "playbooks/roles/restart/meta/main.yml": "dependencies: [restart]\n",
        "playbooks/restart.yml": PLAYBOOK,
    },
    "tasks that include themselves over and over": {
        "playbooks/restart.yml": "- {hosts: all, tasks: [{include_tasks: t.yml}]}\n",
        "playbooks/t.yml": "- include_tasks: t.yml\n" * 9,
    },
}


@pytest.mark.parametrize("files", LOOPS.values(), ids=LOOPS.keys())
def test_a_circle_ends(site: Site, files: dict[str, str]) -> None:
    for name, content in files.items():
        site.write(name, content)
    assert site.problems("{restart_name: x}") == []


def test_an_option_that_nobody_described_is_missed_without_a_description(site: Site) -> None:
    options = "argument_specs: {main: {options: {service: {required: true}}}}\n"
    site.write("playbooks/roles/restart/meta/argument_specs.yml", options)
    assert site.problems("{}")[0].endswith("the variable 'service' is missing; the role restart needs it")
