"""An entry as a line of an export, and back."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook.core.audit import GENESIS, AuditEntry, AuditEvent, Event, entry_hash, seal
from webhook.core.line import read_line, write_line

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
TEXT = st.text(st.characters(exclude_categories=["Cs"]))
JSON = st.recursive(st.none() | st.booleans() | st.integers() | TEXT, lambda inner: st.dictionaries(TEXT, inner))


def entry(**columns: object) -> AuditEntry:
    event = AuditEvent(at=NOW, event=Event.DECISION, **columns)  # type: ignore[arg-type]
    return seal(event, seq=1, previous_hash=GENESIS)


@given(rule=TEXT, body=st.dictionaries(TEXT, JSON))
def test_what_is_written_is_one_line_that_says_the_same(rule: str, body: dict[str, object]) -> None:
    sealed = entry(rule=rule, body=body)
    line = write_line(sealed)
    assert line.count("\n") == 1 and line.endswith("\n")
    assert json.loads(line)["body"] == body
    assert read_line(line.encode()) == sealed


@pytest.mark.parametrize("key", ["body", "previous_hash", "hash", "seq"])
def test_a_body_may_hold_the_names_of_columns(key: str) -> None:
    sealed = entry(actor='","body":{"x":', body={key: {key: 1}, "z": [{key: '","previous_hash":"'}]})
    assert read_line(write_line(sealed).encode()) == sealed


def test_another_spelling_of_the_same_json_is_the_same_entry() -> None:
    sealed = entry(rule="ü", body={"b": 1, "a": "é\u2028"})
    found = json.loads(write_line(sealed))
    for spelled in (json.dumps(found), json.dumps(dict(reversed(found.items())), indent=None, ensure_ascii=False)):
        assert read_line(spelled.encode()) == sealed


def test_a_changed_body_keeps_its_hash_and_does_not_match_it() -> None:
    line = write_line(entry(body={"n": 1})).replace('{"n":1}', '{"n":2}')
    found = read_line(line.encode())
    assert found.body == '{"n":2}' and found.hash != entry_hash(found)


@pytest.mark.parametrize(
    "line", [b"", b"x", b"[]", b"null", b"{}", b'{"seq":1}', b"[" * 100_000, b"\xff\xfe", b'{"body":1}']
)
def test_what_is_no_entry_is_said(line: bytes) -> None:
    with pytest.raises(ValueError):
        read_line(line)
