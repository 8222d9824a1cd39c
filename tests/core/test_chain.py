"""Where a chain begins and ends: what was pruned, and what was kept elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from webhook.core.audit import GENESIS, AuditEntry, AuditEvent, Event, seal_all
from webhook.core.chain import first_break

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
ENTRIES = seal_all([AuditEvent(at=NOON, event=Event.DECISION)] * 9, seq=0, previous_hash=GENESIS)


def with_prune(entries: Sequence[AuditEntry], last: int, **body: object) -> list[AuditEntry]:
    """The entries, and one that says that all up to `last` were removed."""
    said = {"last_seq": last, "last_hash": ENTRIES[last - 1].hash, **body}
    prune = AuditEvent(at=NOON, event=Event.PRUNE, body=said)
    return [*entries, *seal_all([prune], seq=entries[-1].seq, previous_hash=entries[-1].hash)]


def broken_at(entries: Sequence[AuditEntry], **kept: dict[int, str]) -> int | None:
    found = first_break(entries, **kept)  # type: ignore[arg-type]
    return found.seq if found else None


@given(last=st.integers(1, 9), again=st.integers(1, 9))
def test_a_chain_whose_beginning_was_pruned_holds_when_an_entry_says_so(last: int, again: int) -> None:
    sealed = with_prune(with_prune(ENTRIES, last), max(last, again))
    assert broken_at(sealed[last:]) is None
    assert broken_at(sealed[max(last, again) :]) is None


def test_a_beginning_that_nothing_says_was_pruned_is_missing() -> None:
    assert broken_at(ENTRIES[1:]) == 1
    assert broken_at(with_prune(ENTRIES, 3)[5:]) == 4, "more than was pruned is gone"
    assert broken_at(with_prune(ENTRIES, 5)[3:]) == 1, "what was pruned is half there"


def test_a_pruned_chain_is_checked_from_where_it_goes_on() -> None:
    sealed = with_prune(ENTRIES, 3)[3:]
    assert broken_at([replace(sealed[0], previous_hash=GENESIS), *sealed[1:]]) == 4
    assert broken_at([sealed[0], replace(sealed[1], target="other"), *sealed[2:]]) == 5
    assert broken_at([sealed[0], *sealed[2:]]) == 5


def test_a_prune_that_says_nothing_confirms_nothing() -> None:
    for body in ({"last_hash": "other"}, {"last_seq": "3"}, {"last_seq": None}, {"last_hash": [1]}):
        assert broken_at(with_prune(ENTRIES, 3, **body)[3:]) in (1, 4)


@given(kept=st.sets(st.integers(1, 9)))
def test_what_was_kept_elsewhere_agrees(kept: set[int]) -> None:
    hashes = {seq: ENTRIES[seq - 1].hash for seq in kept}
    assert broken_at(ENTRIES, kept=hashes) is None
    for cut in range(9):
        missing = cut + 1 if any(seq > cut for seq in kept) else None
        assert broken_at(ENTRIES[:cut], kept=hashes) == missing


def test_a_chain_that_was_made_anew_is_found_by_a_hash_that_was_kept() -> None:
    forged = seal_all([AuditEvent(at=NOON, event=Event.PAUSE)] * 9, seq=0, previous_hash=GENESIS)
    assert broken_at(forged) is None
    assert broken_at(forged, kept={4: ENTRIES[3].hash}) == 4


def test_a_part_of_a_chain_holds_on_the_hash_before_it() -> None:
    assert first_break(ENTRIES[4:], seq=4, previous_hash=ENTRIES[3].hash) is None
    assert first_break(ENTRIES[4:], seq=4, previous_hash=ENTRIES[2].hash) is not None
    assert broken_at(ENTRIES[4:], kept={4: ENTRIES[3].hash}) == 1, (
        "a hash that was kept does not say that all before is gone"
    )
