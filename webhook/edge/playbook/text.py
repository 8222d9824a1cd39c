"""Strings from strangers, made harmless before Ansible sees them; and what Ansible says, made harmless to people."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from webhook.core.placeholder import Untrusted
from webhook.text import clean, visible

#: Magic variables are top-level names; a name that Ansible reads as a tag replaces the whole dictionary.
_NAME = re.compile(r"(?!__)[A-Za-z_][A-Za-z0-9_]*")
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)")


def unsafe(value: object) -> object:
    """`value` with every string in it cleaned and marked, so that Ansible never templates it.

    A name that Ansible could take for more than a name is left out, with its value.
    """
    if isinstance(value, str):
        return {"__ansible_unsafe": clean(value)}
    if isinstance(value, Mapping):
        return {name: unsafe(item) for name, item in value.items() if _NAME.fullmatch(str(name))}
    if isinstance(value, (list, tuple)):
        return [unsafe(item) for item in value]
    return value


def trusted(value: object) -> object:
    """A rule author's value: theirs to template, but for what came from a stranger."""
    if isinstance(value, Untrusted):
        return unsafe(str(value))
    if isinstance(value, Mapping):
        return {name: trusted(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [trusted(item) for item in value]
    return value


def printable(text: str) -> str:
    """What Ansible printed, without escapes and control characters."""
    return visible(_ESCAPES.sub("", text.replace("\r\n", "\n")))


def tidy_in(value: Any, tidy: Callable[[str], str]) -> Any:
    """A JSON value with every text in it tidied."""
    if isinstance(value, str):
        return tidy(value)
    if isinstance(value, dict):
        return {tidy(str(name)): tidy_in(item, tidy) for name, item in value.items()}
    if isinstance(value, float) and not math.isfinite(value):
        # JSON has no word for it.
        return str(value)
    return [tidy_in(item, tidy) for item in value] if isinstance(value, list) else value
