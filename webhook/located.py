"""YAML with places: whatever is wrong in a file that people write is reported as file:line:column, all of it at once.

    problems: list[Problem] = []
    fields = mapping(load(path, problems), known={"mode", "interval"})
    mode = otherwise(choice(fields.get("mode"), Mode), Mode.AUTO)
    interval = otherwise(duration(fields.get("interval")), timedelta(minutes=1))
    refuse(problems)

Every reader takes None for what is not there, and gives None (a mapping or a list: an empty one) when it has nothing to
give; what is wrong then stands among the problems. What the values mean is not known here.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, TypeVar

import yaml

from webhook.core.duration import DurationError, RateError, parse_duration, parse_rate
from webhook.errors import ConfigError, Place, Problem

#: Longer files are not read.
MAX_FILE_BYTES: Final = 1024 * 1024
#: Values in one file, counted again wherever an alias repeats them: a file of one kilobyte can otherwise hold billions.
MAX_VALUES: Final = 100_000
MAX_DEPTH: Final = 40
_MAX_SHOWN: Final = 60

_TAG: Final = "tag:yaml.org,2002:"
_SCALARS: Final = ("str", "int", "float", "bool", "null", "timestamp", "merge", "value")
_KNOWN_TAGS: Final = frozenset(_TAG + kind for kind in (*_SCALARS, "map", "seq"))
_WHOLE_NUMBER: Final = re.compile(r"0|-?[1-9][0-9]{0,17}")
_FRACTION: Final = re.compile(r"[-+]?[0-9]{1,18}\.[0-9]{0,18}([eE][-+][0-9]{1,2})?")
_UNPRINTABLE: Final = yaml.reader.Reader.NON_PRINTABLE
#: libyaml's where PyYAML was built with it: the same tree, ten times as fast.
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

T = TypeVar("T")
E = TypeVar("E", bound=StrEnum)


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
        return _counted(self.raw.start_mark)[0]

    @property
    def column(self) -> int:
        """Counts from 1."""
        return _counted(self.raw.start_mark)[1]

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


def refuse(problems: Sequence[Problem]) -> None:
    """Returns when there are none.

    Raises:
        ConfigError: with all of them, each once, in the order of their places.
    """
    if problems:
        unique = dict.fromkeys(problems)
        raise ConfigError(sorted(unique, key=lambda problem: (str(problem.file), problem.line, problem.column)))


def otherwise(value: T | None, default: T) -> T:
    """The value, or the default when there is none."""
    return default if value is None else value


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


def mapping(
    node: Node | None, *, known: Collection[str] | None = None, required: Collection[str] = ()
) -> dict[str, Node]:
    """The values by key, in file order; empty when there is no mapping.

    A key that is not `known` is reported and left out; None knows them all. What `<<` merges comes last.
    """
    if node is None:
        return {}
    if not isinstance(node.raw, yaml.MappingNode):
        node.report(f"expected a mapping (key: value), not {_kind(node.raw)}")
        return {}
    fields: dict[str, Node] = {}
    for key, value in _pairs(node.raw):
        name = str(key.value)
        if known is not None and name not in known:
            _at(node, key).report(f"unknown key {_shown(name)}; {did_you_mean(name, known)}")
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
        node.report(f"expected a list, not {_kind(node.raw)}")
        return []
    return [_at(node, raw) for raw in node.raw.value]


def text(node: Node | None) -> str | None:
    """A string that is not empty."""
    value = any_text(node)
    if node is not None and value == "":
        node.report("expected a text that is not empty")
        return None
    return value


def any_text(node: Node | None) -> str | None:
    """A string, the empty one too."""
    if node is None:
        return None
    if not _has_tag(node.raw, "str"):
        node.report(_not_text(node.raw))
        return None
    return str(node.raw.value)


def word(node: Node | None) -> str | None:
    """A text that is not empty, or a whole number as it is written."""
    if node is not None and _has_tag(node.raw, "int") and _WHOLE_NUMBER.fullmatch(node.raw.value):
        return str(node.raw.value)
    return text(node)


def string_list(node: Node | None) -> tuple[str, ...] | None:
    """Strings that are not empty, in order; None when there is no list."""
    if node is None:
        return None
    return tuple(value for item in items(node) if (value := text(item)) is not None)


def integer(node: Node | None, *, minimum: int | None = None, maximum: int | None = None) -> int | None:
    """A whole number, bounds included."""
    if node is None:
        return None
    if not _has_tag(node.raw, "int") or not _WHOLE_NUMBER.fullmatch(node.raw.value):
        node.report(f"expected a whole number, not {_kind(node.raw)}")
        return None
    value = int(node.raw.value)
    if minimum is not None and value < minimum:
        node.report(f"{value} is too small; at least {minimum} is needed")
        return None
    if maximum is not None and value > maximum:
        node.report(f"{value} is too large; at most {maximum} is allowed")
        return None
    return value


def boolean(node: Node | None) -> bool | None:
    """True or false."""
    if node is None:
        return None
    if not _has_tag(node.raw, "bool"):
        node.report(f"expected true or false, not {_kind(node.raw)}")
        return None
    return _as_boolean(node.raw)


def duration(node: Node | None, *, minimum: timedelta | None = None) -> timedelta | None:
    """A duration as Prometheus writes it, `minimum` included."""
    written = _number_or_text(node, "a duration like 90s or 1h30m")
    if node is None or written is None:
        return None
    try:
        value = parse_duration(written)
    except DurationError as error:
        node.report(str(error))
        return None
    if minimum is not None and value < minimum:
        node.report(f"{written} is too short; at least {minimum.total_seconds():g}s is needed")
        return None
    return value


def rate(node: Node | None) -> tuple[int, timedelta] | None:
    """How often, and in what time: `3/6h`."""
    written = _number_or_text(node, "a rate like 3/6h")
    if node is None or written is None:
        return None
    try:
        return parse_rate(written)
    except RateError as error:
        node.report(str(error))
        return None


def choice(node: Node | None, kind: type[E]) -> E | None:
    """One of an enumeration's values."""
    value = text(node)
    if node is None or value is None:
        return None
    known = [member.value for member in kind]
    if value not in known:
        node.report(f"{_shown(value)} is not known here; {did_you_mean(value, known)}")
        return None
    return kind(value)


