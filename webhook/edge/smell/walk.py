"""The plays and tasks of a playbook, with those of its roles and of what it includes, each with its place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import yaml

from webhook.errors import Problem
from webhook.located import Node, items, load, mapping, plain

_SECTIONS: Final = ("pre_tasks", "tasks", "post_tasks", "handlers")
_BLOCKS: Final = ("block", "rescue", "always")
#: Files in one playbook; beyond, the rest is not looked at. What includes itself would be read for ever.
_MAX_FILES: Final = 200
#: Ansible's words on a task; the one key that is none of them is the action.
KEYWORDS: Final = frozenset(
    # One to a line they would fill a page.
    """
    action always any_errors_fatal args async become become_exe become_flags become_method become_user block
    changed_when check_mode collections connection debugger delay delegate_facts delegate_to diff environment
    failed_when ignore_errors ignore_unreachable listen local_action loop loop_control module_defaults name no_log
    notify poll port register remote_user rescue retries run_once tags throttle timeout until vars when
    """.split()  # noqa: SIM905
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Play:
    """One play."""

    node: Node
    hosts: object


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One task; blocks are taken apart."""

    node: Node
    #: The module or action, as it is written.
    action: str
    arguments: object
    #: Its keywords, with those of the blocks around it.
    keywords: Mapping[str, object]
    play: Play


@dataclass(slots=True, kw_only=True)
class Found:
    """What was found, in the order in which it is run."""

    plays: list[Play] = field(default_factory=list)
    tasks: list[Task] = field(default_factory=list)
    roles: list[Path] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


def read_playbook(path: Path, *, playbooks: Path) -> Found:
    """All that can be read without running it: a name that is worked out at run time leads nowhere."""
    walk = _Walk(roles=(path.parent / "roles", playbooks / "roles"))
    walk.read_plays(path)
    return walk.found


@dataclass(frozen=True, slots=True, kw_only=True)
class _Walk:
    #: Where roles lie.
    roles: tuple[Path, ...]
    found: Found = field(default_factory=Found)

    def read_plays(self, path: Path) -> None:
        for node in self._list(path):
            fields = _fields(node)
            for name in ("import_playbook", "ansible.builtin.import_playbook"):
                if name in fields and isinstance(file := plain(fields[name]), str):
                    self.read_plays(path.parent / file)
            if "hosts" in fields:
                self._read_play(node, fields, path.parent)

    def _read_play(self, node: Node, fields: Mapping[str, Node], folder: Path) -> None:
        play = Play(node=replace(fields["hosts"], name=""), hosts=plain(fields["hosts"]))
        self.found.plays.append(play)
        order = ["pre_tasks", "roles", "tasks", "post_tasks", "handlers"]
        for section in [name for name in order if name in fields]:
            for item in _items(fields[section]):
                if section == "roles":
                    role = plain(item)
                    self._read_role(
                        role.get("role", role.get("name")) if isinstance(role, dict) else role, "main", play
                    )
                else:
                    self._read_task(item, {}, folder, play)

    def _read_role(self, name: object, start: str, play: Play) -> None:
        places = [folder / name for folder in self.roles if isinstance(name, str) and (folder / name).is_dir()]
        if not places:
            return
        if places[0] not in self.found.roles:
            self.found.roles.append(places[0])
        self._read_tasks(places[0] / "tasks" / f"{start}.yml", {}, play)

    def _read_tasks(self, path: Path, around: Mapping[str, object], play: Play) -> None:
        for node in self._list(path):
            self._read_task(node, around, path.parent, play)

    def _read_task(self, node: Node, around: Mapping[str, object], folder: Path, play: Play) -> None:
        fields = _fields(node)
        own = {name: plain(value) for name, value in fields.items() if name in KEYWORDS and name not in _BLOCKS}
        keywords = {**around, **own}
        for name in _BLOCKS:
            for inner in _items(fields.get(name)):
                self._read_task(inner, keywords, folder, play)
        actions = [name for name in fields if name not in KEYWORDS and not name.startswith("with_")]
        if len(actions) != 1:
            return
        arguments = plain(fields[actions[0]])
        self.found.tasks.append(Task(node=node, action=actions[0], arguments=arguments, keywords=keywords, play=play))
        self._follow(actions[0].rpartition(".")[2], arguments, keywords, folder, play)

    def _follow(self, action: str, arguments: object, keywords: Mapping[str, object], folder: Path, play: Play) -> None:
        given = arguments if isinstance(arguments, dict) else {}
        if action in ("include_role", "import_role"):
            self._read_role(given.get("name"), Path(str(given.get("tasks_from", "main"))).stem, play)
        elif action in ("include_tasks", "import_tasks"):
            file = given.get("file", arguments)
            if isinstance(file, str) and "{{" not in file:
                self._read_tasks(folder / file, keywords, play)

    def _list(self, path: Path) -> list[Node]:
        if path in self.found.files or len(self.found.files) >= _MAX_FILES or not path.is_file():
            return []
        self.found.files.append(path)
        aside: list[Problem] = []
        document = load(path, aside)
        if document is None:
            return []
        # What cannot be read is not for us to say: Ansible's tags, for one, are no mistake in a playbook.
        return _items(Node(file=path, name="", raw=document.raw, problems=self.found.problems))


def _items(node: Node | None) -> list[Node]:
    # Without the name of the key above: the words name what they are about.
    found = items(node) if node is not None and isinstance(node.raw, yaml.SequenceNode) else []
    return [replace(item, name="") for item in found]


def _fields(node: Node) -> dict[str, Node]:
    return mapping(node) if isinstance(node.raw, yaml.MappingNode) else {}
