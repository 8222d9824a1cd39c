"""Readers of values: each gives what it is called after, or reports what stands there instead."""

from __future__ import annotations

import re
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Final, TypeVar

import yaml

from webhook.core.duration import DurationError, RateError, parse_duration, parse_rate
from webhook.located.kind import KNOWN_TAGS, WHOLE_NUMBER, as_boolean, has_tag, kind_of, not_text, shown
from webhook.located.node import Node, did_you_mean, items, mapping

_FRACTION: Final = re.compile(r"[-+]?[0-9]{1,18}\.[0-9]{0,18}([eE][-+][0-9]{1,2})?")

T = TypeVar("T")
E = TypeVar("E", bound=StrEnum)


def otherwise(value: T | None, default: T) -> T:
    """The value, or the default when there is none."""
    return default if value is None else value


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
    if not has_tag(node.raw, "str"):
        node.report(not_text(node.raw))
        return None
    return str(node.raw.value)


def word(node: Node | None) -> str | None:
    """A text that is not empty, or a whole number as it is written."""
    if node is not None and has_tag(node.raw, "int") and WHOLE_NUMBER.fullmatch(node.raw.value):
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
    if not has_tag(node.raw, "int") or not WHOLE_NUMBER.fullmatch(node.raw.value):
        node.report(f"expected a whole number, not {kind_of(node.raw)}")
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
    if not has_tag(node.raw, "bool"):
        node.report(f"expected true or false, not {kind_of(node.raw)}")
        return None
    return as_boolean(node.raw)


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
        node.report(f"{shown(value)} is not known here; {did_you_mean(value, known)}")
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
        node.report(f"{shown(str(found))} cannot be read: {error.strerror}")
        return None


def plain(node: Node | None) -> object:
    """Any value as JSON knows it: dict, list, str, int, float, bool or None; None, too, for what it cannot hold."""
    if node is None:
        return None
    if isinstance(node.raw, yaml.MappingNode):
        return {key: plain(value) for key, value in mapping(node).items()}
    if isinstance(node.raw, yaml.SequenceNode):
        return [plain(item) for item in items(node)]
    if has_tag(node.raw, "str"):
        return str(node.raw.value)
    if has_tag(node.raw, "null"):
        return None
    if has_tag(node.raw, "bool"):
        return as_boolean(node.raw)
    return _plain_number(node)


def _number_or_text(node: Node | None, wanted: str) -> str | None:
    if node is None:
        return None
    if not (has_tag(node.raw, "str") or has_tag(node.raw, "int") or has_tag(node.raw, "float")):
        node.report(f"expected {wanted}, not {kind_of(node.raw)}")
        return None
    return str(node.raw.value)


def _plain_number(node: Node) -> int | float | None:
    written = str(node.raw.value)
    if has_tag(node.raw, "int") and WHOLE_NUMBER.fullmatch(written):
        return int(written)
    if has_tag(node.raw, "float") and _FRACTION.fullmatch(written):
        return float(written)
    if node.raw.tag in KNOWN_TAGS:
        node.report(not_text(node.raw))
    return None
