"""Looks at Ansible: is it there, and does it understand the playbooks of the rules."""

from __future__ import annotations

import os
import pwd
import shutil
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from webhook.core.rule import Rule
from webhook.core.rulebook import Rulebook
from webhook.edge.configfile import Config
from webhook.edge.playbook.syntax import syntax_error
from webhook.wiring.examination.finding import Finding, ok, problem, warning


def look_at_ansible() -> Iterator[Finding]:
    """Its version, the program that it needs to reach other machines, and a home to work in."""
    program = Path(sys.executable).with_name("ansible-playbook")
    try:
        words = f"ansible-core {version('ansible-core')}, ansible-runner {version('ansible-runner')}"
    except PackageNotFoundError as error:
        yield problem("ansible", f"the package {error.name} is missing", "install alertmend anew, with all it needs")
        return
    if not program.exists():
        hint = "install alertmend anew, into an environment of its own"
        yield problem("ansible", f"there is no {program}", hint)
        return
    yield ok("ansible", words)
    if shutil.which("ssh") is None:
        words = "there is no ssh on the PATH: only local connections work"
        yield warning("ansible", words, "apt-get install openssh-client")
    yield from _look_at_home()


def _look_at_home() -> Iterator[Finding]:
    # Neither ssh nor Ansible goes by HOME: they ask for the home that this user has by name.
    user, hint = os.geteuid(), "give the user a name and a home that it may write to; the storage path will do"
    try:
        home = pwd.getpwuid(user).pw_dir
    except KeyError:
        yield warning("ansible", f"the user {user} has no name: ssh does nothing for it", hint)
        return
    if not os.access(home, os.W_OK):
        words = f"{home}, the home of this user, cannot be written to: tasks on this machine fail"
        yield warning("ansible", words, hint)


def look_at_playbooks(config: Config, rulebook: Rulebook) -> Iterator[Finding]:
    """Whether Ansible can read each playbook that a rule names."""
    names = sorted({name for rule in rulebook.rules for name in _playbooks(rule)})
    wrong = 0
    for name in names:
        words = syntax_error(config.playbooks / name, inventory=config.inventory)
        if words is not None:
            wrong += 1
            hint = f"ansible-playbook --syntax-check {config.playbooks / name} says where"
            yield problem("playbooks", f"{name}: {words}", hint)
    if not wrong:
        yield ok("playbooks", f"Ansible understands all {len(names)} in {config.playbooks}")


def _playbooks(rule: Rule) -> Iterator[str]:
    last = rule.give_up.playbook if rule.give_up is not None else None
    yield from (step.playbook for step in rule.steps)
    yield from (name for name in (rule.rollback, last) if name is not None)
