"""What must not be stored or shown, taken out of texts. Linear in their length, whatever the patterns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import re2

REDACTED: Final = "[redacted]"
_MAX_PATTERN_BYTES: Final = 8 * 1024 * 1024


class RedactionError(ValueError):
    """This is not a pattern to redact by."""


@dataclass(frozen=True, slots=True)
class Redaction:
    """Takes out whatever one of the patterns matches, each a regular expression of RE2.

    Raises:
        RedactionError: one is no regular expression, or matches the empty text and so everywhere.
    """

    patterns: Sequence[str] = ()
    _compiled: tuple[Any, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_compiled", tuple(_compiled(pattern) for pattern in self.patterns))

    def apply(self, text: str) -> str:
        """The text with `[redacted]` in place of every match."""
        if self._compiled and not text.isascii():
            # Lone surrogates are no text to RE2.
            text = text.encode(errors="replace").decode()
        for pattern in self._compiled:
            # As a function: an empty match, which a pattern like `\\b` has, is no reason to write anything.
            text = pattern.sub(lambda match: REDACTED if match.group() else "", text)
        return text


def literally(text: str) -> str:
    """The pattern that matches a text, and nothing else."""
    return str(re2.escape(text))


def _compiled(pattern: str) -> Any:
    options = re2.Options()
    options.log_errors = False
    options.max_mem = _MAX_PATTERN_BYTES
    try:
        found = re2.compile(pattern, options)
    except re2.error as error:
        words = error.args[0]
        raise RedactionError(words.decode() if isinstance(words, bytes) else str(words)) from None
    if found.search("") is not None:
        raise RedactionError("it matches the empty text, and so everywhere")
    return found
