"""The ledger's contract on SQLite and PostgreSQL: one chain, whoever appends, and nobody changes it unseen."""

from __future__ import annotations

import json
import logging
import multiprocessing
import threading
from collections.abc import Iterator
from dataclasses import fields, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import structlog
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, delete, insert, select, text
from structlog.testing import capture_logs

from tests.edge.conftest import NewLedger
from tests.edge.tampering import without_triggers
from tests.edge.test_store import MESSAGE, record
from tests.flow.twin import EPOCH
from webhook.change import plain
from webhook.core.audit import GENESIS, AuditEntry, AuditEvent, Event, entry_hash
from webhook.core.chain import first_break
from webhook.core.incident import Incident, ResolvedBy
from webhook.core.matcher import parse_matchers
from webhook.core.pause import Pause
from webhook.core.run import Outcome, Run, RunState, Word
from webhook.core.search import Query, read_query
from webhook.core.state import Draft, Keys
from webhook.core.transcript import Passage
from webhook.core.verdict import Check, Choice, Decision, Verdict
from webhook.edge.ledger import LISTINGS, SqlLedger, metadata, open_engine
from webhook.edge.ledger.schema import audit
from webhook.edge.migration import SchemaTooNew, migrate
from webhook.edge.store import RedisStore
from webhook.errors import NotFound, Unavailable
from webhook.ports import Batch, IncidentRecord

CONTEXT = multiprocessing.get_context("spawn")


def entry(number: int = 0, **columns: Any) -> AuditEvent:
    return AuditEvent(at=EPOCH + timedelta(seconds=number), event=columns.pop("event", Event.DECISION), **columns)


def batch(id: str, *events: AuditEvent, **parts: Any) -> Batch:
    return Batch(id=id, at=EPOCH, events=events, **parts)


def incident(id: str = "i1", *, opened: int = 0, **settings: Any) -> Incident:
    return Incident(
        id=id,
        rule=settings.pop("rule", "restart-web"),
        target=settings.pop("target", "web1"),
        opened_at=EPOCH + timedelta(seconds=opened),
        firing=("f1",),
        alerts=("f1",),
        **settings,
    )


def run(id: str = "r1", *, state: RunState = RunState.QUEUED, created: int = 0, **settings: Any) -> Run:
    return Run(
        id=id,
        incident="i1",
        rule="restart-web",
        target="web1",
        step=1,
        playbook="restart.yml",
        state=state,
        created_at=EPOCH + timedelta(seconds=created),
        attempt=1,
        alerts=("f1",),
        **settings,
    )


def decision(choice: Choice = Choice.RUN) -> Decision:
    check = Check(guard="cooldown", verdict=Verdict.PASS, reason="no earlier run", retry_at=EPOCH)
    return Decision(decision=choice, guard=None, reason="every guard passes", retry_at=None, checks=(check,))


def said(*texts: str) -> tuple[Passage, ...]:
    return tuple(Passage(at=EPOCH, text=text, number=number) for number, text in enumerate(texts, 1))


def change(ledger: SqlLedger, *statements: str) -> None:
    """What someone does who has the database's password."""
    with without_triggers(ledger.engine) as connection:
        for statement in statements:
            assert connection.execute(text(statement)).rowcount != 0


# ---------------------------------------------------------------------------------------------------------------------
# Appending


def test_an_empty_log_holds(ledger: SqlLedger) -> None:
    assert ledger.head() == (0, GENESIS)
    assert ledger.verify() is None
    assert list(ledger.entries()) == []
    ledger.ping()


def test_what_is_appended_is_sealed_in_order(ledger: SqlLedger) -> None:
    ledger.append(batch("b1", entry(1, rule="a"), entry(2, rule="b")))
    ledger.append(batch("b2", entry(3, rule="c", body={"decision": decision(), "nothing": None, "number": 1.5})))
    entries = list(ledger.entries())
    assert [(found.seq, found.rule) for found in entries] == [(1, "a"), (2, "b"), (3, "c")]
    assert first_break(entries) is None and ledger.verify() is None
    assert ledger.head() == (3, entries[-1].hash)
    body = json.loads(entries[-1].body)
    assert body["decision"]["checks"][0] == {
        "guard": "cooldown",
        "verdict": "pass",
        "reason": "no earlier run",
        "retry_at": "2026-01-31T12:00:00Z",
    }


