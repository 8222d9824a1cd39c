"""Searching the ledger on SQLite and PostgreSQL: what is found is what matches, and no question reads everything."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, text

from tests.edge.conftest import NewLedger
from tests.edge.tampering import without_triggers
from tests.edge.test_ledger import asked, batch, decision, entry, incident, run
from tests.flow.twin import EPOCH
from webhook.core.audit import AuditEvent, Event
from webhook.core.incident import LastRun
from webhook.core.run import Outcome, RunState
from webhook.core.search import Query, read_query
from webhook.core.transcript import Passage
from webhook.core.verdict import Choice
from webhook.edge.ledger import LISTINGS, SqlLedger, card, find, index
from webhook.edge.migration import migrate
from webhook.ports import IncidentRecord


def decided(
    number: int, *, rule: str = "restart-web", incident: str = "i1", guard: str = "cooldown", **labels: str
) -> AuditEvent:
    """A decision on an alert."""
    check = {"guard": guard, "verdict": "hold", "reason": f"{guard} holds it"}
    body = {
        "decision": {"decision": "hold", "guard": guard, "reason": f"{guard} holds it", "checks": [check]},
        "alert": {"labels": {"alertname": "Down", **labels}},
    }
    return entry(number, rule=rule, incident=incident, alertname="Down", decision="hold", body=body)


def found(ledger: SqlLedger, kind: str, *pairs: tuple[str, str]) -> list[Any]:
    """The keys of all that is found."""
    page = ledger.page(LISTINGS[kind], read_query(pairs, kind=kind, now=EPOCH), limit=100)
    assert page.next is None
    return [row[LISTINGS[kind].key] for row in page.rows]


# ---------------------------------------------------------------------------------------------------------------------
# What is found


def test_entries_are_found_by_label_guard_and_words(ledger: SqlLedger) -> None:
    ledger.append(batch("b1", decided(1, job="web", env="prod"), decided(2, guard="lock", job="db")))
    ledger.append(
        batch("b2", entry(3, event=Event.PAUSE, actor="jane", body={"comment": "Storage moves to new shelf"}))
    )
    assert found(ledger, "audit", ("label", "job=web")) == [1]
    assert found(ledger, "audit", ("label", "job=web"), ("label", "env=prod")) == [1]
    assert found(ledger, "audit", ("label", "job=web"), ("label", "env=test")) == []
    assert found(ledger, "audit", ("guard", "lock")) == [2]
    assert found(ledger, "audit", ("q", "holds")) == [2, 1]
    assert found(ledger, "audit", ("q", "HOLDS lock")) == [2]
    assert found(ledger, "audit", ("q", "storage"), ("actor", "jane")) == [3]
    assert found(ledger, "audit", ("q", '"new shelf"')) == [3]
    assert found(ledger, "audit", ("q", '"shelf new"')) == []
    assert found(ledger, "audit", ("q", "jane")) == [3]


def test_what_a_playbook_printed_is_found_in_the_entry_of_the_end_and_in_the_run(ledger: SqlLedger) -> None:
    said = {"r1": (Passage(at=EPOCH, text="TASK [restart] connection refused\n", number=1),)}
    ledger.append(batch("b1", entry(1, event=Event.RUN_STARTED, run="r1"), runs=(run(),)))
    ledger.append(batch("b2", runs=(run(state=RunState.PROVING),), transcripts=said))
    assert found(ledger, "runs", ("q", "refused")) == ["r1"]
    # The end comes later, without the output.
    ended = run(state=RunState.FINISHED, outcome=Outcome.FIXED, reason="the alerts resolved")
    ledger.append(batch("b3", entry(3, event=Event.RUN_FINISHED, run="r1"), runs=(ended,)))
    assert found(ledger, "audit", ("q", '"connection refused"')) == [2]
    assert found(ledger, "runs", ("q", "refused resolved"), ("outcome", "fixed")) == ["r1"]
    assert found(ledger, "runs", ("state", "proving")) == []


def test_an_incident_is_found_as_it_is_now_by_every_alert_that_was_behind_it(ledger: SqlLedger) -> None:
    opened = IncidentRecord(incident=incident(), decision=decision(Choice.HOLD))
    ledger.append(batch("b1", decided(1, job="web"), incidents=(opened,), runs=(run(),)))
    ledger.append(batch("b2", decided(2, job="db"), incidents=(replace(opened, decision=None),)))
    assert found(ledger, "incidents", ("label", "job=web"), ("label", "job=db"), ("alertname", "Down")) == ["i1"]
    assert found(ledger, "incidents", ("decision", "hold"), ("state", "open")) == ["i1"]
    last = LastRun(id="r1", outcome=Outcome.FAILED, finished_at=EPOCH)
    closed = incident(resolved_at=EPOCH, last_run=last)
    ledger.append(batch("b3", incidents=(IncidentRecord(incident=closed, decision=None),)))
    assert found(ledger, "incidents", ("label", "job=web"), ("state", "resolved"), ("outcome", "failed")) == ["i1"]
    assert found(ledger, "incidents", ("state", "open")) == []
    assert found(ledger, "runs", ("label", "job=web")) == ["r1"]


def test_what_was_written_late_is_found_at_its_own_time(ledger: SqlLedger) -> None:
    # Given entries that were sealed long after they happened, as when the database was away
    for number, at in enumerate((100, 10, 50, 20)):
        ledger.append(batch(f"b{number}", entry(at, rule="a")))
    until = "2026-01-31T12:00:30Z"
    assert found(ledger, "audit", ("until", until)) == found(ledger, "audit", ("until", until), ("rule", "a")) == [4, 2]


def test_what_was_sealed_before_the_decision_on_it_is_found_by_both(ledger: SqlLedger) -> None:
    said = {"r1": (Passage(at=EPOCH, text="connection refused\n", number=1),)}
    ended = run(state=RunState.FINISHED, outcome=Outcome.FAILED)
    closed = IncidentRecord(incident=incident(resolved_at=EPOCH, runs=("r1",)), decision=None)
    ledger.append(batch("b2", incidents=(closed,), runs=(ended,), transcripts=said))
    opened = IncidentRecord(incident=incident(), decision=decision(Choice.HOLD))
    ledger.append(batch("b1", decided(1, job="web"), incidents=(opened,), runs=(run(),)))
    assert found(ledger, "incidents", ("label", "job=web"), ("decision", "hold"), ("state", "resolved")) == ["i1"]
    assert found(ledger, "runs", ("label", "job=web"), ("q", "refused"), ("state", "finished")) == ["r1"]


@pytest.mark.parametrize(
    "word",
    [
        "",
        "'",
        '"',
        '"a',
        "a* OR b",
        "NEAR(a b)",
        "a:b",
        "^a",
        "-a",
        "a AND",
        "(",
        "{",
        "%",
        "_",
        "\0",
        "a\0b",
        "\\",
        "' OR 1=1",
        "é" * 999,
        "<->",
        "!a",
        "a & b",
        ":*",
    ],
)
def test_no_word_is_syntax(ledger: SqlLedger, word: str) -> None:
    ledger.append(batch("b1", decided(1, job="web")))
    for kind in LISTINGS:
        for pair in (("q", word), ("rule", word), ("label", f"x={word}")):
            found(ledger, kind, pair)
            ledger.facets(LISTINGS[kind], read_query([pair], kind=kind, now=EPOCH))


@pytest.mark.parametrize("text", ["\U00010400" * 10, "é" * 31])
def test_output_of_any_size_and_script_is_taken(ledger: SqlLedger, text: str) -> None:
    # Words as long as they may be, each another one.
    printed = " ".join(f"{number}{text}" for number in range(40_000))
    said = {"r1": (Passage(at=EPOCH, text=printed, number=1),)}
    ended = run(state=RunState.FINISHED, outcome=Outcome.FIXED)
    ledger.append(batch("b1", entry(1, event=Event.RUN_FINISHED, run="r1"), runs=(ended,), transcripts=said))
    assert found(ledger, "audit", ("q", f"39999{text}")) == [1]
    assert found(ledger, "runs", ("q", f"7{text}")) == ["r1"]


def test_facets_count_what_the_filters_leave(ledger: SqlLedger) -> None:
    ledger.append(
        batch("b1", *(decided(n, guard=("lock", "cooldown")[n % 2], rule="ab"[n % 3 == 0]) for n in range(9)))
    )
    tally = ledger.facets(LISTINGS["audit"], asked("audit", guard="lock"))
    assert (tally.counted, tally.looked_to) == (5, None)
    assert tally.facets["rule"] == Counter(a=3, b=2)
    assert tally.facets["guard"] == Counter(lock=5)
    assert tally.facets["outcome"] == Counter()
    everything = ledger.facets(LISTINGS["audit"], Query())
    assert everything.facets["guard"] == Counter(lock=5, cooldown=4)


# ---------------------------------------------------------------------------------------------------------------------
# A part at a time


@pytest.fixture
def small_spans(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few entries are many spans."""
    for module in (card, find, index):
        monkeypatch.setattr(module, "SPAN", 4)
    monkeypatch.setattr(find, "FIRST_PORTION", 2)


