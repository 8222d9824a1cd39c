"""The chain: whoever changes, removes, swaps, adds or cuts an entry is found, and where."""

from __future__ import annotations

import hashlib
import json
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from webhook.core.audit import (
    GENESIS,
    AuditEntry,
    AuditEvent,
    Event,
    canonical,
    entry_hash,
    seal,
    seal_all,
    timestamp,
)
from webhook.core.chain import first_break

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
EVENTS = st.builds(
    AuditEvent,
    at=st.datetimes(timezones=st.just(UTC)),
    event=st.sampled_from(Event),
    actor=TEXT,
    incident=st.none() | TEXT,
    rule=st.none() | TEXT,
    target=st.none() | TEXT,
    decision=st.none() | TEXT,
    body=st.dictionaries(TEXT, JSON, max_size=3),
)
CHAINS = st.lists(EVENTS, min_size=1, max_size=6).map(lambda events: seal_all(events, seq=0, previous_hash=GENESIS))


#: What a column may be changed to; the others may be null, and any text.
NEW: dict[str, st.SearchStrategy[Any]] = {"seq": st.integers(-5, 10), "body": st.text(max_size=8)}


def chain(length: int) -> list[AuditEntry]:
    events = [AuditEvent(at=NOON, event=Event.DECISION, body={"number": number}) for number in range(length)]
    return seal_all(events, seq=0, previous_hash=GENESIS)


def broken_at(entries: list[AuditEntry]) -> int | None:
    found = first_break(entries)
    return found.seq if found else None


@given(CHAINS)
def test_a_chain_that_nobody_touched_holds(entries: list[AuditEntry]) -> None:
    assert broken_at(entries) is None
    assert [entry.seq for entry in entries] == list(range(1, len(entries) + 1))


def test_no_entries_are_a_chain() -> None:
    assert broken_at([]) is None


@given(CHAINS, st.data())
def test_a_changed_entry_is_found_whatever_was_changed_in_it(entries: list[AuditEntry], data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(entries) - 1))
    name = data.draw(st.sampled_from([field.name for field in fields(AuditEntry)]))
    before = getattr(entries[place], name)
    after = data.draw(NEW.get(name, st.none() | st.text(max_size=8)))
    assume(after != before)
    entries[place] = replace(entries[place], **{name: after})
    assert broken_at(entries) == place + 1


@given(CHAINS, st.data())
def test_an_entry_that_was_sealed_anew_after_its_change_is_found_at_the_next_one(
    entries: list[AuditEntry], data: st.DataObject
) -> None:
    assume(len(entries) > 1)
    place = data.draw(st.integers(0, len(entries) - 2))
    changed = replace(entries[place], actor=entries[place].actor + "x")
    entries[place] = replace(changed, hash=entry_hash(changed))
    assert broken_at(entries) == place + 2


@given(CHAINS, st.data())
def test_a_removed_entry_is_found(entries: list[AuditEntry], data: st.DataObject) -> None:
    assume(len(entries) > 1)
    place = data.draw(st.integers(0, len(entries) - 2))
    del entries[place]
    assert broken_at(entries) == place + 1


@given(CHAINS, st.data())
def test_two_swapped_entries_are_found(entries: list[AuditEntry], data: st.DataObject) -> None:
    assume(len(entries) > 1)
    one, other = sorted(data.draw(st.permutations(range(len(entries))))[:2])
    entries[one], entries[other] = entries[other], entries[one]
    assert broken_at(entries) == one + 1


@given(CHAINS, EVENTS, st.data())
def test_an_entry_that_was_slipped_in_is_found(
    entries: list[AuditEntry], event: AuditEvent, data: st.DataObject
) -> None:
    place = data.draw(st.integers(0, len(entries) - 1))
    before = entries[place - 1].hash if place else GENESIS
    slipped = seal(event, seq=place + 1, previous_hash=before)
    assume(slipped.hash != entries[place].hash)
    entries.insert(place, slipped)
    assert broken_at(entries) == place + 2


@given(CHAINS, st.data())
def test_a_beginning_that_was_cut_off_is_found_and_so_is_a_hole(entries: list[AuditEntry], data: st.DataObject) -> None:
    cut = data.draw(st.integers(1, len(entries)))
    assume(cut < len(entries))
    assert broken_at(entries[cut:]) == 1


def test_an_end_that_was_cut_off_leaves_a_chain_that_holds_and_has_another_head() -> None:
    # So whoever keeps entries has to remember how many there were; the ledger does.
    entries = chain(3)
    assert broken_at(entries[:2]) is None
    assert entries[:2][-1].hash != entries[-1].hash


def test_what_is_wrong_is_said_in_words() -> None:
    entries = chain(3)
    missing = first_break([entries[0], entries[2]])
    changed = first_break([entries[0], replace(entries[1], body="{}"), entries[2]])
    foreign = first_break([entries[0], replace(entries[1], previous_hash=GENESIS)])
    assert missing and missing.words == "it is missing; entry 3 follows entry 1"
    assert changed and changed.words == "its content does not match its hash"
    assert foreign and foreign.words == "it does not carry the hash of the entry before it"


def test_a_portion_is_checked_from_where_it_begins() -> None:
    entries = chain(5)
    assert first_break(entries[3:], seq=3, previous_hash=entries[2].hash) is None
    assert first_break(entries[3:], seq=3, previous_hash=entries[1].hash) is not None


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"rule": "ab", "target": "c"}, {"rule": "a", "target": "bc"}),
        ({"rule": "x"}, {"target": "x"}),
        ({"rule": None}, {"rule": "None"}),
        ({"rule": None}, {"rule": ""}),
        ({"rule": 'a","b'}, {"rule": "a", "target": "b"}),
    ],
)
def test_no_two_different_entries_have_one_hash(one: dict[str, Any], other: dict[str, Any]) -> None:
    hashes = [
        seal(AuditEvent(at=NOON, event=Event.DECISION, **columns), seq=1, previous_hash=GENESIS).hash
        for columns in (one, other)
    ]
    assert hashes[0] != hashes[1]


def test_the_hash_is_that_of_the_documented_bytes() -> None:
    # Written out, because whoever checks an export with a program of their own goes by this.
    entry = seal(
        AuditEvent(at=NOON, event=Event.PAUSE, actor="alice", body={"b": 1, "a": "é"}), seq=7, previous_hash="ff"
    )
    head = '[7,"2026-01-31T12:00:00.000000Z","pause","alice",null,null,null,null,null,null,null,"ff"]'
    written = f'alertmend audit entry v1\n{head}\n{{"a":"é","b":1}}'
    assert entry.hash == hashlib.sha256(written.encode()).hexdigest()


@given(JSON)
def test_canonical_json_is_the_same_however_it_was_built(value: Any) -> None:
    assert canonical(json.loads(canonical(value))) == canonical(value)


def test_a_number_without_a_word_in_json_is_refused() -> None:
    for number in (float("nan"), float("inf")):
        with pytest.raises(ValueError, match="JSON"):
            canonical({"x": number})


@given(st.datetimes(timezones=st.just(UTC)), st.datetimes(timezones=st.just(UTC)))
def test_times_sort_as_their_texts_do(one: datetime, other: datetime) -> None:
    assert (one < other) == (timestamp(one) < timestamp(other))


def test_a_time_is_told_in_utc() -> None:
    paris = timezone(timedelta(hours=1))
    assert timestamp(datetime(2026, 1, 31, 13, tzinfo=paris)) == timestamp(NOON) == "2026-01-31T12:00:00.000000Z"