def test_what_is_sealed_is_logged_with_the_incidents_and_runs_that_it_is_about(ledger: SqlLedger) -> None:
    opened = IncidentRecord(incident=incident("i2"), decision=None)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.INFO))
    with capture_logs() as lines:
        ledger.append(batch("b1", entry(1, incident="i1", run="r1"), entry(2, incident="i1"), incidents=(opened,)))
        ledger.append(batch("b2", entry(3)))
        ledger.append(batch("b3", *(entry(number, incident=f"i{number}") for number in range(4, 1000))))
    one, none, many = ({name: line[name] for name in line.keys() & {"incident", "run"}} for line in lines)
    assert (one, none) == ({"incident": "i1 i2", "run": "r1"}, {})
    assert many["incident"].startswith("i4 i5 i6 ") and many["incident"].endswith(" i23 and 976 more")


def test_a_batch_that_adds_no_entry_is_not_logged_as_sealed(ledger: SqlLedger) -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.INFO))
    with capture_logs() as lines:
        ledger.append(batch("b1", entry(1)))
        ledger.append(batch("b2", runs=(run(),)))
    assert [line["batch"] for line in lines] == ["b1"]


def test_a_batch_that_is_written_twice_leaves_one_trace(ledger: SqlLedger) -> None:
    once = batch("b1", entry(1), incidents=(IncidentRecord(incident=incident(), decision=decision()),), runs=(run(),))
    ledger.append(once)
    ledger.append(batch("b2", entry(2), runs=(run(state=RunState.FINISHED, outcome=Outcome.FIXED),)))
    ledger.append(once)
    assert [found.seq for found in ledger.entries()] == [1, 2]
    assert ledger.one(LISTINGS["runs"], "r1")["state"] == "finished", "an old batch must not bring old news back"


def test_another_batch_under_the_same_id_is_told_apart_from_the_same_one(ledger: SqlLedger) -> None:
    assert ledger.append(batch("b1", entry(1), entry(2)))
    assert ledger.append(batch("b1", entry(1), entry(2)))
    assert not ledger.append(batch("b1", entry(1), entry(3)))
    assert [found.seq for found in ledger.entries()] == [1, 2]


def test_a_batch_without_events_still_counts_as_written(ledger: SqlLedger) -> None:
    ledger.append(batch("b1"))
    ledger.append(batch("b1", entry(1)))
    assert ledger.head() == (0, GENESIS)


def test_a_batch_that_fails_leaves_nothing(fresh_ledger: SqlLedger) -> None:
    # Given a batch whose last part the database refuses
    change(fresh_ledger, "ALTER TABLE runs RENAME TO elsewhere")
    # When it is appended
    with pytest.raises(Unavailable):
        fresh_ledger.append(batch("b1", entry(1), runs=(run(),)))
    # Then not even its first part is there
    assert fresh_ledger.head() == (0, GENESIS)


APPENDERS, PORTIONS = 8, 6


def append_many(url: str, name: int, errors: Any) -> None:
    engine = open_engine(url)
    try:
        for number in range(PORTIONS):
            # Each batch is written by two of them, as when upkeep seals what a worker seals at the same time.
            id = f"{name // 2}-{number}"
            SqlLedger(engine=engine).append(batch(id, entry(number, rule=id), entry(number, rule=id)))
    except Exception as error:
        errors.put(repr(error))
    finally:
        engine.dispose()