def test_a_search_that_takes_too_long_ends_early_and_goes_on_with_the_next_page(
    small_spans: None, ledger: SqlLedger
) -> None:
    ledger.append(batch("b1", *(entry(number, rule="rare" if number == 0 else "common") for number in range(50))))
    before, pages = None, 0
    while True:
        page = ledger.page(LISTINGS["audit"], asked("audit", rule="rare"), limit=5, before=before, seconds=0)
        pages += 1
        if page.rows or page.next is None:
            break
        assert before is None or page.next < before, "it always gets on"
        before = page.next
    assert [row["seq"] for row in page.rows] == [1] and pages > 2
    tally = ledger.facets(LISTINGS["audit"], Query(), seconds=0)
    assert 0 < tally.counted < 50 and tally.looked_to is not None


ENTRIES = st.lists(
    st.tuples(
        st.sampled_from("ab"), st.sampled_from(["web", "db"]), st.sampled_from(["x y", "y x", "y"]), st.integers(0, 30)
    ),
    max_size=30,
)
QUESTIONS = st.lists(
    st.sampled_from(
        [
            ("rule", "a"),
            ("label", "job=web"),
            ("q", "x"),
            ("q", '"x y"'),
            ("since", "15s"),
            ("until", "10s"),
            ("event", "pause"),
        ]
    ),
    max_size=3,
    unique_by=lambda pair: pair[0],
)


