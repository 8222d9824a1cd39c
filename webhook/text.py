"""Strings from strangers, made harmless to people and terminals, and bounded."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable
from typing import Final

#: Longer values are cut where they come in, with a mark; no label that a rule can use is longer.
VALUE_LIMIT_BYTES: Final = 64 * 1024
CUT_MARK: Final = " [cut by alertmend]"

#: What moves a cursor, forges ansible-runner's events or turns text around: C0 except tab and newline, DEL, C1,
#: bidirectional controls; and lone surrogates, which are no text at all.
_UNSEEN: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
#: All of that, and what ends a line.
_NOT_IN_LINE: Final = re.compile(f"(?:[\t\n\u2028\u2029]|{_UNSEEN.pattern})+")


def visible(text: str) -> str:
    """`text` without characters that nobody sees; tabs and line breaks stay."""
    return text if text.isascii() and text.isprintable() else _UNSEEN.sub("", text)


def clean(text: str) -> str:
    """`text` without characters that nobody sees, cut to `VALUE_LIMIT_BYTES`."""
    text = visible(text)
    if len(text) <= VALUE_LIMIT_BYTES // 4:
        return text
    raw = text.encode()
    if len(raw) <= VALUE_LIMIT_BYTES:
        return text
    return raw[: VALUE_LIMIT_BYTES - len(CUT_MARK)].decode(errors="ignore") + CUT_MARK


def one_line(words: str, *, limit: int) -> str:
    """`words` on one line, what nobody sees in them a space, and no longer than `limit` characters."""
    words = _NOT_IN_LINE.sub(" ", words).strip()
    return words if len(words) <= limit else words[: limit - 1] + "…"


def csv_lines(rows: Iterable[Iterable[object]]) -> str:
    """Rows as CSV that no spreadsheet runs anything of; None is an empty cell, what is no text is JSON."""
    written = io.StringIO()
    csv.writer(written, lineterminator="\n").writerows([_cell(value) for value in row] for row in rows)
    return written.getvalue()


def _cell(value: object) -> str:
    if value is None:
        return ""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    # A spreadsheet runs what begins like a formula; a number below zero is none.
    begins = isinstance(value, str) and (text[:1] in ("=", "+", "@", "\t", "\r") or (text[:1] == "-" and len(text) > 1))
    return f"'{text}" if begins else text
