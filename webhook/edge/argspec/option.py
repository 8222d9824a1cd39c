"""One option of an argument spec, and whether a value that stands in a rule can be what it asks for."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from webhook.core.placeholder import placeholders
from webhook.located import Node, did_you_mean, items, mapping, plain

_BOOLEANS: Final = frozenset(["1", "0", "yes", "no", "on", "off", "true", "false", "y", "n", "t", "f"])
_SIZE: Final = re.compile(r"\s*\d*\.?\d*\s*[A-Za-z]*\s*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """A variable that a role takes."""

    type: str = "str"
    #: The type of a list's items.
    elements: str = "raw"
    choices: tuple[object, ...] = ()
    #: It must be given, since the spec has no default for it.
    is_required: bool = False
    #: The keys of a mapping, or of each mapping in a list.
    options: Mapping[str, Option] = field(default_factory=dict)
    description: str = ""


def read_options(value: object) -> dict[str, Option]:
    """The options of a spec, by name; what is malformed is left to Ansible to complain about."""
    written = value if isinstance(value, dict) else {}
    return {str(name): _option(spec) for name, spec in written.items() if isinstance(spec, dict)}


def check_value(node: Node, option: Option, *, of: str) -> None:
    """Report the value when the role `of` would refuse it.

    Ansible turns text into most types, so what comes from a label may become anything. In other directions this is
    stricter than Ansible, which would make the text 'True' of a `yes` without a word.
    """
    value = plain(replace(node, problems=[]))
    if value is None or _is_open(value):
        return
    words, is_accepted = _TYPES.get(option.type, _ANYTHING)
    if not is_accepted(value):
        node.report(f"{of} takes {words} here, not {_shown(value)}")
    elif option.choices and str(value) not in (known := [str(choice) for choice in option.choices]):
        node.report(f"{of} does not know {_shown(value)}; {did_you_mean(str(value), known)}")
    elif isinstance(value, list):
        of_items = replace(option, type=option.elements, choices=())
        for item in items(node):
            check_value(item, of_items, of=of)
    elif isinstance(value, dict) and option.options:
        _check_keys(node, option, of=of)


def _check_keys(node: Node, option: Option, *, of: str) -> None:
    given = mapping(node, known=option.options)
    for name, value in given.items():
        check_value(value, option.options[name], of=of)
    for name, inner in option.options.items():
        if inner.is_required and name not in given:
            node.report(f"the key {name!r} is missing; {of} needs it: {inner.description}".removesuffix(": "))


def _option(spec: Mapping[str, Any]) -> Option:
    choices = spec.get("choices")
    description = spec.get("description", "")
    lines = description if isinstance(description, list) else [description]
    return Option(
        type=str(spec.get("type", "str")),
        elements=str(spec.get("elements", "raw")),
        choices=tuple(choices) if isinstance(choices, list) else (),
        is_required=spec.get("required") is True and spec.get("default") is None,
        options=read_options(spec.get("options")),
        description=" ".join(str(line) for line in lines),
    )


def _is_open(value: object) -> bool:
    """Whether a text is only known when it runs: a stranger's words go into it, or Ansible evaluates it."""
    return isinstance(value, str) and (bool(placeholders(value)) or "{{" in value or "{%" in value)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_text(value: object) -> bool:
    return isinstance(value, str) or _is_number(value)


def _is_whole(value: object) -> bool:
    return _is_fraction(value) and float(str(value)).is_integer()


def _is_fraction(value: object) -> bool:
    try:
        return not isinstance(value, (bool, list, dict)) and abs(float(str(value))) != float("inf")
    except ValueError:
        return False


def _is_boolean(value: object) -> bool:
    return isinstance(value, bool) or (_is_text(value) and str(value).lower() in _BOOLEANS)


def _is_list(value: object) -> bool:
    return isinstance(value, list) or _is_text(value)


def _is_mapping(value: object) -> bool:
    return isinstance(value, dict) or (isinstance(value, str) and ("=" in value or value.startswith("{")))


def _is_size(value: object) -> bool:
    return _is_text(value) and _SIZE.fullmatch(str(value)) is not None


_ANYTHING: Final = ("anything", lambda value: True)
_TEXT: Final = ("text", _is_text)
#: Ansible's types: in words, and what can become one.
_TYPES: Final[Mapping[str, tuple[str, Callable[[object], bool]]]] = {
    "str": _TEXT,
    "path": _TEXT,
    "int": ("a whole number", _is_whole),
    "float": ("a number", _is_fraction),
    "bool": ("true or false", _is_boolean),
    "list": ("a list", _is_list),
    "dict": ("a mapping", _is_mapping),
    "bytes": ("a size like 10M", _is_size),
    "bits": ("a size like 10Mb", _is_size),
}


def _shown(value: object) -> str:
    shown = repr(value) if isinstance(value, str) else str(value)
    return shown if len(shown) <= 60 else shown[:59] + "…"
