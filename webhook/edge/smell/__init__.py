"""What in a playbook is likely to go wrong at night, though Ansible would run it. Nothing is run and nothing templated.

What variables a playbook takes is `argspec`'s; what does not work at all is for Ansible to say.
"""

from __future__ import annotations

from pathlib import Path

from webhook.edge.smell.task import Modules, report_task
from webhook.edge.smell.walk import Found, Task, read_playbook
from webhook.errors import Problem

__all__ = ["smells"]

#: Of the tasks after the last one that acts, one of these looks whether it helped.
_LOOKING = frozenset(
    {"assert", "fail", "get_url", "slurp", "stat", "uri", "wait_for", "wait_for_connection", "command"}
)


def smells(playbook: Path, *, playbooks: Path, is_proved: bool = False) -> tuple[Problem, ...]:
    """What to look at again, in the order of the files.

    `playbooks` is the folder that the playbook was found below; `is_proved` says that someone else looks whether it
    helped.
    """
    found = read_playbook(playbook, playbooks=playbooks)
    modules = Modules.of(folder / "library" for folder in {playbook.parent, playbooks, *found.roles})
    for play in found.plays:
        if play.hosts != "all":
            play.node.report(f"hosts is {play.hosts!r}; say all: the run is limited to the target, whichever it is")
    for task in found.tasks:
        report_task(task, modules)
    if not is_proved:
        _report_missing_proof(found)
    return tuple(dict.fromkeys(found.problems))


def _report_missing_proof(found: Found) -> None:
    """A run that did not help has to fail, or nobody learns of it."""
    if any(file.parent.name == "tasks" and file.stem == "verify" for file in found.files):
        return
    for play in found.plays:
        tasks = [task for task in found.tasks if task.play is play]
        if tasks and not _looks(tasks[-1]):
            play.node.report(
                "nothing is looked at after the last change: add a verify that fails when it did not help"
                " (a role's tasks/verify.yml, or an assert, a wait_for, a uri at the end), or give the rule a probe"
            )


def _looks(task: Task) -> bool:
    return task.action.rpartition(".")[2] in _LOOKING or task.keywords.get("changed_when") is False
