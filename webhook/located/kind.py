"""What a value of a YAML file is, and how it is called in words."""

from __future__ import annotations

import re
from typing import Any, Final

import yaml

_MAX_SHOWN: Final = 60

TAG: Final = "tag:yaml.org,2002:"
_SCALARS: Final = ("str", "int", "float", "bool", "null", "timestamp", "merge", "value")
KNOWN_TAGS: Final = frozenset(TAG + kind for kind in (*_SCALARS, "map", "seq"))
WHOLE_NUMBER: Final = re.compile(r"0|-?[1-9][0-9]{0,17}")


def counted(mark: Any) -> tuple[int, int]:
    """Line and column from 1. PyYAML has two types of mark, and no word for both."""
    return mark.line + 1, mark.column + 1


def has_tag(raw: yaml.Node, kind: str) -> bool:
    """It is a scalar that YAML reads as that kind."""
    return isinstance(raw, yaml.ScalarNode) and raw.tag == TAG + kind


def as_boolean(raw: yaml.Node) -> bool:
    """What YAML 1.1 reads a boolean as."""
    return str(raw.value).lower() in ("true", "yes", "on")


def not_text(raw: yaml.Node) -> str:
    """Why a value is no text, and what to write."""
    if not isinstance(raw, yaml.ScalarNode):
        return f"expected text, not {kind_of(raw)}"
    if has_tag(raw, "null"):
        return "it has no value; give it one or remove it"
    return f"{kind_of(raw)}; write it in quotes: '{raw.value}'"


def kind_of(raw: yaml.Node) -> str:
    """What a value is, in words."""
    if isinstance(raw, yaml.MappingNode):
        return "a mapping"
    if isinstance(raw, yaml.SequenceNode) or not isinstance(raw, yaml.ScalarNode):
        return "a list"
    if has_tag(raw, "null"):
        return "nothing"
    written = shown(raw.value)
    if has_tag(raw, "str"):
        return f"the text {written}"
    written = written[1:-1]
    if has_tag(raw, "bool"):
        return f"{written}, which YAML reads as {str(as_boolean(raw)).lower()}"
    if has_tag(raw, "timestamp"):
        return f"{written}, which YAML reads as a date"
    return f"{written}, which YAML reads as {_number(raw)}"


def _number(raw: yaml.ScalarNode) -> str:
    reader = yaml.SafeLoader("")
    try:
        value = reader.construct_yaml_int(raw) if has_tag(raw, "int") else reader.construct_yaml_float(raw)
    except (ValueError, IndexError):
        # An explicit tag on what is none, or more digits than Python reads.
        return "a number"
    return f"the number {value}"


def shown(written: str) -> str:
    """What is written there, quoted and cut to what a line of words has room for."""
    return repr(written if len(written) <= _MAX_SHOWN else written[: _MAX_SHOWN - 1] + "…")