def matches(row: tuple[str, str, str, int], seq: int, pairs: Sequence[tuple[str, str]], now: datetime) -> bool:
    rule, job, comment, at = row
    question = dict(pairs)
    return (
        question.get("rule", rule) == rule
        and question.get("label", f"job={job}") == f"job={job}"
        and (question.get("q") is None or question["q"].strip('"') in comment)
        and ("since" not in question or now - timedelta(seconds=15) <= EPOCH + timedelta(seconds=at))
        and ("until" not in question or EPOCH + timedelta(seconds=at) < now - timedelta(seconds=10))
        and "event" not in question
    )


def check_against_a_loop(ledger: SqlLedger, rows: Any, pairs: Any, limit: int) -> None:
    now = EPOCH + timedelta(seconds=30)
    ledger.append(
        batch(
            f"b{ledger.head()[0]}",
            *(
                entry(at, rule=rule, body={"alert": {"labels": {"job": job}}, "comment": comment})
                for rule, job, comment, at in rows
            ),
        )
    )
    expected = [seq for seq, row in enumerate(rows, 1) if matches(row, seq, pairs, now)][::-1]
    query, before, seen = read_query(pairs, kind="audit", now=now), None, []
    while True:
        page = ledger.page(LISTINGS["audit"], query, limit=limit, before=before, seconds=0)
        seen += [row["seq"] for row in page.rows]
        if (before := page.next) is None:
            break
    assert seen == expected
    assert ledger.facets(LISTINGS["audit"], query).counted == len(expected)


@settings(max_examples=60, suppress_health_check=list(HealthCheck))
@given(rows=ENTRIES, pairs=QUESTIONS, limit=st.integers(1, 9))
def test_what_is_found_is_what_a_loop_over_everything_would_find(
    small_spans: None, new_ledger: NewLedger, rows: Any, pairs: Any, limit: int
) -> None:
    with new_ledger() as ledger:
        check_against_a_loop(ledger, rows, pairs, limit)


@settings(max_examples=30, suppress_health_check=list(HealthCheck))
@given(rows=ENTRIES, pairs=QUESTIONS, limit=st.integers(1, 9))
def test_postgresql_finds_the_same(
    small_spans: None, migrated_postgres: Engine, rows: Any, pairs: Any, limit: int
) -> None:
    with without_triggers(migrated_postgres) as connection:
        connection.execute(text("TRUNCATE audit, audit_cards, batches, spans"))
    check_against_a_loop(SqlLedger(engine=migrated_postgres), rows, pairs, limit)


