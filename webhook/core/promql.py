"""PromQL with placeholders in it: a value becomes the whole or a part of a label matcher's string, and nothing else.

Read as far as its strings, comments and matching operators; what the expression means is Prometheus' affair.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from webhook.core.placeholder import Filling, Unfit, placeholders

_TOKEN = re.compile(
    r"""
      (?P<space>\s+|\#[^\n]*)
    | (?P<string>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|`[^`]*`)
    | (?P<operator>=~|!~|==|!=|=)
    | (?P<other>.)
    """,
    re.VERBOSE,
)
_MATCHING = ("=", "!=", "=~", "!~")
_PAIRS = {")": "(", "]": "[", "}": "{"}
_ESCAPED = re.compile(r"[\x00-\x1f\x7f\ufffd]")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Token:
    text: str
    is_string: bool
    #: The operator before, for a string; otherwise empty.
    operator: str = ""


def check_promql(text: str) -> None:
    """Returns when no value of an alert could make another expression of this one.

    Raises:
        Unfit: a placeholder stands where it could, or quotes and brackets do not pair.
    """
    open_brackets: list[str] = []
    for token in _tokens(text):
        if token.is_string:
            _check_string(token)
        elif placeholders(token.text) or token.text == "$":
            raise Unfit(
                'a placeholder may only stand in the quotes of a label matcher, like up{instance="$labels.instance"}'
            )
        elif token.text in "\"'`":
            raise Unfit(f"the quote {token.text} has no partner")
        elif token.text in _PAIRS.values():
            open_brackets.append(token.text)
        elif token.text in _PAIRS and (not open_brackets or open_brackets.pop() != _PAIRS[token.text]):
            raise Unfit(f"the bracket {token.text} has no partner")
    if open_brackets:
        raise Unfit(f"the bracket {open_brackets[-1]} has no partner")


def fill_promql(text: str, fill: Filling) -> str:
    """The expression with its placeholders replaced: escaped for their string, and literal in a regular expression.

    Raises:
        Unfit: `check_promql` does not let it pass, or a value is empty or cannot stand in a raw string.
    """
    check_promql(text)
    return "".join(fill(token.text, _escape(token)) for token in _tokens(text))


def _tokens(text: str) -> Iterator[_Token]:
    before = ""
    for found in _TOKEN.finditer(text):
        is_string = found.lastgroup == "string"
        yield _Token(text=found[0], is_string=is_string, operator=before if is_string else "")
        if found.lastgroup != "space":
            before = found[0] if found.lastgroup == "operator" else ""


def _check_string(token: _Token) -> None:
    if not placeholders(token.text):
        return
    if token.operator not in _MATCHING:
        raise Unfit("a placeholder may only stand in a label matcher's string, after = != =~ or !~")
    # What is escaped would be the value's first character; and what is quoted so could end before the value does.
    if "\\$" in token.text or "\\Q" in token.text:
        raise Unfit("neither a backslash before a placeholder nor \\Q is understood")


def _escape(token: _Token) -> Callable[[str], str]:
    quote = token.text[0]

    def escape(value: str) -> str:
        if not value:
            raise Unfit("is empty, and an empty matcher finds what has no such label")
        if quote == "`" and ("`" in value or _ESCAPED.search(value)):
            raise Unfit("cannot stand between backticks")
        # In a group of its own, so that what the author wrote after it is about the whole value.
        literal = f"(?:{re.escape(value)})" if token.operator in ("=~", "!~") else value
        if quote == "`":
            return literal
        literal = literal.replace("\\", "\\\\").replace(quote, "\\" + quote)
        return _ESCAPED.sub(lambda found: f"\\u{ord(found[0]):04x}", literal)

    return escape
