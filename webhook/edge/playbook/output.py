"""What a playbook printed, and what its tasks changed, as people may see it: harmless and bounded."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from webhook.edge.playbook.text import printable

#: Of what is printed at once this much is kept, half of it from the beginning and half from the end.
TEXT_LIMIT_CHARACTERS: Final = 64 * 1024
#: Of what one task changed, and of what all tasks of a run changed.
DIFF_LIMIT_CHARACTERS: Final = 8 * 1024
DIFFS_LIMIT_CHARACTERS: Final = 64 * 1024
#: Of a file before and after, so much is compared: comparing takes time with the square of the lines.
_COMPARED_LINES: Final = 1000
_COMPARED_CHARACTERS: Final = 256 * 1024


def shown(text: str, *, limit: int = TEXT_LIMIT_CHARACTERS) -> str:
    """Head and tail of a text, without escapes and control characters."""
    if len(text) > limit:
        # It is cut before it is cleaned, or a task that prints a gigabyte would cost a second one.
        half = limit // 2
        text = f"{text[:half]}\n… [{len(text) - 2 * half} characters left out by alertmend] …\n{text[-half:]}"
    return printable(text)


def diff_of(result: Mapping[str, Any]) -> str:
    """What a task says that it changed, the items of its loop included."""
    items = result.get("results")
    found = [result, *(item for item in items if isinstance(item, dict))] if isinstance(items, list) else [result]
    texts = [text for item in found for text in _diffs(item.get("diff"))]
    return shown("\n".join(texts), limit=DIFF_LIMIT_CHARACTERS)


def _diffs(diff: Any) -> Iterator[str]:
    for one in diff if isinstance(diff, list) else [diff]:
        if isinstance(one, dict):
            yield from filter(None, [str(one.get("prepared") or ""), _compared(one)])


def _compared(diff: Mapping[str, Any]) -> str:
    if "before" not in diff and "after" not in diff:
        return ""
    before, after = _lines(diff.get("before")), _lines(diff.get("after"))
    first, second = (str(diff.get(f"{name}_header") or name) for name in ("before", "after"))
    return "\n".join(difflib.unified_diff(before, after, first, second, lineterm=""))


def _lines(content: Any) -> list[str]:
    text = content if isinstance(content, str) else json.dumps(content, indent=2, sort_keys=True)
    return text[:_COMPARED_CHARACTERS].splitlines()[:_COMPARED_LINES] if content is not None else []
