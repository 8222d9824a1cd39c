"""The tasks of a run as a tree: those of a role that come one after another hang together."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby

from webhook.core.run import TaskResult

#: Between a role and the name of its task, as Ansible prints them.
SEPARATOR = " : "


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One task, by its number in the run."""

    number: int
    name: str
    result: TaskResult


@dataclass(frozen=True, slots=True, kw_only=True)
class Branch:
    """Tasks of one role, or of the playbook itself."""

    #: Empty for the playbook's own.
    role: str
    tasks: tuple[Task, ...]


def branches_of(results: Iterable[TaskResult]) -> list[Branch]:
    """The tree, in the order in which the tasks ran."""
    numbered = enumerate(results, 1)
    return [
        Branch(role=role, tasks=tuple(_task(number, result) for number, result in found))
        for role, found in groupby(numbered, key=lambda each: _role(each[1].name))
    ]


def _task(number: int, result: TaskResult) -> Task:
    name = result.name.removeprefix(_role(result.name) + SEPARATOR)
    return Task(number=number, name=name, result=result)


def _role(name: str) -> str:
    role, separator, _ = name.partition(SEPARATOR)
    return role if separator else ""
