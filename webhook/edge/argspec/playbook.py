"""What variables a playbook takes, read off its YAML and that of its roles. Nothing is run and nothing templated."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from webhook.edge.argspec.option import Option, read_options
from webhook.located import load, plain

#: `"{{ port }}"` and `"{{ port | default(80) }}"` hand a variable on under another name.
_HANDED_ON: Final = re.compile(r"\{\{-?\s*([A-Za-z_]\w*)\s*(\|.*?)?-?\}\}", re.DOTALL)
#: A default that is nothing does not spare the rule from giving a value.
_DEFAULT: Final = re.compile(r"\|\s*(?:default|d)\b(?!\s*\(\s*(?:none|None|omit|''|\"\")\s*[,)])")
_EXPRESSION: Final = re.compile(r"\{\{(.*?)\}\}|\{%(.*?)%\}", re.DOTALL)
_QUOTED: Final = re.compile(r"'[^']*'|\"[^\"]*\"")
_WORD: Final = re.compile(r"[A-Za-z_]\w*")
#: Their values are expressions without braces.
_CONDITIONS: Final = frozenset({"when", "that", "until", "failed_when", "changed_when", "loop", "var"})
_SECTIONS: Final = ("pre_tasks", "tasks", "post_tasks", "handlers")
_BLOCKS: Final = ("block", "rescue", "always")
#: Files and roles in one playbook; beyond, or deeper, the rest is not looked at.
_MAX_OPENED: Final = 500
_MAX_DEPTH: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A role asks for a variable."""

    role: str
    option: Option
    #: Neither the playbook nor the role gives it a value.
    is_required: bool


@dataclass(slots=True, kw_only=True)
class Takes:
    """What a playbook takes."""

    claims: dict[str, list[Claim]] = field(default_factory=dict)
    #: Variables that the playbook's own expressions read.
    names: set[str] = field(default_factory=set)
    #: Whether all that reads variables could be read; otherwise none can be called unknown.
    is_whole: bool = True


