"""A value with its place, and what stands in it."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

from webhook.errors import Place, Problem
from webhook.located.kind import counted, has_tag, kind_of, shown


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One value in a file, with its place."""

    file: Path
    #: The key that it stands under, for words.
    name: str
    raw: yaml.Node
    #: What is found wrong goes here; all nodes of a file share the list.
    problems: list[Problem]

    @property
    def line(self) -> int:
        """Counts from 1."""
        return counted(self.raw.start_mark)[0]

    @property
    def column(self) -> int:
        """Counts from 1."""
        return counted(self.raw.start_mark)[1]

    @property
    def place(self) -> Place:
        """Where it stands."""
        return Place(file=self.file, line=self.line, column=self.column)

    @property
    def is_list(self) -> bool:
        """It is a list, be it an empty one."""
        return isinstance(self.raw, yaml.SequenceNode)

    def report(self, words: str) -> None:
        """Put a problem with this value among the problems, under the name of its key."""
        words = f"{self.name}: {words}" if self.name else words
        self.problems.append(Problem(file=self.file, line=self.line, column=self.column, words=words))


def mapping(
    node: Node | None, *, known: Collection[str] | None = None, required: Collection[str] = ()
) -> dict[str, Node]:
    """The values by key, in file order; empty when there is no mapping.

    A key that is not `known` is reported and left out; None knows them all. What `<<` merges comes last.
    """
    if node is None:
        return {}
    if not isinstance(node.raw, yaml.MappingNode):
        node.report(f"expected a mapping (key: value), not {kind_of(node.raw)}")
        return {}
    fields: dict[str, Node] = {}
    for key, value in _pairs(node.raw):
        name = str(key.value)
        if known is not None and name not in known:
            at(node, key).report(f"unknown key {shown(name)}; {did_you_mean(name, known)}")
        else:
            fields.setdefault(name, Node(file=node.file, name=name, raw=value, problems=node.problems))
    for name in required:
        if name not in fields:
            node.report(f"the key {name!r} is missing")
    return fields


def items(node: Node | None) -> list[Node]:
    """The values of a list; empty when there is none."""
    if node is None:
        return []
    if not isinstance(node.raw, yaml.SequenceNode):
        node.report(f"expected a list, not {kind_of(node.raw)}")
        return []
    return [at(node, raw) for raw in node.raw.value]


def at(node: Node, raw: yaml.Node) -> Node:
    """Another value of the same file, under the same name."""
    return Node(file=node.file, name=node.name, raw=raw, problems=node.problems)


def did_you_mean(name: str, known: Collection[str]) -> str:
    """A hint: the nearest of the known names, or all of them."""
    near = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {near[0]!r}?" if near else f"known: {', '.join(sorted(known))}"


def _pairs(raw: yaml.MappingNode) -> Iterator[tuple[yaml.Node, yaml.Node]]:
    merged: list[yaml.Node] = []
    for key, value in raw.value:
        if has_tag(key, "merge"):
            merged.extend(value.value if isinstance(value, yaml.SequenceNode) else [value])
        elif has_tag(key, "str"):
            yield key, value
    for source in merged:
        if isinstance(source, yaml.MappingNode):
            yield from _pairs(source)
