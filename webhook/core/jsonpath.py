"""A path to one value in a JSON document: `$.status`, `$.checks[0].state`, `$['odd name'][-1]`.

A strict part of JSONPath (RFC 9535), the one that names at most one value: no wildcards, slices, filters or descent.
"""

from __future__ import annotations

import re

from webhook.core.placeholder import Unfit, placeholders

Step = str | int

_STEP = re.compile(
    r"\.(?P<name>[A-Za-z_][A-Za-z0-9_-]*)|\['(?P<single>[^'\\]*)'\]|\[\"(?P<double>[^\"\\]*)\"\]|\[(?P<index>-?[0-9]{1,9})\]"
)


class Absent(Exception):
    """There is no value at the path."""


def parse_path(text: str) -> tuple[Step, ...]:
    """The steps from the document down.

    Raises:
        Unfit: this is not such a path.
    """
    if placeholders(text):
        raise Unfit("a path is yours alone; nothing is replaced in it")
    if not text.startswith("$"):
        raise Unfit("a path begins with $, like $.status")
    steps: list[Step] = []
    position = 1
    while position < len(text):
        found = _STEP.match(text, position)
        if not found:
            raise Unfit(f"at character {position + 1}: only .name, ['any name'] and [0] are understood")
        index = found["index"]
        steps.append(int(index) if index is not None else found[found.lastgroup or 0])
        position = found.end()
    return tuple(steps)


def value_at(document: object, steps: tuple[Step, ...]) -> object:
    """The value at the path.

    Raises:
        Absent: there is none.
    """
    for step in steps:
        try:
            if isinstance(step, int) is not isinstance(document, list):
                raise Absent
            document = document[step]  # type: ignore[index]
        except (KeyError, IndexError, TypeError):
            raise Absent from None
    return document


def is_same(found: object, wanted: object) -> bool:
    """Whether two JSON values without parts are the same; true is not 1, but 1 is 1.0."""
    if isinstance(found, bool) or isinstance(wanted, bool):
        return found is wanted
    return found == wanted