def read_playbook(path: Path, *, playbooks: Path) -> Takes:
    """What the playbook takes, with what it imports and the roles in `roles` beside it or below `playbooks`."""
    reader = _Reader(base=path.parent, roles=(path.parent / "roles", playbooks / "roles"))
    reader.read_plays(path, depth=0)
    # Without any spec there is nothing to hold a variable against.
    reader.takes.is_whole = reader.takes.is_whole and bool(reader.takes.claims)
    return reader.takes


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reader:
    base: Path
    roles: tuple[Path, ...]
    takes: Takes = field(default_factory=Takes)
    #: How often something was opened: what includes itself twice would be read for ever.
    opened: list[str] = field(default_factory=list)

    def read_plays(self, path: Path, *, depth: int) -> None:
        for play in self._list(path, depth):
            self._note_names(play)
            given = _mapping(play.get("vars"))
            if "vars_files" in play:
                self.takes.is_whole = False
            for name in ("import_playbook", "ansible.builtin.import_playbook"):
                if name in play and (file := self._literal(play[name])):
                    self.read_plays(path.parent / file, depth=depth + 1)
            for entry in _list(play.get("roles")):
                self._read_entry(entry, given=given, depth=depth)
            for section in _SECTIONS:
                self._read_tasks(_list(play.get(section)), given=given, depth=depth)

    def _read_tasks(self, tasks: list[Any], *, given: Mapping[str, Any], depth: int) -> None:
        for task in (task for task in tasks if isinstance(task, dict)):
            inner = {**given, **_mapping(task.get("vars"))}
            for name in _BLOCKS:
                self._read_tasks(_list(task.get(name)), given=inner, depth=depth)
            for name, arguments in task.items():
                self._read_action(str(name).rpartition(".")[2], arguments, given=inner, depth=depth)

    def _read_action(self, action: str, arguments: Any, *, given: Mapping[str, Any], depth: int) -> None:
        fields = _mapping(arguments)
        if action in ("include_role", "import_role"):
            start = Path(str(fields.get("tasks_from", "main"))).stem
            self._read_role(fields.get("name"), start, given=given, depth=depth)
        elif action in ("include_tasks", "import_tasks"):
            if file := self._literal(fields.get("file", arguments)):
                tasks = self._list(self.base / file, depth)
                for task in tasks:
                    self._note_names(task)
                self._read_tasks(tasks, given=given, depth=depth + 1)
        elif action == "validate_argument_spec":
            spec = read_options(fields.get("argument_spec"))
            for name, option in spec.items():
                self._claim(name, "the playbook", option, has_value=name in given)

    def _read_role(self, name: Any, start: str, *, given: Mapping[str, Any], depth: int) -> None:
        found = [folder / str(name) for folder in self.roles if self._literal(name) and (folder / str(name)).is_dir()]
        options = read_options(_spec(found[0]).get(start, {}).get("options")) if found else {}
        if not options or self._is_too_much(str(name), depth):
            self.takes.is_whole = False
            return
        own = {str(key) for kind in ("defaults", "vars") for key in _mapping(_read(found[0] / kind / "main.yml"))}
        self.takes.names |= own
        for key, option in options.items():
            self._claim(key, f"the role {name}", option, has_value=key in given or key in own)
            if key in given:
                self._hand_on(given, key, f"the role {name}", option)
        for entry in _list(_mapping(_read(found[0] / "meta/main.yml")).get("dependencies")):
            self._read_entry(entry, given=given, depth=depth + 1)

    def _read_entry(self, entry: Any, *, given: Mapping[str, Any], depth: int) -> None:
        """A role as a play or another role lists it: its name, or a mapping with its variables."""
        fields: dict[str, Any] = {"role": entry} if isinstance(entry, str) else _mapping(entry)
        inner = {**given, **fields, **_mapping(fields.get("vars"))}
        self._read_role(fields.get("role", fields.get("name")), "main", given=inner, depth=depth)

    def _hand_on(self, given: Mapping[str, Any], key: str, role: str, option: Option) -> None:
        match = _HANDED_ON.fullmatch(str(given[key]).strip())
        if match and match[1] != key:
            self._claim(match[1], role, option, has_value=match[1] in given or bool(_DEFAULT.search(match[2] or "")))

    def _claim(self, name: str, role: str, option: Option, *, has_value: bool) -> None:
        claim = Claim(role=role, option=option, is_required=option.is_required and not has_value)
        self.takes.claims.setdefault(name, []).append(claim)

    def _literal(self, value: Any) -> str:
        """A name that stands there as it is; what is worked out at run time hides what it reads."""
        if isinstance(value, str) and "{{" not in value:
            return value
        self.takes.is_whole = False
        return ""

    def _list(self, path: Path, depth: int) -> list[dict[str, Any]]:
        found = None if self._is_too_much(str(path), depth) else _read(path)
        if not isinstance(found, list):
            self.takes.is_whole = False
            return []
        return [item for item in found if isinstance(item, dict)]

    def _is_too_much(self, name: str, depth: int) -> bool:
        self.opened.append(name)
        return depth > _MAX_DEPTH or len(self.opened) > _MAX_OPENED

    def _note_names(self, value: Any, *, is_condition: bool = False) -> None:
        if isinstance(value, dict):
            for key, item in value.items():
                self._note_names(item, is_condition=key in _CONDITIONS)
        elif isinstance(value, list):
            for item in value:
                self._note_names(item, is_condition=is_condition)
        elif isinstance(value, str):
            parts = [value] if is_condition else [first or second for first, second in _EXPRESSION.findall(value)]
            self.takes.names |= {word for part in parts for word in _WORD.findall(_QUOTED.sub("", part))}


def _spec(role: Path) -> dict[str, Any]:
    for name in ("argument_specs.yml", "argument_specs.yaml", "main.yml"):
        if found := _mapping(_mapping(_read(role / "meta" / name)).get("argument_specs")):
            return {key: _mapping(value) for key, value in found.items()}
    return {}


def _read(path: Path) -> object:
    # What is wrong in it is not for us to say: Ansible's tags, for one, are no mistake there.
    return plain(load(path, []))


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