def relative_path(node: Node | None) -> Path | None:
    """A path, from the folder of the file that it is written in. Whether anything lies there is not looked at."""
    value = text(node)
    if node is None or value is None:
        return None
    if "\0" in value:
        node.report("a path cannot hold the character NUL")
        return None
    return node.file.parent / value


def existing_file(node: Node | None) -> Path | None:
    """As `relative_path`, to a file that can be read."""
    found = relative_path(node)
    if node is None or found is None:
        return None
    try:
        with found.open("rb"):
            return found
    except OSError as error:
        node.report(f"{_shown(str(found))} cannot be read: {error.strerror}")
        return None


def plain(node: Node | None) -> object:
    """Any value as JSON knows it: dict, list, str, int, float, bool or None; None, too, for what it cannot hold."""
    if node is None:
        return None
    if isinstance(node.raw, yaml.MappingNode):
        return {key: plain(value) for key, value in mapping(node).items()}
    if isinstance(node.raw, yaml.SequenceNode):
        return [plain(item) for item in items(node)]
    if _has_tag(node.raw, "str"):
        return str(node.raw.value)
    if _has_tag(node.raw, "null"):
        return None
    if _has_tag(node.raw, "bool"):
        return _as_boolean(node.raw)
    return _plain_number(node)


def did_you_mean(name: str, known: Collection[str]) -> str:
    """A hint: the nearest of the known names, or all of them."""
    near = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {near[0]!r}?" if near else f"known: {', '.join(sorted(known))}"


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
            line, column = _counted(event.start_mark)
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
    line, column = _counted(node.start_mark)
    return _Unreadable(words, line=line, column=column)


def _counted(mark: Any) -> tuple[int, int]:
    """Line and column from 1. PyYAML has two types of mark, and no word for both."""
    return mark.line + 1, mark.column + 1


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
        if raw.tag not in _KNOWN_TAGS:
            _at(document, raw).report(f"the tag {_shown(raw.tag)} means nothing here; remove it")
        if isinstance(raw, yaml.MappingNode):
            _report_keys(document, raw)
        waiting.extend(_children(raw))