def test_many_processes_that_append_at_once_keep_one_chain(fresh_ledger: SqlLedger, database_url: str) -> None:
    errors = CONTEXT.Queue()
    # Half as processes, which are dear to start, half as threads with connections of their own.
    appenders = [
        (CONTEXT.Process if name % 4 == 0 else threading.Thread)(target=append_many, args=(database_url, name, errors))
        for name in range(APPENDERS)
    ]
    for appender in appenders:
        appender.start()
    for appender in appenders:
        appender.join()
    assert errors.empty(), errors.get()
    errors.close()
    errors.join_thread()
    entries = list(fresh_ledger.entries())
    assert first_break(entries) is None
    assert len(entries) == APPENDERS * PORTIONS
    ids = [found.rule for found in entries]
    assert ids[::2] == ids[1::2], "the entries of one batch stand together"
    assert len(set(ids)) == APPENDERS * PORTIONS // 2


def test_the_hash_is_that_of_what_is_stored_whatever_was_in_the_batch(ledger: SqlLedger) -> None:
    hostile = "'; DROP TABLE audit; -- \\ \" \u202e é 🔥 \n % :x"
    event_ = entry(1, rule=hostile, target=hostile, alertname=hostile, actor=hostile, body={hostile: [hostile, "\0"]})
    ledger.append(batch(hostile, event_))
    found = next(iter(ledger.entries()))
    assert (found.rule, found.target, found.alertname, found.actor) == (hostile,) * 4
    assert json.loads(found.body) == {hostile: [hostile, "\0"]}
    assert found.hash == entry_hash(found)


@pytest.mark.parametrize("half", ["\ud800", "a\udfff\0b"])
def test_what_no_database_takes_does_not_stop_the_record(ledger: SqlLedger, half: str) -> None:
    ledger.append(batch("b1", entry(1, actor=half, rule=half, alertname="a\0b", body={half: [half, "é"]}), entry(2)))
    found = list(ledger.entries())
    assert ledger.verify() is None and len(found) == 2
    assert (found[0].alertname, found[0].actor) == ("ab", half.encode(errors="replace").decode().replace("\0", ""))
    assert "é" in found[0].body


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf")])
def test_a_number_that_json_has_no_word_for_does_not_stop_the_record(ledger: SqlLedger, number: float) -> None:
    odd = run(result={"ratio": number})
    ledger.append(batch("b1", entry(1, body={"run": odd}), runs=(odd,)))
    assert ledger.verify() is None
    assert json.loads(next(ledger.entries()).body)["run"]["result"] == {"ratio": None}
    assert ledger.unfinished_runs()[0].result == {"ratio": None}


def test_a_playbooks_output_with_nul_does_not_stop_the_record(ledger: SqlLedger) -> None:
    ledger.append(batch("b1", runs=(run(),), transcripts={"r1": said("a\0b")}))
    assert ledger.transcript("r1") == said("a\0b")


def test_what_a_run_said_stays_when_its_end_comes_later(ledger: SqlLedger) -> None:
    ledger.append(batch("b1", runs=(run(state=RunState.PROVING),), transcripts={"r1": said("it acted")}))
    ledger.append(batch("b2", runs=(run(state=RunState.FINISHED, outcome=Outcome.FIXED),)))
    assert ledger.transcript("r1") == said("it acted")
    assert ledger.transcript("r2") == ()


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(found=record(Run))
def test_what_comes_out_of_the_outbox_is_sealed_with_the_same_hash(
    new_ledger: NewLedger, client: Any, found: Run
) -> None:
    """A batch is sealed by who made it or, when that one died, from Redis: nobody must be able to tell."""
    store, found = RedisStore(client=client, message=MESSAGE), replace(found, id=found.id.replace("\0", "") or "r1")
    client.flushall()
    made = batch(
        "b1", entry(1, body={"run": found, "decision": decision()}), runs=(found,), transcripts={found.id: said("o")}
    )
    assert store.commit(Draft.of(store.read(Keys())), batch=made)
    hashes = []
    for kept in (made, store.unconfirmed(limit=1)[0]):
        with new_ledger() as of_name:
            of_name.append(kept)
            hashes.append((of_name.head(), of_name.one(LISTINGS["runs"], found.id), of_name.transcript(found.id)))
    assert hashes[0] == hashes[1]


# ---------------------------------------------------------------------------------------------------------------------
# Tampering


