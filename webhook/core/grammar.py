"""The two grammars of matchers that Alertmanager reads: a text in, names and values out.

The grammar is that of Alertmanager 0.27 and later (its UTF-8 parser). A text that only the older, classic grammar
takes, such as `job=~"web\\d+"`, is read as that one reads it, like Alertmanager does by default. Refused are the texts
of which the author hardly meant what Alertmanager makes: a brace without its partner (`a=~x{2}`, of which the classic
grammar takes the brace away), an unquoted value that begins with an operator or another kind of quote or has an equals
sign in it (`a==b`, `a='b'`, `a=b c=d`), and a regular expression that the two grammars read differently (`"\\b"` is a
backspace to one and a word boundary to the other). A label name may not be empty.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum


class MatcherError(ValueError):
    """This is not a matcher."""

    def __init__(self, words: str, *, position: int = 0) -> None:
        #: Where in the text it went wrong; counts from 0.
        self.position = position
        super().__init__(words)


class MatchType(StrEnum):
    """How a matcher compares."""

    EQUAL = "="
    NOT_EQUAL = "!="
    REGEX = "=~"
    NOT_REGEX = "!~"


REGEX_TYPES = frozenset({MatchType.REGEX, MatchType.NOT_REGEX})


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One test as it was written."""

    name: str
    type: MatchType
    value: str
    #: Where its value begins in the text.
    position: int


def read(text: str) -> list[Part]:
    """The tests in `text`, separated by commas, with or without braces around them; none in an empty text.

    Raises:
        MatcherError: neither grammar takes it, or its author hardly meant what Alertmanager makes of it.
    """
    refuse_surrogates(text)
    classic = _read_classic(text)
    try:
        parts = _Reader(text).read()
    except MatcherError:
        if classic is None:
            raise
        return classic
    if classic is not None:
        _refuse_ambiguity(parts, classic)
    return parts


SURROGATE = re.compile("[\ud800-\udfff]")


def refuse_surrogates(text: str) -> None:
    """Returns when the text can be written as UTF-8.

    Raises:
        MatcherError: it cannot.
    """
    if not text.isascii() and (found := SURROGATE.search(text)):
        raise MatcherError("this character is half of a pair and stands for nothing", position=found.start())


# ---------------------------------------------------------------------------------------------------------------------
# The grammar of Alertmanager 0.27 and later: https://prometheus.io/docs/alerting/latest/configuration/#matcher

#: What Go calls a space; Python also counts the separators U+001C to U+001F.
_SPACES = "\t\n\v\f\r \u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
_SPACE = re.compile(f"[{_SPACES}]*")
PLAIN = re.compile(rf"[^{_SPACES}{{}}!=~,\\\"'`]+")
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_OPERATOR = re.compile("=~|!~|!=|=")


