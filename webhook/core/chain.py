"""Checks the chain of the audit log: each entry, where it begins, and hashes that were kept elsewhere."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from webhook.core.audit import GENESIS, AuditEntry, Event, entry_hash

#: The hashes of some entries, by seq.
Kept = Mapping[int, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Break:
    """Where a chain is broken."""

    seq: int
    words: str


def first_break(
    entries: Iterable[AuditEntry], *, seq: int = 0, previous_hash: str = GENESIS, kept: Kept | None = None
) -> Break | None:
    """The first entry that does not follow from the one before it; None when the chain holds.

    The entries follow the one with `seq` and `previous_hash`; where older ones were pruned, an entry has to say so.
    Each of which the hash is in `kept` must have it, and none of those may be missing from the end.
    """
    walk, left = _Walk(seq=seq, hash=previous_hash, kept=kept or {}), iter(entries)
    found = next((found for found in map(walk.step, left) if found is not None), None)
    if found is not None and walk.begins_after is not None:
        # What confirms the beginning may stand behind what is broken.
        for entry in left:
            walk.pruned |= _pruned(entry)
    return walk.wrong_beginning() or found or walk.wrong_end()


@dataclass(slots=True, kw_only=True)
class _Walk:
    """Goes along a chain; it knows the last entry, and what has yet to be shown about the first."""

    seq: int
    hash: str
    kept: Kept
    #: The entry that the first one follows, where that is none of those that are checked.
    begins_after: tuple[int, str] | None = None
    #: The last of those that were pruned, and its hash, as entries say.
    pruned: dict[int, str] = field(default_factory=dict)
    begun: bool = False

    def step(self, entry: AuditEntry) -> Break | None:
        """What is wrong with the next entry."""
        if not self.begun:
            self._begin(entry)
        expected = self.seq + 1
        if entry.seq != expected:
            return Break(seq=expected, words=f"it is missing; entry {entry.seq} follows entry {self.seq}")
        if entry.previous_hash != self.hash:
            return Break(seq=expected, words=_NOT_LINKED)
        if entry.hash != entry_hash(entry):
            return Break(seq=expected, words="its content does not match its hash")
        if self.kept and self.kept.get(expected, entry.hash) != entry.hash:
            return Break(seq=expected, words="its hash is not the one that was kept elsewhere")
        if entry.event == Event.PRUNE:
            self.pruned |= _pruned(entry)
        self.seq, self.hash = expected, entry.hash
        return None

    def wrong_beginning(self) -> Break | None:
        """What is wrong before the first entry, once all that may say so was seen."""
        if self.begins_after is None:
            return None
        seq, hash = self.begins_after
        if self.pruned.get(seq) == hash:
            return None
        if seq in self.pruned:
            return Break(seq=seq + 1, words=_NOT_LINKED)
        first = max((last for last in self.pruned if last < seq), default=0) + 1
        return Break(seq=first, words=f"it is missing; the log begins with entry {seq + 1}, and nothing says why")

    def wrong_end(self) -> Break | None:
        """What is wrong after the last entry."""
        last_kept = max(self.kept, default=0)
        if last_kept > self.seq:
            return Break(seq=self.seq + 1, words=f"it is missing; the hash of entry {last_kept} was kept elsewhere")
        return None

    def _begin(self, entry: AuditEntry) -> None:
        self.begun = True
        if self.seq == 0 and entry.seq > 1:
            self.seq, self.hash = self.begins_after = entry.seq - 1, entry.previous_hash


_NOT_LINKED = "it does not carry the hash of the entry before it"


def _pruned(entry: AuditEntry) -> dict[int, str]:
    """What an entry says of the last of those that were removed: its seq and its hash."""
    if entry.event != Event.PRUNE:
        return {}
    try:
        body = json.loads(entry.body)
    except (ValueError, RecursionError):
        return {}
    seq, hash = (body.get("last_seq"), body.get("last_hash")) if isinstance(body, dict) else (None, None)
    return {seq: hash} if isinstance(seq, int) and isinstance(hash, str) else {}
