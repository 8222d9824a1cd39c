"""The audit log's chain: each entry is sealed with the hash of the one before it.

Where entries are kept is the ledger's affair.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum

#: Separates these hashes from every other use of SHA-256, and names the format.
DOMAIN = b"alertmend audit entry v1\n"
#: What the first entry follows.
GENESIS = "0" * 64
#: Who delivers to ourselves what Alertmanager did not.
RECONCILIATION = "reconciliation"


class Event(StrEnum):
    """What an entry is about."""

    ALERT_RECEIVED = "alert_received"
    DECISION = "decision"
    APPROVAL = "approval"
    RUN_STARTED = "run_started"
    RUN_FINISHED = "run_finished"
    ESCALATED = "escalated"
    INCIDENT_OPENED = "incident_opened"
    INCIDENT_RESOLVED = "incident_resolved"
    PAUSE = "pause"
    RESUME = "resume"
    RELOAD = "reload"
    CANCEL = "cancel"
    #: Entries older than the retention were removed; it says which, and where the chain goes on.
    PRUNE = "prune"


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEvent:
    """What is to be sealed."""

    at: datetime
    event: Event
    #: Who caused it: `alertmanager`, `alertmend`, or a person's name.
    actor: str = "alertmend"
    incident: str | None = None
    run: str | None = None
    rule: str | None = None
    target: str | None = None
    alertname: str | None = None
    decision: str | None = None
    outcome: str | None = None
    #: JSON only: mappings, lists, strings, numbers, booleans, None.
    body: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """One sealed line of the audit log."""

    seq: int
    at: str
    event: str
    actor: str
    incident: str | None
    run: str | None
    rule: str | None
    target: str | None
    alertname: str | None
    decision: str | None
    outcome: str | None
    #: Canonical JSON.
    body: str
    previous_hash: str
    hash: str


# Made once: each entry that is sealed or checked is written by them.
_write_canonical = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode
_write_head = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode


def canonical(value: object) -> str:
    """`value` as JSON in its one canonical spelling: sorted keys, no spaces, no escapes that are not needed.

    Raises:
        ValueError: it holds a number that JSON has no word for.
    """
    return _write_canonical(value)


def timestamp(at: datetime) -> str:
    """UTC with microseconds, fixed width, so that text sorts as time does."""
    return at.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def seal(event: AuditEvent, *, seq: int, previous_hash: str) -> AuditEntry:
    """The entry that follows the one with `previous_hash`."""
    at = timestamp(event.at)
    body = canonical(event.body)
    columns = (
        event.event.value,
        event.actor,
        event.incident,
        event.run,
        event.rule,
        event.target,
        event.alertname,
        event.decision,
        event.outcome,
    )
    return AuditEntry(
        seq=seq,
        at=at,
        event=columns[0],
        actor=columns[1],
        incident=columns[2],
        run=columns[3],
        rule=columns[4],
        target=columns[5],
        alertname=columns[6],
        decision=columns[7],
        outcome=columns[8],
        body=body,
        previous_hash=previous_hash,
        hash=_digest(seq, at, columns, body, previous_hash),
    )


def seal_all(events: Iterable[AuditEvent], *, seq: int, previous_hash: str) -> list[AuditEntry]:
    """The entries that follow entry `seq`, which has `previous_hash`."""
    entries = []
    for event in events:
        seq += 1
        entry = seal(event, seq=seq, previous_hash=previous_hash)
        previous_hash = entry.hash
        entries.append(entry)
    return entries


def entry_hash(entry: AuditEntry) -> str:
    """The hash that the entry must carry."""
    columns = (
        entry.event,
        entry.actor,
        entry.incident,
        entry.run,
        entry.rule,
        entry.target,
        entry.alertname,
        entry.decision,
        entry.outcome,
    )
    return _digest(entry.seq, entry.at, columns, entry.body, entry.previous_hash)


def _digest(seq: int, at: str, columns: tuple[str | None, ...], body: str, previous_hash: str) -> str:
    # The columns are a JSON array, so that no two different entries share their bytes.
    head = _write_head((seq, at, *columns, previous_hash))
    # A file that is checked may hold half a character, which no entry has: then the hashes differ, and that is all.
    head_bytes, body_bytes = head.encode(errors="surrogatepass"), body.encode(errors="surrogatepass")
    return hashlib.sha256(b"%b%b\n%b" % (DOMAIN, head_bytes, body_bytes)).hexdigest()
