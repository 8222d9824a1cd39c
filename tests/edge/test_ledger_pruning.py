"""What the database refuses, what is pruned, and checkpoints; on SQLite and PostgreSQL."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import delete, insert, text
from sqlalchemy.exc import DBAPIError

from tests.edge.tampering import without_triggers
from tests.edge.test_ledger import batch, decision, entry, incident, run
from tests.flow.twin import EPOCH
from webhook.core.audit import Event
from webhook.core.run import Outcome, RunState
from webhook.core.search import Query
from webhook.core.transcript import Passage
from webhook.edge.ledger import LISTINGS, SqlLedger, prune
from webhook.edge.ledger.archive import SqlArchive
from webhook.edge.ledger.schema import checkpoints, prunings
from webhook.ports import IncidentRecord

HOUR = timedelta(hours=1)
LATER = EPOCH + timedelta(days=500)


@pytest.fixture
def sealed(ledger: SqlLedger) -> SqlLedger:
    """Nine entries, an hour apart."""
    for number in range(9):
        ledger.append(batch(f"b{number}", entry(3600 * number, rule=f"r{number}")))
    return ledger


def seqs(ledger: SqlLedger) -> list[int]:
    return [found.seq for found in ledger.entries()]


def count(ledger: SqlLedger, table: str) -> int:
    with ledger.engine.connect() as connection:
        return int(connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one())


# ---------------------------------------------------------------------------------------------------------------------
# The database refuses


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit SET actor = 'someone' WHERE seq = 5",
        "UPDATE audit SET seq = 99 WHERE seq = 5",
        "DELETE FROM audit WHERE seq = 5",
        "DELETE FROM audit",
        "DELETE FROM audit WHERE seq > 8",
    ],
)
def test_an_entry_is_neither_changed_nor_removed(sealed: SqlLedger, statement: str) -> None:
    with pytest.raises(DBAPIError, match="append-only"), sealed.engine.begin() as connection:
        connection.execute(text(statement))
    assert sealed.verify() is None and seqs(sealed) == list(range(1, 10))


def test_an_entry_is_not_replaced_and_the_log_is_not_emptied(sealed: SqlLedger) -> None:
    names = "at, event, actor, body, previous_hash, hash"
    statement = f"INSERT OR REPLACE INTO audit (seq, {names}) SELECT 5, {names} FROM audit WHERE seq = 1"
    statement = statement if sealed.engine.dialect.name == "sqlite" else "TRUNCATE audit"
    with pytest.raises(DBAPIError, match="append-only"), sealed.engine.begin() as connection:
        connection.execute(text(statement))
    assert sealed.verify() is None


def test_prunings_and_checkpoints_stay_too(sealed: SqlLedger) -> None:
    SqlArchive(ledger=sealed).add_checkpoint(EPOCH, None)
    SqlArchive(ledger=sealed).prune(EPOCH + HOUR, now=LATER, actor="jane")
    for statement in ("DELETE FROM prunings", "DELETE FROM checkpoints", "UPDATE checkpoints SET hash = 'x'"):
        with pytest.raises(DBAPIError, match="append-only"), sealed.engine.begin() as connection:
            connection.execute(text(statement))


# ---------------------------------------------------------------------------------------------------------------------
# Pruning


def test_what_is_older_is_removed_an_entry_says_so_and_the_chain_holds(sealed: SqlLedger) -> None:
    hash = list(sealed.entries())[3].hash
    foreseen = SqlArchive(ledger=sealed).foresee_pruning(EPOCH + 4 * HOUR, now=LATER)
    assert (foreseen.first_seq, foreseen.last_seq, foreseen.entries) == (1, 4, 4)
    assert seqs(sealed) == list(range(1, 10)), "nothing goes before it is confirmed"
    assert SqlArchive(ledger=sealed).prune(EPOCH + 4 * HOUR, now=LATER, actor="jane") == foreseen
    assert seqs(sealed) == [5, 6, 7, 8, 9, 10] and count(sealed, "audit") == 6
    assert sealed.verify() is None
    said = list(sealed.entries())[-1]
    assert (said.event, said.actor) == ("prune", "jane")
    assert f'"last_hash":"{hash}","last_seq":4' in said.body
    assert count(sealed, "audit_cards") == 6 and count(sealed, "batches") == 6
    assert [row["seq"] for row in sealed.page(LISTINGS["audit"], Query(), limit=50).rows] == [10, 9, 8, 7, 6, 5]


def test_the_rules_by_which_what_is_left_was_decided_are_written_anew(ledger: SqlLedger) -> None:
    for number, revision in enumerate(("a", "b", None, "c")):
        event = Event.RELOAD if revision else Event.DECISION
        ledger.append(batch(f"b{number}", entry(3600 * number, event=event, body={"revision": revision})))
    SqlArchive(ledger=ledger).prune(EPOCH + 2 * HOUR, now=LATER, actor="jane")
    left = [(found.event, found.body) for found in ledger.entries()]
    assert [event for event, _ in left] == ["decision", "reload", "reload", "prune"]
    assert [body for event, body in left if event == "reload"] == ['{"revision":"c"}', '{"revision":"b"}']
    assert ledger.verify() is None


def test_pruning_again_goes_on_from_there(sealed: SqlLedger) -> None:
    SqlArchive(ledger=sealed).prune(EPOCH + 2 * HOUR, now=LATER, actor="a")
    assert SqlArchive(ledger=sealed).prune(EPOCH + 2 * HOUR, now=LATER, actor="a").entries == 0, (
        "nothing is left to be pruned"
    )
    assert SqlArchive(ledger=sealed).prune(EPOCH + 5 * HOUR, now=LATER, actor="a").entries == 3
    assert seqs(sealed) == [6, 7, 8, 9, 10, 11] and sealed.verify() is None
    # Everything, the entries about the earlier prunings included.
    SqlArchive(ledger=sealed).prune(LATER + HOUR, now=LATER + HOUR, actor="a")
    assert seqs(sealed) == [12] and sealed.verify() is None
    sealed.append(batch("next", entry(0)))
    assert seqs(sealed) == [12, 13] and sealed.verify() is None


def test_nothing_is_pruned_of_an_empty_log(ledger: SqlLedger) -> None:
    assert SqlArchive(ledger=ledger).prune(LATER, now=LATER, actor="a").entries == 0
    assert seqs(ledger) == []


def test_what_was_written_late_is_not_pruned_before_its_time(ledger: SqlLedger) -> None:
    for number, hours in enumerate((1, 5, 2, 6)):
        ledger.append(batch(f"b{number}", entry(3600 * hours)))
    assert SqlArchive(ledger=ledger).prune(EPOCH + 3 * HOUR, now=LATER, actor="a").last_seq == 1


def test_a_removal_that_was_ended_in_the_middle_is_finished_later(
    sealed: SqlLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prune, "PORTION", 2)
    monkeypatch.setattr(SqlArchive, "remove_pruned", lambda *_: None)
    SqlArchive(ledger=sealed).prune(EPOCH + 5 * HOUR, now=LATER, actor="a")
    monkeypatch.undo()
    monkeypatch.setattr(prune, "PORTION", 2)
    assert count(sealed, "audit") == 10 and seqs(sealed) == [6, 7, 8, 9, 10] and sealed.verify() is None
    SqlArchive(ledger=sealed).remove_pruned()
    assert count(sealed, "audit") == 5 and sealed.verify() is None


def test_more_than_was_pruned_is_still_not_removed(sealed: SqlLedger) -> None:
    SqlArchive(ledger=sealed).prune(EPOCH + 2 * HOUR, now=LATER, actor="a")
    with pytest.raises(DBAPIError, match="append-only"), sealed.engine.begin() as connection:
        connection.execute(text("DELETE FROM audit WHERE seq = 3"))
    with without_triggers(sealed.engine) as connection:
        connection.execute(text("DELETE FROM audit WHERE seq = 3"))
    broken = sealed.verify()
    assert broken is not None and broken.seq == 3


def test_a_pruning_that_no_entry_speaks_of_is_found(sealed: SqlLedger) -> None:
    entries = list(sealed.entries())
    with without_triggers(sealed.engine) as connection:
        row = {"last_seq": 3, "last_hash": entries[2].hash, "before": "2027"}
        connection.execute(insert(prunings), row)
        connection.execute(text("DELETE FROM audit WHERE seq <= 3"))
    broken = sealed.verify()
    assert broken is not None and broken.seq == 1


def ended(ledger: SqlLedger, number: int, hours: int, **settings: Any) -> None:
    """An incident with its run, from one hour to another."""
    at = EPOCH + hours * HOUR
    done = replace(
        run(f"r{number}", state=RunState.FINISHED, created=3600 * (hours - 1), outcome=Outcome.FIXED), finished_at=at
    )
    closed = incident(f"i{number}", opened=3600 * (hours - 1), runs=(f"r{number}",), **{"resolved_at": at, **settings})
    record = IncidentRecord(incident=closed, decision=decision())
    said = {done.id: (Passage(at=at, text="printed", number=1),)}
    events = [entry(3600 * hours, event=Event.RUN_FINISHED, incident=closed.id, run=done.id)]
    ledger.append(batch(f"b{number}", *events, incidents=(record,), runs=(done,), transcripts=said))


def test_runs_and_incidents_that_ended_as_long_ago_go_with_what_they_said(ledger: SqlLedger) -> None:
    for number in range(6):
        ended(ledger, number, hours=number)
    SqlArchive(ledger=ledger).prune(EPOCH + 3 * HOUR, now=LATER, actor="a")
    for kind, name in (("runs", "r"), ("incidents", "i")):
        rows = ledger.page(LISTINGS[kind], Query(), limit=50).rows
        assert [row["id"] for row in rows] == [f"{name}{number}" for number in (5, 4, 3)]
    assert ledger.transcript("r0") == () and ledger.transcript("r5") != ()
    assert ledger.verify() is None


def test_what_is_still_open_keeps_what_is_as_old(ledger: SqlLedger) -> None:
    for number in range(6):
        ended(ledger, number, hours=number, **({"resolved_at": None} if number == 2 else {}))
    found = SqlArchive(ledger=ledger).foresee_pruning(EPOCH + 5 * HOUR, now=LATER)
    assert (found.last_seq, found.kept_for) == (1, "an incident that is open")
    SqlArchive(ledger=ledger).prune(EPOCH + 5 * HOUR, now=LATER, actor="a")
    assert [found.id for found, _ in ledger.open_incidents()] == ["i2"]


def test_a_batch_that_is_in_the_outbox_is_not_written_anew_once_its_entries_were_pruned(sealed: SqlLedger) -> None:
    # Given a pruning of what was sealed just now, as nobody should
    now = EPOCH + 9 * HOUR
    SqlArchive(ledger=sealed).prune(now, now=now, actor="a")
    sealed.append(batch("b8", entry(3600 * 8, rule="r8")))
    assert seqs(sealed) == [10]


# ---------------------------------------------------------------------------------------------------------------------
# Checkpoints


def test_a_checkpoint_is_the_head_once(sealed: SqlLedger) -> None:
    made = SqlArchive(ledger=sealed).add_checkpoint(EPOCH, lambda content: f"signed {len(content)}")
    assert made is not None and (made.seq, made.hash) == sealed.head()
    assert made.signature == f"signed {len(made.signed)}"
    assert SqlArchive(ledger=sealed).add_checkpoint(EPOCH, None) is None, "nothing was written since"
    sealed.append(batch("next", entry(0)))
    assert SqlArchive(ledger=sealed).add_checkpoint(EPOCH + HOUR, None) is not None
    assert [found.seq for found in sealed.checkpoints()] == [9, 10]
    assert sealed.verify() is None


def test_there_is_no_checkpoint_of_an_empty_log(ledger: SqlLedger) -> None:
    assert SqlArchive(ledger=ledger).add_checkpoint(EPOCH, None) is None


def test_a_log_that_differs_from_its_checkpoints_is_found(sealed: SqlLedger) -> None:
    SqlArchive(ledger=sealed).add_checkpoint(EPOCH, None)
    with without_triggers(sealed.engine) as connection:
        connection.execute(text("UPDATE checkpoints SET hash = 'other'"))
    broken = sealed.verify()
    assert broken is not None and broken.seq == 9
    with without_triggers(sealed.engine) as connection:
        connection.execute(delete(checkpoints))
    assert sealed.verify() is None


def test_statistics_are_made(sealed: SqlLedger) -> None:
    SqlArchive(ledger=sealed).analyze()
    assert sealed.verify() is None
