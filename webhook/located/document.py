"""Reads a file as far as its tree: bounded, its keys unique, no tag of anybody's own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import yaml

from webhook.errors import Problem
from webhook.located.kind import KNOWN_TAGS, counted, has_tag, not_text, shown
from webhook.located.node import Node, at

#: Longer files are not read.
MAX_FILE_BYTES: Final = 1024 * 1024
#: Values in one file, counted again wherever an alias repeats them: a file of one kilobyte can otherwise hold billions.
MAX_VALUES: Final = 100_000
MAX_DEPTH: Final = 40

_UNPRINTABLE: Final = yaml.reader.Reader.NON_PRINTABLE
#: libyaml's where PyYAML was built with it: the same tree, ten times as fast.
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def load(path: Path, problems: list[Problem]) -> Node | None:
    """The file's one document, its aliases bounded, its keys unique text; None when it cannot be read."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        problems.append(Problem(file=path, words=f"cannot be read: {error.strerror}"))
        return None
    return parse(content, file=path, problems=problems)


def parse(content: bytes, *, file: Path, problems: list[Problem]) -> Node | None:
    """As `load`, from bytes that were read already."""
    try:
        text = _decoded(content)
        _check_depth(text)
        raw = yaml.compose(text, Loader=_Loader)
        if raw is None:
            raise _Unreadable("it is empty")
        _check_size(raw)
    except _Unreadable as error:
        problems.append(Problem(file=file, line=error.line, column=error.column, words=error.words))
        return None
    except yaml.MarkedYAMLError as error:
        problems.append(_syntax_problem(error, file=file, text=text))
        return None
    except yaml.YAMLError as error:
        problems.append(Problem(file=file, words=f"this is not YAML: {error}"))
        return None
    document = Node(file=file, name="", raw=raw, problems=problems)
    _report_keys_and_tags(document)
    return document


class _Unreadable(Exception):
    """The file is refused before it is YAML. Never leaves this module."""

    def __init__(self, words: str, *, line: int = 0, column: int = 0) -> None:
        super().__init__(words)
        self.words, self.line, self.column = words, line, column


def _decoded(content: bytes) -> str:
    if len(content) > MAX_FILE_BYTES:
        raise _Unreadable(f"it is longer than {MAX_FILE_BYTES} bytes")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line, column = _place(content[: error.start].decode("utf-8", "replace"))
        raise _Unreadable("this is not UTF-8", line=line, column=column) from None
    if found := _UNPRINTABLE.search(text):
        line, column = _place(text[: found.start()])
        raise _Unreadable(f"the character {found[0]!a} is not allowed in YAML", line=line, column=column)
    return text


def _place(before: str) -> tuple[int, int]:
    """Line and column of what comes after `before`."""
    return before.count("\n") + 1, len(before) - before.rfind("\n")


def _check_depth(text: str) -> None:
    # Before the tree is built, since building it is recursive.
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > MAX_DEPTH:
            line, column = counted(event.start_mark)
            raise _Unreadable(f"nested deeper than {MAX_DEPTH}", line=line, column=column)


def _check_size(root: yaml.Node) -> None:
    measured: dict[int, tuple[int, int] | None] = {}

    def measure(node: yaml.Node) -> tuple[int, int]:
        """Values and depth, with what aliases repeat."""
        if id(node) not in measured:
            # None while it is being measured: whoever finds that has come round in a circle.
            measured[id(node)] = None
            below = [measure(child) for child in _children(node)]
            depth = 1 + max((depth for _, depth in below), default=0)
            measured[id(node)] = 1 + sum(values for values, _ in below), depth
        found = measured[id(node)]
        if found is None:
            raise _too_large("an alias holds itself", node)
        if found[0] > MAX_VALUES:
            raise _too_large(f"more than {MAX_VALUES} values, with what its aliases repeat", node)
        if found[1] > MAX_DEPTH + 1:
            raise _too_large(f"nested deeper than {MAX_DEPTH}", node)
        return found

    # An alias comes after its anchor, so what it stands for is measured already: this recurses no deeper than the text.
    measure(root)


def _too_large(words: str, node: yaml.Node) -> _Unreadable:
    line, column = counted(node.start_mark)
    return _Unreadable(words, line=line, column=column)


def _children(node: yaml.Node) -> Sequence[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        return [part for pair in node.value for part in pair]
    return node.value if isinstance(node, yaml.SequenceNode) else ()


def _syntax_problem(error: yaml.MarkedYAMLError, *, file: Path, text: str) -> Problem:
    words = " ".join(part for part in (error.problem, error.context) if part)
    mark = error.problem_mark or error.context_mark
    if mark is None:
        return Problem(file=file, words=f"this is not YAML: {words}")
    lines = text.splitlines()
    line = lines[mark.line] if mark.line < len(lines) else ""
    if "\t" in line[: mark.column + 1] and not line[: mark.column + 1].strip("\t -"):
        words = "there is a tab in the indentation; YAML is indented with spaces"
    return Problem(file=file, line=mark.line + 1, column=mark.column + 1, words=f"this is not YAML: {words}")


def _report_keys_and_tags(document: Node) -> None:
    """Report every duplicate key, every key that is no text, every tag, wherever it stands and whoever reads it."""
    waiting, seen = [document.raw], set()
    while waiting:
        raw = waiting.pop()
        if id(raw) in seen:
            continue
        seen.add(id(raw))
        if raw.tag not in KNOWN_TAGS:
            at(document, raw).report(f"the tag {shown(raw.tag)} means nothing here; remove it")
        if isinstance(raw, yaml.MappingNode):
            _report_keys(document, raw)
        waiting.extend(_children(raw))


def _report_keys(document: Node, raw: yaml.MappingNode) -> None:
    first: dict[str, int] = {}
    for key, value in raw.value:
        node = at(document, key)
        if has_tag(key, "merge") and not _can_merge(value):
            node.report("only mappings can be merged with <<")
        if not (has_tag(key, "str") or has_tag(key, "merge")):
            node.report(f"a key must be text: {not_text(key)}")
        elif key.value in first:
            node.report(f"the key {shown(key.value)} was given already on line {first[key.value]}")
        else:
            first[key.value] = node.line


def _can_merge(raw: yaml.Node) -> bool:
    sources = raw.value if isinstance(raw, yaml.SequenceNode) else [raw]
    return all(isinstance(source, yaml.MappingNode) for source in sources)