def _report_keys(document: Node, raw: yaml.MappingNode) -> None:
    first: dict[str, int] = {}
    for key, value in raw.value:
        node = _at(document, key)
        if _has_tag(key, "merge") and not _can_merge(value):
            node.report("only mappings can be merged with <<")
        if not (_has_tag(key, "str") or _has_tag(key, "merge")):
            node.report(f"a key must be text: {_not_text(key)}")
        elif key.value in first:
            node.report(f"the key {_shown(key.value)} was given already on line {first[key.value]}")
        else:
            first[key.value] = node.line


def _can_merge(raw: yaml.Node) -> bool:
    sources = raw.value if isinstance(raw, yaml.SequenceNode) else [raw]
    return all(isinstance(source, yaml.MappingNode) for source in sources)


def _pairs(raw: yaml.MappingNode) -> Iterator[tuple[yaml.Node, yaml.Node]]:
    merged: list[yaml.Node] = []
    for key, value in raw.value:
        if _has_tag(key, "merge"):
            merged.extend(value.value if isinstance(value, yaml.SequenceNode) else [value])
        elif _has_tag(key, "str"):
            yield key, value
    for source in merged:
        if isinstance(source, yaml.MappingNode):
            yield from _pairs(source)


def _at(node: Node, raw: yaml.Node) -> Node:
    return Node(file=node.file, name=node.name, raw=raw, problems=node.problems)


def _has_tag(raw: yaml.Node, kind: str) -> bool:
    return isinstance(raw, yaml.ScalarNode) and raw.tag == _TAG + kind


def _as_boolean(raw: yaml.Node) -> bool:
    return str(raw.value).lower() in ("true", "yes", "on")


def _number_or_text(node: Node | None, wanted: str) -> str | None:
    if node is None:
        return None
    if not (_has_tag(node.raw, "str") or _has_tag(node.raw, "int") or _has_tag(node.raw, "float")):
        node.report(f"expected {wanted}, not {_kind(node.raw)}")
        return None
    return str(node.raw.value)


def _plain_number(node: Node) -> int | float | None:
    written = str(node.raw.value)
    if _has_tag(node.raw, "int") and _WHOLE_NUMBER.fullmatch(written):
        return int(written)
    if _has_tag(node.raw, "float") and _FRACTION.fullmatch(written):
        return float(written)
    if node.raw.tag in _KNOWN_TAGS:
        node.report(_not_text(node.raw))
    return None


def _not_text(raw: yaml.Node) -> str:
    if not isinstance(raw, yaml.ScalarNode):
        return f"expected text, not {_kind(raw)}"
    if _has_tag(raw, "null"):
        return "it has no value; give it one or remove it"
    return f"{_kind(raw)}; write it in quotes: '{raw.value}'"


def _kind(raw: yaml.Node) -> str:
    """What a value is, in words."""
    if isinstance(raw, yaml.MappingNode):
        return "a mapping"
    if isinstance(raw, yaml.SequenceNode) or not isinstance(raw, yaml.ScalarNode):
        return "a list"
    if _has_tag(raw, "null"):
        return "nothing"
    shown = _shown(raw.value)
    if _has_tag(raw, "str"):
        return f"the text {shown}"
    shown = shown[1:-1]
    if _has_tag(raw, "bool"):
        return f"{shown}, which YAML reads as {str(_as_boolean(raw)).lower()}"
    if _has_tag(raw, "timestamp"):
        return f"{shown}, which YAML reads as a date"
    return f"{shown}, which YAML reads as {_number(raw)}"


def _number(raw: yaml.ScalarNode) -> str:
    reader = yaml.SafeLoader("")
    try:
        value = reader.construct_yaml_int(raw) if _has_tag(raw, "int") else reader.construct_yaml_float(raw)
    except (ValueError, IndexError):
        # An explicit tag on what is none, or more digits than Python reads.
        return "a number"
    return f"the number {value}"


def _shown(written: str) -> str:
    return repr(written if len(written) <= _MAX_SHOWN else written[: _MAX_SHOWN - 1] + "…")
