"""What smells about one task."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from webhook.edge.smell.walk import Task

#: They run what they are told, and cannot know whether that changes anything.
_PROGRAMS: Final = frozenset({"command", "expect", "raw", "script", "shell"})
#: They act each time they are asked to be in this state.
_ALWAYS: Final = frozenset({"restarted", "reloaded", "latest"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Modules:
    """Which modules there are without a collection."""

    builtin: frozenset[str]
    #: Those that lie in a `library` of the playbook or of its roles.
    own: frozenset[str]

    @classmethod
    def of(cls, libraries: Iterable[Path]) -> Modules:
        """Ansible's, and those in these folders."""
        return cls(
            builtin=_builtin(),
            own=frozenset(file.stem for library in libraries for file in library.glob("*.py")),
        )


def report_task(task: Task, modules: Modules) -> None:
    """Say what smells about it, at its place."""
    for words in (_name(task, modules), _errors(task), _program(task), _state(task), _shell(task)):
        if words:
            task.node.report(words)


def _name(task: Task, modules: Modules) -> str:
    if "." in task.action or task.action in modules.own:
        return ""
    if task.action in modules.builtin:
        return f"{task.action} may be anyone's; write ansible.builtin.{task.action}"
    return f"{task.action} may be anyone's; write the name of its collection before it"


def _errors(task: Task) -> str:
    if task.keywords.get("ignore_errors") in (None, False):
        return ""
    return "ignore_errors hides the failure that alertmend would learn from; say with failed_when what is none"


def _program(task: Task) -> str:
    if _module(task) not in _PROGRAMS or task.keywords.get("changed_when") is not None:
        return ""
    given = task.arguments if isinstance(task.arguments, dict) else {}
    args = task.keywords.get("args")
    if {"creates", "removes"} & {*given, *(args if isinstance(args, dict) else {})}:
        return ""
    return f"{_module(task)} counts as a change each time: a second run changes something, too. Give it changed_when"


def _state(task: Task) -> str:
    state = task.arguments.get("state") if isinstance(task.arguments, dict) else None
    if state not in _ALWAYS or task.keywords.get("when") is not None:
        return ""
    return f"state {state} acts each time: a second run changes something, too. Give it a when that says it is needed"


def _shell(task: Task) -> str:
    if _module(task) not in ("shell", "raw") or "{{" not in str(task.arguments):
        return ""
    return "a variable in a shell becomes part of the command; use ansible.builtin.command with argv"


def _module(task: Task) -> str:
    return task.action.rpartition(".")[2]


@cache
def _builtin() -> frozenset[str]:
    # Their files: to import Ansible takes a second.
    names: set[str] = set()
    for package in ("ansible.modules", "ansible.plugins.action"):
        spec = importlib.util.find_spec(package)
        for folder in (spec.submodule_search_locations or ()) if spec else ():
            names |= {file.stem for file in Path(folder).glob("*.py") if not file.stem.startswith("_")}
    return frozenset({*names, "include_role", "include_tasks", "import_role", "import_tasks", "meta", "include_vars"})
