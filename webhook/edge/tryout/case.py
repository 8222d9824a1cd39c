"""The cases in which a playbook is tried, as its author writes them beside the role."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from webhook.errors import Problem
from webhook.located import Node, any_text, choice, items, load, mapping, otherwise, plain, refuse, text


class Expected(StrEnum):
    """How a run may have to end."""

    #: It changes something, a second run changes nothing more, and check mode said so and did nothing.
    MENDED = "mended"
    #: It has nothing to do, and does nothing.
    UNTOUCHED = "untouched"
    #: It fails before it changes anything.
    REFUSED = "refused"
    #: It acts, and its verify sees that it did not help.
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One state of a machine, and what the playbook has to make of it."""

    name: str
    vars: Mapping[str, Any]
    #: Tasks that bring the machine into that state.
    given: tuple[Mapping[str, Any], ...]
    expect: Expected
    #: Must stand in what Ansible says.
    words: str


def read_cases(file: Path) -> tuple[Case, ...]:
    """The cases in a file.

    Raises:
        ConfigError: with every problem in it; one is that no case is `mended`, or none `failed`.
    """
    problems: list[Problem] = []
    document = load(file, problems)
    listed = mapping(document, known={"cases"}, required={"cases"}).get("cases")
    cases = tuple(_case(node) for node in items(listed))
    refuse(problems)
    for needed, words in (
        (Expected.MENDED, "no case says `expect: mended`: nothing shows that it helps"),
        (Expected.FAILED, "no case says `expect: failed`: nothing shows that verify fails when it did not help"),
    ):
        if listed is not None and needed not in {case.expect for case in cases}:
            listed.report(words)
    refuse(problems)
    return cases


def _case(node: Node) -> Case:
    fields = mapping(node, known={"name", "vars", "given", "expect", "words"}, required={"name", "expect"})
    given = [plain(task) for task in items(fields.get("given"))]
    return Case(
        name=otherwise(text(fields.get("name")), ""),
        vars={name: plain(value) for name, value in mapping(fields.get("vars")).items()},
        given=tuple(task for task in given if isinstance(task, dict)),
        expect=otherwise(choice(fields.get("expect"), Expected), Expected.MENDED),
        words=otherwise(any_text(fields.get("words")), ""),
    )