@pytest.fixture
def sealed(ledger: SqlLedger) -> SqlLedger:
    """Nine entries in three batches."""
    for number in range(3):
        columns = {"incident": "i", "run": "r", "rule": "x", "target": "t", "alertname": "a"}
        found = [
            entry(3 * number + place, decision="run", outcome="fixed", body={"n": place}, **columns)
            for place in range(3)
        ]
        ledger.append(batch(f"b{number}", *found))
    return ledger


COLUMNS = [field.name for field in fields(AuditEntry) if field.name != "seq"]
MAY_BE_EMPTY = [name for name in COLUMNS if audit.c[name].nullable]


def first_bad(ledger: SqlLedger, *statements: str) -> int | None:
    """What verify says after someone changed the table; it is then as it was."""
    kept = list(ledger.entries())
    change(ledger, *statements)
    broken = ledger.verify()
    with without_triggers(ledger.engine) as connection:
        connection.execute(delete(audit))
        connection.execute(insert(audit), [{name: getattr(old, name) for name in ("seq", *COLUMNS)} for old in kept])
    assert ledger.verify() is None
    return broken.seq if broken else None


def test_a_changed_column_is_found(sealed: SqlLedger) -> None:
    for column in COLUMNS:
        assert first_bad(sealed, f"UPDATE audit SET {column} = 'changed' WHERE seq = 5") == 5, column


def test_a_column_that_was_emptied_is_found(sealed: SqlLedger) -> None:
    for column in MAY_BE_EMPTY:
        assert first_bad(sealed, f"UPDATE audit SET {column} = NULL WHERE seq = 5") == 5, column
        assert first_bad(sealed, f"UPDATE audit SET {column} = '' WHERE seq = 5") == 5, column


def test_two_columns_that_changed_places_are_found(sealed: SqlLedger) -> None:
    assert first_bad(sealed, "UPDATE audit SET incident = run, run = incident WHERE seq = 5") == 5


def test_a_deleted_entry_is_found_the_last_ones_too(sealed: SqlLedger) -> None:
    for seq in range(1, 10):
        assert first_bad(sealed, f"DELETE FROM audit WHERE seq = {seq}") == seq
        assert first_bad(sealed, f"DELETE FROM audit WHERE seq >= {seq}") == seq


def test_an_entry_that_was_moved_up_to_hide_a_gap_is_found(sealed: SqlLedger) -> None:
    assert (
        first_bad(
            sealed,
            "DELETE FROM audit WHERE seq = 5",
            "UPDATE audit SET seq = -seq WHERE seq > 5",
            "UPDATE audit SET seq = -seq - 1 WHERE seq < 0",
        )
        == 5
    )


def test_an_entry_that_was_changed_and_hashed_anew_is_found_at_the_next_one(sealed: SqlLedger) -> None:
    forged = entry_hash(replace(list(sealed.entries())[4], target="someone"))
    assert first_bad(sealed, f"UPDATE audit SET target = 'someone', hash = '{forged}' WHERE seq = 5") == 6


def test_an_entry_that_was_added_is_found(sealed: SqlLedger) -> None:
    names = ", ".join(COLUMNS)
    assert first_bad(sealed, f"INSERT INTO audit (seq, {names}) SELECT 10, {names} FROM audit WHERE seq = 9") == 10


def test_a_transcript_that_was_changed_or_removed_is_found_at_the_end_of_its_run(ledger: SqlLedger) -> None:
    for number in range(4):
        # The second one's transcript comes before its end, as when the alerts have to resolve.
        ended = run(f"r{number}", state=RunState.FINISHED, outcome=Outcome.FIXED)
        if number == 1:
            ledger.append(batch("early", runs=(replace(ended, state=RunState.PROVING),), transcripts={"r1": said("1")}))
        spoken = {} if number == 1 else {ended.id: said(str(number))}
        event_ = entry(number, event=Event.RUN_FINISHED, run=ended.id, body={"run": {}})
        ledger.append(batch(f"b{number}", event_, runs=(ended,), transcripts=spoken))
    assert ledger.verify() is None
    for number in (3, 1):
        change(ledger, f"UPDATE transcripts SET passages = '[]' WHERE run = 'r{number}'")
        broken = ledger.verify()
        assert broken is not None and (broken.seq, "changed after it was sealed" in broken.words) == (number + 1, True)
    change(ledger, "DELETE FROM transcripts WHERE run = 'r0'")
    missing = ledger.verify()
    assert missing is not None and (missing.seq, "is missing" in missing.words) == (1, True)