class _Reader:
    """Reads a text from left to right."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def read(self) -> list[Part]:
        braces = self._take("{")
        parts: list[Part] = []
        while not self._is_at_end() and self._peek() != "}":
            parts.append(self._part())
            if not self._take(","):
                break
        self._close(braces)
        return parts

    def _part(self) -> Part:
        self._skip_space()
        start = self._at
        name = self._word("a label name")
        if not name:
            raise MatcherError("the label name is empty", position=start)
        self._skip_space()
        operator = _OPERATOR.match(self._text, self._at)
        if not operator:
            raise self._error("expected one of = != =~ !~ after the label name")
        self._at = operator.end()
        self._skip_space()
        start = self._at
        value = self._word("a value")
        return Part(name=name, type=MatchType(operator[0]), value=value, position=start)

    def _word(self, what: str) -> str:
        if self._text.startswith('"', self._at):
            quoted = _QUOTED.match(self._text, self._at)
            if not quoted:
                raise self._error('unclosed quote; end it with "')
            self._at = quoted.end()
            return _unescaped(quoted[1], position=quoted.start(1))
        plain = PLAIN.match(self._text, self._at)
        if not plain:
            raise self._error(f"expected {what}; one with spaces or any of {{}}!=~,\\\"'` in it goes in double quotes")
        self._at = plain.end()
        return plain[0]

    def _close(self, braces: bool) -> None:
        if braces and not self._take("}"):
            raise self._error("expected a comma or a closing brace; a value with spaces in it goes in double quotes")
        if not self._is_at_end():
            wrong = "a closing brace without an opening one" if self._peek() == "}" else "expected a comma"
            hint = "a value with spaces, braces or quotes in it goes in double quotes"
            raise self._error("expected nothing after the closing brace" if braces else f"{wrong}; {hint}")

    def _take(self, character: str) -> bool:
        self._skip_space()
        taken = self._text.startswith(character, self._at)
        self._at += taken
        return taken

    def _peek(self) -> str:
        self._skip_space()
        return self._text[self._at : self._at + 1]

    def _is_at_end(self) -> bool:
        return self._peek() == ""

    def _skip_space(self) -> None:
        found = _SPACE.match(self._text, self._at)
        self._at = found.end() if found else self._at

    def _error(self, words: str) -> MatcherError:
        return MatcherError(words, position=self._at)


# What Go's strconv.Unquote takes inside double quotes.
_ESCAPE = re.compile(r"\\(?:([abfnrtv\\\"])|x([0-9A-Fa-f]{2})|([0-3][0-7]{2})|u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8}))")
_LETTERS = {"a": 7, "b": 8, "f": 12, "n": 10, "r": 13, "t": 9, "v": 11, "\\": 92, '"': 34}


def _unescaped(inside: str, *, position: int) -> str:
    if "\n" in inside:
        raise MatcherError(r"a line break inside quotes; write \n", position=position + inside.index("\n"))
    if "\\" not in inside:
        return inside
    # As bytes, because `\xc3\xa9` spells one character with two escapes.
    out, at = bytearray(), 0
    while (backslash := inside.find("\\", at)) >= 0:
        out += inside[at:backslash].encode()
        escape = _ESCAPE.match(inside, backslash)
        if not escape:
            words = f"{inside[backslash : backslash + 2]} is no escape; write \\\\ for a backslash"
            raise MatcherError(words, position=position + backslash)
        out += _escape_bytes(escape, position=position + backslash)
        at = escape.end()
    out += inside[at:].encode()
    try:
        return out.decode()
    except UnicodeDecodeError:
        raise MatcherError("the escapes in this text do not spell valid UTF-8", position=position) from None


def _escape_bytes(escape: re.Match[str], *, position: int) -> bytes:
    letter, hexadecimal, octal, short, long = escape.groups()
    if letter:
        return bytes([_LETTERS[letter]])
    if hexadecimal or octal:
        return bytes([int(hexadecimal or octal, 16 if hexadecimal else 8)])
    code = int(short or long, 16)
    if code > 0x10FFFF or 0xD800 <= code <= 0xDFFF:
        raise MatcherError(f"{escape[0]} is no character", position=position)
    return chr(code).encode()


def escaped(text: str) -> str:
    """A text as it stands inside double quotes."""
    # As Alertmanager prints it: both grammars read these three alike.
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


# ---------------------------------------------------------------------------------------------------------------------
# The classic grammar, of Alertmanager up to 0.26

_CLASSIC = re.compile(r"[\t\n\f\r ]*([a-zA-Z_:][a-zA-Z0-9_:]*)[\t\n\f\r ]*(=~|=|!=|!~)[\t\n\f\r ]*(.*)", re.DOTALL)
_CLASSIC_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
# Outside quotes a backslash hides a quote, but no comma.
_CLASSIC_PIECE = re.compile(r'(?:[^",\\]|\\["\\]?|"(?:[^"\\]|\\.)*")+', re.DOTALL)
_HARDLY_MEANT = re.compile(r"[~!'`]|.*(?:=|!~)", re.DOTALL)
_CLASSIC_ESCAPE = re.compile(r'\\([n"\\])')


def _read_classic(text: str) -> list[Part] | None:
    """The matchers as the classic grammar reads them; None where it does not, or its reading is hardly meant."""
    if text.startswith("{") != text.endswith("}"):
        return None
    braces = text.startswith("{")
    at, end = int(braces), len(text) - int(braces)
    parts: list[Part] = []
    while at < end and not _SPACE.fullmatch(text, at, end):
        piece = _CLASSIC_PIECE.match(text, at, end)
        part = _classic_part(text, at, piece.end()) if piece else None
        if piece is None or part is None or text[piece.end() : end][:1] not in ("", ","):
            return None
        parts.append(part)
        at = piece.end() + 1
    return parts


def _classic_part(text: str, start: int, end: int) -> Part | None:
    found = _CLASSIC.fullmatch(text, start, end)
    if not found:
        return None
    raw = found[3].rstrip("\t\n\f\r ")
    quoted = _CLASSIC_QUOTED.fullmatch(raw)
    if quoted:
        raw = quoted[1]
    elif '"' in _CLASSIC_ESCAPE.sub("", raw) or _HARDLY_MEANT.match(raw) or raw.count("{") != raw.count("}"):
        return None
    value = _CLASSIC_ESCAPE.sub(lambda escape: "\n" if escape[1] == "n" else escape[1], raw)
    return Part(name=found[1], type=MatchType(found[2]), value=value, position=found.start(3))


def _refuse_ambiguity(parts: list[Part], classic: list[Part]) -> None:
    for part, old in zip(parts, classic, strict=False):
        if part.type in REGEX_TYPES and part.value != old.value:
            words = (
                r"Alertmanager's two grammars read the escapes in this regular expression differently; "
                r"write \\ for each backslash"
            )
            raise MatcherError(words, position=part.position)
