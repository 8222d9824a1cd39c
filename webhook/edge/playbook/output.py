"""What a playbook printed, and what its tasks changed, as people may see it: harmless and bounded."""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from webhook.edge.playbook.terminal import KEPT, MARGIN, SEAM

#: Of what is printed at once this much is kept, half of it from the beginning and half from the end.
TEXT_LIMIT_CHARACTERS: Final = 64 * 1024
#: Of what one task changed, and of what all tasks of a run changed.
DIFF_LIMIT_CHARACTERS: Final = 8 * 1024
DIFFS_LIMIT_CHARACTERS: Final = 64 * 1024
_LEFT_OUT: Final = "\n… [left out by alertmend] …\n"
#: Of a file before and after, so much is compared: comparing takes time with the square of the lines.
_COMPARED_LINES: Final = 1000
_COMPARED_CHARACTERS: Final = 256 * 1024


def shown(text: str, *, tidy: Callable[[str], str], limit: int = TEXT_LIMIT_CHARACTERS) -> str:
    """Head and tail of a text, each tidied."""
    head, seam, tail = text.partition(SEAM)
    if not seam and len(text) > limit + 2 * MARGIN:
        head, seam, tail = text, SEAM, text
    if not seam:
        return _cut(tidy(text), limit)
    # It is cut before it is tidied, or a task that prints a gigabyte would cost a second one: with a margin, which goes
    # afterwards. Whatever the cut went through, and may not have been known for what it is, is no longer in it.
    size = min(limit // 2, KEPT) + MARGIN
    return f"{tidy(head[:size])[:-MARGIN]}{_LEFT_OUT}{tidy(tail[-size:])[MARGIN:]}"


def diff_of(result: Mapping[str, Any], *, tidy: Callable[[str], str]) -> str:
    """What a task says that it changed, the items of its loop included."""
    items = result.get("results")
    found = [result, *(item for item in items if isinstance(item, dict))] if isinstance(items, list) else [result]
    texts = [text for item in found for text in _diffs(item.get("diff"))]
    return shown("\n".join(texts), tidy=tidy, limit=DIFF_LIMIT_CHARACTERS)


def _cut(text: str, limit: int) -> str:
    half = limit // 2
    return text if len(text) <= limit else f"{text[:half]}{_LEFT_OUT}{text[-half:]}"


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
