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

from collections.abc import Sequence

from webhook.errors import ConfigError, Problem
from webhook.located.document import MAX_DEPTH, MAX_FILE_BYTES, MAX_VALUES, load, parse
from webhook.located.node import Node, did_you_mean, items, mapping
from webhook.located.value import (
    any_text,
    boolean,
    choice,
    duration,
    existing_file,
    integer,
    otherwise,
    plain,
    rate,
    relative_path,
    string_list,
    text,
    word,
)

__all__ = [
    "MAX_DEPTH",
    "MAX_FILE_BYTES",
    "MAX_VALUES",
    "Node",
    "any_text",
    "boolean",
    "choice",
    "did_you_mean",
    "duration",
    "existing_file",
    "integer",
    "items",
    "load",
    "mapping",
    "otherwise",
    "parse",
    "plain",
    "rate",
    "refuse",
    "relative_path",
    "string_list",
    "text",
    "word",
]


def refuse(problems: Sequence[Problem]) -> None:
    """Returns when there are none.

    Raises:
        ConfigError: with all of them, each once, in the order of their places.
    """
    if problems:
        unique = dict.fromkeys(problems)
        raise ConfigError(sorted(unique, key=lambda problem: (str(problem.file), problem.line, problem.column)))