def test_entries_are_read_in_portions_without_gap_or_repeat(sealed: SqlLedger) -> None:
    for step in (1, 2, 3, 9, 10):
        assert [found.seq for found in sealed.entries(step=step)] == list(range(1, 10))
    assert [found.seq for found in sealed.entries(after=4, step=2)] == [5, 6, 7, 8, 9]


# ---------------------------------------------------------------------------------------------------------------------
# Incidents and runs

RESOLVED = incident(resolved_at=EPOCH + timedelta(minutes=1), resolved_by=ResolvedBy.REMEDIATION, runs=("r1",))


def test_an_incident_keeps_its_decision_until_there_is_another(ledger: SqlLedger) -> None:
    def decided() -> Any:
        return json.loads(ledger.one(LISTINGS["incidents"], "i1")["decision"])["decision"]

    ledger.append(batch("b1", incidents=(IncidentRecord(incident=incident(), decision=decision(Choice.HOLD)),)))
    ledger.append(batch("b2", incidents=(IncidentRecord(incident=incident(), decision=None),)))
    assert decided() == "hold"
    ledger.append(batch("b3", incidents=(IncidentRecord(incident=incident(), decision=decision()),)))
    assert decided() == "run"
    ledger.append(batch("b4", incidents=(IncidentRecord(incident=RESOLVED, decision=None),)))
    row = ledger.one(LISTINGS["incidents"], "i1")
    assert (row["state"], row["resolved_by"], row["runs"]) == ("resolved", "remediation", '["r1"]')
    assert decided() == "run"


def test_several_incidents_in_one_batch_keep_their_own_decisions(ledger: SqlLedger) -> None:
    records = [
        IncidentRecord(incident=incident(f"i{n}"), decision=decision(Choice.HOLD) if n % 2 else None) for n in range(4)
    ]
    ledger.append(batch("b1", incidents=tuple(records)))
    rows = [ledger.one(LISTINGS["incidents"], f"i{n}")["decision"] for n in range(4)]
    assert [row is not None for row in rows] == [False, True, False, True]


def test_a_run_is_unfinished_until_its_end_is_on_the_record(ledger: SqlLedger) -> None:
    for number, state in enumerate(RunState):
        ledger.append(batch(f"b{number}", runs=(run(f"r{number}", state=state),)))
    assert {found.state for found in ledger.unfinished_runs()} == set(RunState) - {RunState.FINISHED}
    ended = run("r0", state=RunState.FINISHED, outcome=Outcome.LOST)
    ledger.append(batch("end", runs=(ended,)))
    assert "r0" not in {found.id for found in ledger.unfinished_runs()}
    row = ledger.one(LISTINGS["runs"], "r0")
    assert (row["state"], row["outcome"]) == ("finished", "lost")


def test_what_is_sealed_late_turns_no_run_back(ledger: SqlLedger) -> None:
    # Given a run whose end was sealed before its beginning, and that before the decision on it
    ended = run(state=RunState.FINISHED, outcome=Outcome.LOST)
    for number, late in enumerate((ended, run(state=RunState.RUNNING), run())):
        ledger.append(batch(f"b{number}", runs=(late,)))
    assert (ledger.run("r1"), ledger.unfinished_runs()) == (ended, [])


@pytest.mark.parametrize("late_decision", [None, decision(Choice.HOLD)])
def test_what_is_sealed_late_opens_no_incident_again(ledger: SqlLedger, late_decision: Decision | None) -> None:
    ledger.append(batch("end", incidents=(IncidentRecord(incident=RESOLVED, decision=decision()),)))
    ledger.append(batch("late", incidents=(IncidentRecord(incident=incident(), decision=late_decision),)))
    assert ledger.open_incidents() == []
    row = ledger.one(LISTINGS["incidents"], "i1")
    assert (row["state"], row["runs"], json.loads(row["decision"])["decision"]) == ("resolved", '["r1"]', "run")