# ---------------------------------------------------------------------------------------------------------------------
# How it is found

MANY = 40_000


@pytest.fixture(scope="module")
def many_on_postgresql(migrated_postgres: Engine) -> Iterator[Engine]:
    """Enough cards that reading all of them is dearer than the index."""
    fill = (
        "INSERT INTO audit_cards (number, at, event, actor, rule, words)"
        " SELECT n, '2026-01-31T12:00:00.000000Z', 'decision', 'alertmend', 'r',"
        " array_to_tsvector(ARRAY['·' || n / 8192, 'common', 'w' || n % 1000])"
        f" FROM generate_series(1, {MANY}) AS n"
    )
    with migrated_postgres.begin() as connection:
        connection.execute(text("TRUNCATE audit_cards, spans"))
        connection.execute(text(fill))
        connection.execute(text("INSERT INTO spans SELECT 'audit', n, '2026', '2027' FROM generate_series(0, 4) AS n"))
        connection.execute(text("ANALYZE audit_cards"))
    yield migrated_postgres


QUERIES = [
    Query(),
    Query(since="2026-01-01", until="2027-01-01"),
    Query(phrases=(("common",),)),
    Query(phrases=(("w7",),)),
    Query(phrases=(("common", "w7"),), since="2026-01-01"),
    Query(terms=("·0123456789abcdef",), until="2027-01-01"),
]


def plan(engine: Engine, query: Query, explain: str) -> str:
    listing = LISTINGS["audit"]
    with engine.connect() as connection:
        (portion,) = find._portions(connection, listing, query, before=find.NO_END, size=99, seconds=1)
        values = {**find._values(connection, query, portion), "limit": 51}
        statement = f"{explain} {find._numbers(connection, listing, query).text}"
        return "\n".join(str(row[-1]) for row in connection.execute(text(statement), values))


@pytest.mark.parametrize("query", QUERIES, ids=str)
def test_postgresql_asks_its_indexes_for_one_span_after_the_other(many_on_postgresql: Engine, query: Query) -> None:
    found = plan(many_on_postgresql, query, "EXPLAIN")
    assert "Seq Scan" not in found, found
    index = "audit_cards_words" if query.phrases or query.terms else "Backward using audit_cards_pkey"
    assert index in found, found


@pytest.mark.parametrize("query", QUERIES, ids=str)
def test_sqlite_asks_its_index_in_the_order_of_the_numbers(new_ledger: NewLedger, query: Query) -> None:
    with new_ledger() as ledger:
        ledger.append(batch("b1", entry(1)))
        found = plan(ledger.engine, query, "EXPLAIN QUERY PLAN")
    assert "TEMP B-TREE" not in found and "SCAN audit_cards\n" not in f"{found}\n", found
    assert "VIRTUAL TABLE INDEX" in found if query.phrases or query.terms else "USING INTEGER PRIMARY KEY" in found


# ---------------------------------------------------------------------------------------------------------------------
# What was written before there was an index


def test_what_an_older_version_wrote_is_found_once_it_is_migrated(engine: Engine) -> None:
    migrate(engine)
    ledger = SqlLedger(engine=engine)
    said = {"r1": (Passage(at=EPOCH, text="it printed this\n", number=1),)}
    ended = run(state=RunState.FINISHED, outcome=Outcome.FIXED)
    closed = incident(runs=("r1",), resolved_at=EPOCH)
    record = IncidentRecord(incident=closed, decision=decision())
    finished = entry(2, event=Event.RUN_FINISHED, run="r1")
    ledger.append(batch("b1", decided(1, job="web"), finished, incidents=(record,), runs=(ended,), transcripts=said))
    # Given a database without any cards
    with engine.execution_options(alertmend_writes=True).connect() as connection, connection.begin():
        for table in ("audit_cards", "incident_cards", "run_cards", "spans"):
            connection.execute(text(f"DELETE FROM {table}"))
    assert found(ledger, "audit") == []
    migrate(engine)
    assert found(ledger, "audit", ("label", "job=web")) == [1]
    assert found(ledger, "audit", ("q", "printed")) == [2]
    assert found(ledger, "incidents", ("label", "job=web"), ("outcome", "fixed")) == ["i1"]
    assert found(ledger, "runs", ("q", "printed"), ("label", "job=web")) == ["r1"]
