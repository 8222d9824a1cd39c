"""Matchers: one test on one label, in Alertmanager's grammar.

Does not know rules: what follows from a match is decided elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

import re2

from webhook.core.grammar import (
    PLAIN,
    REGEX_TYPES,
    SURROGATE,
    MatcherError,
    MatchType,
    Part,
    escaped,
    read,
    refuse_surrogates,
)

__all__ = ["MatchType", "Matcher", "MatcherError", "all_match", "parse_matcher", "parse_matchers"]


@dataclass(frozen=True, slots=True)
class Matcher:
    """One test on one label. A label that is missing counts as empty.

    Regular expressions are RE2's, match the whole value, and their dot does not match a newline.

    Raises:
        MatcherError: the name is empty, or the value is no regular expression where it must be one.
    """

    name: str
    type: MatchType
    value: str

    def __post_init__(self) -> None:
        if not self.name:
            raise MatcherError("the label name is empty")
        refuse_surrogates(self.name)
        refuse_surrogates(self.value)
        if self.type in REGEX_TYPES:
            _compiled(self.value)

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether `labels` pass this test; never raises, whatever a stranger put into them."""
        found = labels.get(self.name, "")
        kind = self.type
        if kind == MatchType.EQUAL:
            return found == self.value
        if kind == MatchType.NOT_EQUAL:
            return found != self.value
        return (_compiled(self.value).fullmatch(_utf8(found)) is not None) is (kind == MatchType.REGEX)

    def __str__(self) -> str:
        if PLAIN.fullmatch(self.name):
            return f'{self.name}{self.type}"{escaped(self.value)}"'
        return f'"{escaped(self.name)}"{self.type}"{escaped(self.value)}"'


def all_match(matchers: Iterable[Matcher], labels: Mapping[str, str]) -> bool:
    """Whether `labels` pass every test; no tests are passed by anything."""
    for matcher in matchers:  # noqa: SIM110 - half the time of all() with a generator, and asked for every rule.
        if not matcher.matches(labels):
            return False
    return True


def parse_matcher(text: str) -> Matcher:
    """The one matcher in `text`.

    Raises:
        MatcherError: `text` holds none, more than one, or something else.
    """
    matchers = parse_matchers(text)
    if len(matchers) != 1:
        found = f"found {len(matchers)}" if matchers else "found none"
        raise MatcherError(f'expected one matcher such as job="web", {found}')
    return matchers[0]


def parse_matchers(text: str) -> tuple[Matcher, ...]:
    """The matchers in `text`, separated by commas, with or without braces around them; none in an empty text.

    Raises:
        MatcherError: `text` is not that.
    """
    return tuple(_built(part) for part in read(text))


def _built(part: Part) -> Matcher:
    try:
        return Matcher(part.name, part.type, part.value)
    except MatcherError as error:
        raise MatcherError(str(error), position=part.position) from None


#: RE2 refuses to compile, and at run time forgets and starts over, rather than use more than this for one expression.
_MAX_REGEX_BYTES = 1 << 20


class _Regex(Protocol):
    def fullmatch(self, text: bytes) -> object | None: ...


@lru_cache(maxsize=4096)
def _compiled(value: str) -> _Regex:
    # Compiled bare and matched whole. Alertmanager compiles `^(?:` + value + `)$` instead: the same language, but for
    # `a)|(b`, which gets out of its anchors there and is refused here.
    options = re2.Options()
    options.log_errors = False
    options.max_mem = _MAX_REGEX_BYTES
    try:
        regex: _Regex = re2.compile(value, options)
    except re2.error as error:
        raise MatcherError(f"bad regular expression: {_reason(error)}") from None
    return regex


def _reason(error: Exception) -> str:
    reason = error.args[0] if error.args else ""
    return reason.decode("utf-8", "replace") if isinstance(reason, bytes) else str(reason)


def _utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        return SURROGATE.sub("\N{REPLACEMENT CHARACTER}", text).encode()