def test_an_incident_that_was_sealed_before_the_decision_on_it_gets_that(ledger: SqlLedger) -> None:
    ledger.append(batch("end", incidents=(IncidentRecord(incident=RESOLVED, decision=None),)))
    ledger.append(batch("late", incidents=(IncidentRecord(incident=incident(), decision=decision()),)))
    row = ledger.one(LISTINGS["incidents"], "i1")
    assert (row["state"], json.loads(row["decision"])["decision"]) == ("resolved", "run")


def test_a_pause_stands_until_someone_has_ended_it_on_the_record(ledger: SqlLedger) -> None:
    said = Word(by="alice", at=EPOCH, comment="a release")
    pause = Pause(id="p1", matchers=parse_matchers('job=~"a|b",zone!="x"'), until=EPOCH + timedelta(hours=2), said=said)
    body = {"pause": "p1", "matchers": [str(matcher) for matcher in pause.matchers], "comment": said.comment}
    begun = AuditEvent(
        at=EPOCH, event=Event.PAUSE, actor="alice", body=plain({**body, "until": pause.until, "cancel_running": False})
    )
    ledger.append(batch("b1", begun))
    assert ledger.pauses() == (pause,)
    ledger.append(batch("b2", replace(begun, event=Event.RESUME)))
    assert ledger.pauses() == ()


# ---------------------------------------------------------------------------------------------------------------------
# Listing


def asked(kind: str, **filters: str) -> Query:
    return read_query(filters.items(), kind=kind, now=EPOCH)


def walk(ledger: SqlLedger, kind: str, *, limit: int, **filters: str) -> Iterator[dict[str, Any]]:
    before = None
    while True:
        page = ledger.page(LISTINGS[kind], asked(kind, **filters), limit=limit, before=before)
        assert len(page.rows) <= limit
        yield from page.rows
        if (before := page.next) is None:
            return


@pytest.fixture
def filled(ledger: SqlLedger) -> SqlLedger:
    """Thirty of each, three at every instant, so that the time alone does not order them."""
    for number in range(30):
        at, rule = number // 3, ("a", "b")[number % 2]
        opened = incident(f"i{number:02}", opened=at, rule=rule)
        ledger.append(
            batch(
                f"b{number}",
                entry(at, rule=rule, target=f"web{number % 3}"),
                incidents=(IncidentRecord(incident=opened, decision=None),),
                runs=(replace(run(f"r{number:02}", created=at), rule=rule),),
            )
        )
    return ledger


@pytest.mark.parametrize("kind", LISTINGS)
def test_pages_have_no_gap_and_no_repeat_newest_first(filled: SqlLedger, kind: str) -> None:
    listing = LISTINGS[kind]
    for limit in (1, 4, 29, 30, 31):
        keys = [row[listing.key] for row in walk(filled, kind, limit=limit)]
        assert keys == sorted(keys, reverse=True) and len(keys) == 30, limit
    assert filled.page(listing, Query(), limit=30).next is None, "no empty last page"


def test_a_page_stays_where_it_was_while_entries_are_added(filled: SqlLedger) -> None:
    first = filled.page(LISTINGS["audit"], Query(), limit=5)
    filled.append(batch("new", entry(99)))
    second = filled.page(LISTINGS["audit"], Query(), limit=5, before=first.next)
    assert [row["seq"] for row in second.rows] == [25, 24, 23, 22, 21]


def test_filters_hold_together_and_through_every_page(filled: SqlLedger) -> None:
    found = list(walk(filled, "audit", limit=2, rule="a", target="web0"))
    assert len(found) == 5
    assert {(row["rule"], row["target"]) for row in found} == {("a", "web0")}
    assert list(walk(filled, "runs", limit=2, rule="nobody")) == []


