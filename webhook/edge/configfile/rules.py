"""Rule files."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Protocol

from webhook.core.httpconfig import Server
from webhook.core.placeholder import placeholders
from webhook.core.rule import GiveUp, Rule, Step
from webhook.edge.configfile.fields import read_matcher, read_mode
from webhook.edge.configfile.guards import Names, read_approval, read_guards, read_name
from webhook.edge.configfile.probes import read_probe, read_probes
from webhook.errors import Place, Problem
from webhook.located import Node, duration, items, load, mapping, otherwise, plain, relative_path, text

_RULE = {
    "name",
    "match",
    "target",
    "mode",
    "for",
    "require",
    "probe",
    "resolve_within",
    "steps",
    "playbook",
    "vars",
    "timeout",
    "rollback",
    "guards",
    "approval",
    "give_up",
}
_STEP = {"playbook", "vars", "timeout", "mode"}

_RULE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")
_VAR_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
#: Variables that change where and how Ansible connects: a rule may set them only in the inventory.
_MAGIC = re.compile(
    r"ansible_.*|alertmend|inventory_hostname.*|group_names|groups|hostvars|omit|play_hosts|environment"
)


class CheckVars(Protocol):
    """Reports what is wrong with the vars that a step gives to a playbook, at the vars or at the step."""

    def __call__(self, playbook: Path, *, playbooks: Path, vars: Node | None, step: Node) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Playbooks:
    """Where playbooks lie, and who knows what they take; None: nobody does, and nothing is said about it."""

    folder: Path
    check_vars: CheckVars | None = None
    #: False: only their names matter, as in rule tests.
    must_exist: bool = True


def read_rules(
    node: Node | None, *, playbooks: Playbooks, names: Names, prometheus: Server | None, problems: list[Problem]
) -> tuple[tuple[Rule, ...], Mapping[str, Place]]:
    """The rules of all files, in order, and where each of them stands."""
    rules: list[Rule] = []
    named: dict[str, Node] = {}
    for item in items(node):
        for file in _rule_files(item):
            document = mapping(load(file, problems), known={"rules"}, required={"rules"})
            for rule in items(document.get("rules")):
                found = _rule(rule, playbooks=playbooks, names=names, prometheus=prometheus, named=named)
                rules += [found] if found else []
    return tuple(rules), {name: node.place for name, node in named.items()}


def _rule_files(node: Node) -> list[Path]:
    pattern = relative_path(node)
    if pattern is None:
        return []
    # What is written here is a pattern; the name of the folder that the file lies in is not.
    names = glob.glob(str(node.raw.value), root_dir=node.file.parent, recursive=True)
    found = sorted(node.file.parent / name for name in names)
    if not found:
        node.report(f"no file matches {str(pattern)!r}")
    return found


def _rule(
    node: Node, *, playbooks: Playbooks, names: Names, prometheus: Server | None, named: dict[str, Node]
) -> Rule | None:
    before = len(node.problems)
    fields = mapping(node, known=_RULE, required={"name", "match"})
    name = _rule_name(fields.get("name"), named)
    matchers = tuple(matcher for item in items(fields.get("match")) if (matcher := read_matcher(item)) is not None)
    if "match" in fields and not items(fields["match"]):
        fields["match"].report(
            "give at least one matcher; a rule that takes every alert must say so: 'alertname=~\".+\"'"
        )
    target = otherwise(text(fields.get("target")), "instance")
    steps = _steps(node, fields, playbooks=playbooks)
    probe = read_probe(fields.get("probe"), prometheus=prometheus)
    resolve_within = duration(fields.get("resolve_within"), minimum=timedelta(seconds=1))
    rule = Rule(
        name=name,
        match=matchers,
        target=target,
        mode=read_mode(fields.get("mode")),
        for_=otherwise(duration(fields.get("for")), timedelta(0)),
        steps=steps,
        require=read_probes(fields.get("require"), prometheus=prometheus),
        probe=probe,
        resolve_within=resolve_within,
        rollback=_playbook(fields.get("rollback"), playbooks=playbooks) or None,
        guards=read_guards(fields.get("guards"), names),
        approval=read_approval(fields.get("approval")),
        give_up=_give_up(fields.get("give_up"), playbooks=playbooks, names=names),
    )
    return rule if len(node.problems) == before else None


def _rule_name(node: Node | None, named: dict[str, Node]) -> str:
    name = text(node)
    if node is None or name is None:
        return ""
    if not _RULE_NAME.fullmatch(name):
        node.report("a rule's name is made of letters, digits and _ . - and is at most 64 long")
    elif name in named:
        first = named[name]
        node.report(f"the rule {name!r} was given already in {first.file}:{first.line}")
    named.setdefault(name, node)
    return name


def _steps(node: Node, fields: Mapping[str, Node], *, playbooks: Playbooks) -> tuple[Step, ...]:
    short = {name: fields[name] for name in ("playbook", "vars", "timeout") if name in fields}
    if "steps" in fields and short:
        fields["steps"].report("give either steps, or playbook and vars for a single one")
    if "steps" not in fields:
        if "playbook" not in fields:
            node.report("the key 'playbook' is missing (or 'steps', for several)")
            return ()
        return (_step(short, playbooks=playbooks),)
    written = items(fields["steps"])
    if not written:
        fields["steps"].report("give at least one step")
    steps = [mapping(item, known=_STEP, required={"playbook"}) for item in written]
    return tuple(_step(step, playbooks=playbooks) for step in steps)


def _step(fields: Mapping[str, Node], *, playbooks: Playbooks) -> Step:
    name, vars = _playbook(fields.get("playbook"), playbooks=playbooks), fields.get("vars")
    if name and playbooks.check_vars is not None:
        playbooks.check_vars(playbooks.folder / name, playbooks=playbooks.folder, vars=vars, step=fields["playbook"])
    return Step(
        playbook=name,
        vars=_vars(vars),
        timeout=otherwise(duration(fields.get("timeout"), minimum=timedelta(seconds=1)), timedelta(minutes=5)),
        mode=read_mode(fields.get("mode")),
    )


def _give_up(node: Node | None, *, playbooks: Playbooks, names: Names) -> GiveUp | None:
    if node is None:
        return None
    fields = mapping(node, known={"playbook", "escalate"})
    if not fields:
        node.report("give a playbook, an escalation (escalate), or both")
    return GiveUp(
        playbook=_playbook(fields.get("playbook"), playbooks=playbooks) or None,
        escalate=read_name(fields.get("escalate"), names.escalations, what="escalation"),
    )


def _playbook(node: Node | None, *, playbooks: Playbooks) -> str:
    name = text(node)
    if node is None or name is None:
        return ""
    folder = playbooks.folder
    found = Path(os.path.realpath(folder / name)) if "\0" not in name else folder
    if placeholders(name):
        node.report("a playbook's name is fixed; nothing is replaced in it")
    elif not found.is_relative_to(folder) or found == folder:
        node.report(f"only playbooks below {str(folder)!r} can be run")
    elif playbooks.must_exist and not os.path.isfile(found):
        node.report(f"there is no playbook {name!r} below {str(folder)!r}")
    else:
        return name
    return ""


def _vars(node: Node | None) -> Mapping[str, object]:
    for name, value in mapping(node).items():
        if not _VAR_NAME.fullmatch(name):
            value.report("a variable's name is made of letters, digits and _")
        elif _MAGIC.fullmatch(name):
            value.report("this variable decides how and where Ansible connects; it belongs in the inventory")
    found: Any = plain(node) if node is not None else {}
    return found if isinstance(found, dict) else {}
