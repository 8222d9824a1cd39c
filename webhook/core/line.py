"""An audit entry as a line of an export: JSON in which the body stands exactly as it was sealed."""

from __future__ import annotations

import json
from typing import Any

from webhook.core.audit import AuditEntry, canonical, entry_hash

_HEAD = ("seq", "at", "event", "actor", "incident", "run", "rule", "target", "alertname", "decision", "outcome")
_BODY, _TAIL = b',"body":', b',"previous_hash":'


def write_line(entry: AuditEntry) -> str:
    """The entry as one line."""
    head = json.dumps({name: getattr(entry, name) for name in _HEAD}, ensure_ascii=False, separators=(",", ":"))
    tail = f'"previous_hash":"{entry.previous_hash}","hash":"{entry.hash}"'
    return f'{head[:-1]},"body":{entry.body},{tail}}}\n'


def read_line(line: bytes) -> AuditEntry:
    """The entry of a line, as `write_line` wrote it or in any other spelling of the same JSON.

    Raises:
        ValueError: it is no entry.
    """
    entry = _read_quickly(line)
    # What was spelled anew, by jq for example, has other bytes and says the same.
    return entry if entry is not None and entry_hash(entry) == entry.hash else _read_any(line)


def _read_quickly(line: bytes) -> AuditEntry | None:
    """The entry, with its body taken as it stands; None when the parts are not where they were written."""
    head, body_mark, rest = line.partition(_BODY)
    body, tail_mark, tail = rest.rpartition(_TAIL)
    if not body_mark or not tail_mark:
        return None
    try:
        fields = json.loads(head + tail_mark + tail)
        return AuditEntry(**fields, body=body.decode())
    except (ValueError, TypeError):
        return None


def _read_any(line: bytes) -> AuditEntry:
    try:
        row: Any = json.loads(line)
        return AuditEntry(**{**row, "body": canonical(row["body"])})
    except (TypeError, KeyError, RecursionError) as error:
        raise ValueError(str(error)) from None