def test_since_is_included_and_until_is_not(filled: SqlLedger) -> None:
    since, until = "2026-01-31T12:00:02.000000Z", "2026-01-31T12:00:04.000000Z"
    for kind, time in (("incidents", "opened_at"), ("runs", "created_at"), ("audit", "at")):
        for rule in ({}, {"rule": "a"}):
            times = {row[time] for row in walk(filled, kind, limit=4, since=since, until=until, **rule)}
            assert times == {since, "2026-01-31T12:00:03.000000Z"}, kind


def test_one_row_is_found_by_its_key(filled: SqlLedger) -> None:
    assert filled.one(LISTINGS["audit"], "7")["seq"] == 7
    assert filled.one(LISTINGS["runs"], "r07")["id"] == "r07"


HOSTILE = ["", "0", "-1", "x", "1; DROP TABLE audit", "9" * 30, "9" * 5000, "²", "٣", "\0", "a\0b", "é" * 9, "|", "%"]


@pytest.mark.parametrize("kind", LISTINGS)
def test_a_key_that_nothing_has_is_not_found(filled: SqlLedger, kind: str) -> None:
    for key in HOSTILE:
        with pytest.raises(NotFound):
            filled.one(LISTINGS[kind], key)


@pytest.mark.parametrize("kind", LISTINGS)
def test_a_cursor_or_a_filter_that_is_not_ours_finds_some_page_and_breaks_nothing(filled: SqlLedger, kind: str) -> None:
    for number in (0, 1, 17, 10**18 - 1):
        filled.page(LISTINGS[kind], Query(), limit=5, before=number)
    for word in HOSTILE:
        assert filled.page(LISTINGS[kind], asked(kind, rule=word), limit=5).rows == []


# ---------------------------------------------------------------------------------------------------------------------
# The schema


def is_not_of_fts5(_: Any, name: str, kind: str, *__: Any) -> bool:
    # FTS5 keeps its index in tables of its own, and SQLite has no GIN.
    return "_cards_words" not in name


def test_migrations_make_exactly_the_schema_that_the_code_knows(engine: Engine) -> None:
    migrate(engine)
    with engine.connect() as connection:
        # On SQLite an empty text as a default is taken for a difference from itself.
        defaults = connection.dialect.name == "postgresql"
        opts = {"compare_type": True, "compare_server_default": defaults, "include_object": is_not_of_fts5}
        context = MigrationContext.configure(connection, opts=opts)
        assert compare_metadata(context, metadata) == []


def test_migrating_again_changes_nothing(sealed: SqlLedger) -> None:
    head = sealed.head()
    migrate(sealed.engine)
    assert sealed.head() == head and sealed.verify() is None


def test_a_database_of_a_newer_version_is_refused_and_left_alone(fresh_ledger: SqlLedger) -> None:
    change(fresh_ledger, "UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(SchemaTooNew):
        migrate(fresh_ledger.engine)
    assert fresh_ledger.rows(select(text("version_num")).select_from(text("alembic_version"))) == [
        {"version_num": "9999"}
    ]


def test_several_that_migrate_at_once_do_not_get_into_each_others_way(database_url: str) -> None:
    errors: list[Exception] = []

    def migrate_it() -> None:
        engine = open_engine(database_url)
        try:
            migrate(engine)
        except Exception as error:
            errors.append(error)
        finally:
            engine.dispose()

    threads = [threading.Thread(target=migrate_it) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


# ---------------------------------------------------------------------------------------------------------------------
# Kept for good


def test_what_was_appended_to_sqlite_survives_a_power_cut(tmp_path: Path) -> None:
    engine = open_engine(f"sqlite:///{tmp_path / 'alertmend.db'}")
    with engine.connect() as connection:
        assert connection.execute(text("PRAGMA journal_mode")).scalar() == "wal"
        assert connection.execute(text("PRAGMA synchronous")).scalar() == 2
    engine.dispose()


@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(sizes=st.lists(st.integers(0, 4), max_size=6))
def test_batches_of_any_size_make_one_chain(new_ledger: NewLedger, sizes: list[int]) -> None:
    with new_ledger() as ledger:
        for number, size in enumerate(sizes):
            ledger.append(batch(f"b{number}", *(entry(place) for place in range(size))))
        assert ledger.head()[0] == sum(sizes) and ledger.verify() is None
