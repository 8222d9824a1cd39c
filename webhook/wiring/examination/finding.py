"""What an examination finds: one answer to one question about an installation."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """How it stands with something, from well to worst."""

    OK = "ok"
    #: It works, and may hurt later.
    WARNING = "warning"
    #: It does not work, or lets someone do what they may not.
    PROBLEM = "problem"
    #: Someone that is needed does not answer.
    UNREACHABLE = "unreachable"
    #: Nothing works before this is mended.
    UNUSABLE = "unusable"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """How it stands with one thing, and what to do about it."""

    #: What was asked about.
    check: str
    state: State
    words: str
    #: What to do; empty when all is well.
    hint: str = ""


def ok(check: str, words: str) -> Finding:
    """All is well."""
    return Finding(check=check, state=State.OK, words=words)


def warning(check: str, words: str, hint: str) -> Finding:
    """It works, and may hurt later."""
    return Finding(check=check, state=State.WARNING, words=words, hint=hint)


def problem(check: str, words: str, hint: str) -> Finding:
    """It does not work, or lets someone do what they may not."""
    return Finding(check=check, state=State.PROBLEM, words=words, hint=hint)


def unreachable(check: str, words: str, hint: str) -> Finding:
    """Someone that is needed does not answer."""
    return Finding(check=check, state=State.UNREACHABLE, words=words, hint=hint)
