"""The record over HTTP: newest first, filtered, a page at a time; nothing that is asked breaks it."""

from __future__ import annotations

import csv
import io
import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import bcrypt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.web.conftest import Client
from webhook.core.audit import AuditEvent, Event
from webhook.core.incident import Incident, ResolvedBy
from webhook.core.line import read_line
from webhook.core.run import Outcome, Run, RunState
from webhook.core.transcript import Passage
from webhook.core.verdict import Choice, Decision
from webhook.edge.ledger import SqlLedger, open_engine
from webhook.edge.ledger.archive import SqlArchive
from webhook.edge.migration import migrate
from webhook.edge.webconfig import Role, WebConfig
from webhook.ports import Batch, IncidentRecord
from webhook.web import export

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
KINDS = ("incidents", "runs", "audit")
DECISION = Decision(decision=Choice.RUN, guard=None, reason="every guard passes", retry_at=None, checks=())


def run(number: int) -> Run:
    return Run(
        id=f"run{number}",
        incident=f"incident{number}",
        rule="even" if number % 2 == 0 else "odd",
        target=f"web{number % 3}",
        step=1,
        playbook="restart.yml",
        state=RunState.FINISHED,
        outcome=Outcome.FIXED if number % 2 == 0 else Outcome.FAILED,
        created_at=NOON + number * MINUTE,
        attempt=1,
        alerts=("f1",),
    )


def incident(number: int) -> Incident:
    is_open = number % 2 == 0
    found = Incident(
        id=f"incident{number}",
        rule="even" if is_open else "odd",
        target=f"web{number % 3}",
        opened_at=NOON + number * MINUTE,
        firing=("f1",) if is_open else (),
        alerts=("f1",),
        runs=(f"run{number}",),
    )
    return found if is_open else replace(found, resolved_at=NOON + HOUR, resolved_by=ResolvedBy.ITSELF)


HOUR = timedelta(hours=1)
MANY = 12


def batch(number: int) -> Batch:
    at, done = NOON + number * MINUTE, run(number)
    columns: dict[str, Any] = {"incident": done.incident, "run": done.id, "rule": done.rule, "target": done.target}
    event = AuditEvent(at=at, event=Event.RUN_FINISHED, outcome=done.outcome, body={"n": number}, **columns)
    record = IncidentRecord(incident=incident(number), decision=DECISION)
    said = {done.id: (Passage(at=at, text="PLAY\n", number=1),)}
    return Batch(id=str(number), at=at, events=(event,), incidents=(record,), runs=(done,), transcripts=said)


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SqlLedger]:
    """A ledger with twelve of each kind, a minute apart."""
    engine = open_engine(f"sqlite:///{tmp_path_factory.mktemp('api') / 'alertmend.db'}")
    migrate(engine)
    found = SqlLedger(engine=engine)
    for number in range(MANY):
        found.append(batch(number))
    yield found
    engine.dispose()


def key(kind: str) -> str:
    return "seq" if kind == "audit" else "id"


def listed(client: Client, path: str) -> dict[str, Any]:
    answer = client.get(f"/api/v1/{path}")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    assert found.keys() == {"items", "next"}
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_the_newest_comes_first_and_pages_leave_no_gap_and_no_repeat(client: Client, kind: str) -> None:
    whole = [item[key(kind)] for item in listed(client, kind)["items"]]
    assert len(whole) == len(set(whole)) == MANY
    assert whole[0] == (MANY if kind == "audit" else f"{kind.rstrip('s')}{MANY - 1}")
    walked: list[Any] = []
    page = listed(client, f"{kind}?limit=5")
    sizes = []
    while True:
        sizes.append(len(page["items"]))
        walked += [item[key(kind)] for item in page["items"]]
        if page["next"] is None:
            break
        page = listed(client, f"{kind}?limit=5&cursor={page['next']}")
    assert walked == whole
    assert sizes == [5, 5, 2]


@pytest.mark.parametrize(
    ("path", "numbers"),
    [
        ("runs?rule=even&limit=3", [10, 8, 6]),
        ("runs?rule=even&target=web1", [10, 4]),
        ("runs?outcome=failed&target=web0", [9, 3]),
        ("runs?incident=incident4", [4]),
        ("runs?state=running", []),
        ("runs?rule=EVEN", []),
        ("incidents?state=open&target=web0", [6, 0]),
        ("incidents?since=2026-01-31T12:10:00Z", [11, 10]),
        ("incidents?until=2026-01-31T12:02:00Z", [1, 0]),
        ("runs?since=2026-01-31T14:02:00%2B02:00&until=2026-01-31T12:04:00", [3, 2]),
        ("runs?since=2026-01-31T14:11:00+02:00", [11]),
        ("runs?since=2026-02-01", []),
    ],
)
def test_filters_hold_together(client: Client, path: str, numbers: list[int]) -> None:
    kind = path.partition("?")[0].rstrip("s")
    assert [item["id"] for item in listed(client, path)["items"]] == [f"{kind}{number}" for number in numbers]


@pytest.mark.parametrize("name", ["event", "rule", "target", "outcome", "run", "incident"])
def test_the_audit_log_is_filtered_by_what_its_entries_show(client: Client, name: str) -> None:
    [first, *_] = listed(client, "audit")["items"]
    found = listed(client, f"audit?{name}={first[name]}")["items"]
    assert first in found
    assert {item[name] for item in found} == {first[name]}


def test_one_is_shown_whole(client: Client) -> None:
    shown = client.get("/api/v1/incidents/incident4").json()
    assert shown == {
        "id": "incident4",
        "rule": "even",
        "target": "web1",
        "state": "open",
        "opened_at": "2026-01-31T12:04:00.000000Z",
        "resolved_at": None,
        "resolved_by": None,
        "alerts": ["f1"],
        "runs": ["run4"],
        "decision": {
            "decision": "run",
            "guard": None,
            "reason": "every guard passes",
            "retry_at": None,
            "checks": [],
        },
        "firing": ["f1"],
        "hold": None,
        "request": None,
        "handed_over": "",
        "came_back_after": None,
        "traceparent": "",
    }
    found = client.get("/api/v1/runs/run4").json()
    assert (found["id"], found["state"], found["outcome"]) == ("run4", "finished", "fixed")
    entry = client.get("/api/v1/audit/5").json()
    assert (entry["seq"], entry["event"], entry["run"], entry["body"]["n"]) == (5, "run_finished", "run4", 4)
    assert client.get("/api/v1/audit/4").json()["hash"] == entry["previous_hash"]


def test_output_is_text_and_nothing_that_a_browser_would_run(client: Client) -> None:
    answer = client.get("/api/v1/runs/run4/output.txt")
    assert (answer.text, answer.headers["content-type"]) == ("PLAY\n", "text/plain; charset=utf-8")


def test_the_chain_is_verified_where_it_lies(client: Client, ledger: SqlLedger) -> None:
    seq, head = ledger.head()
    found = client.get("/api/v1/audit/verify").json()
    assert found == {"ok": True, "entries": seq, "head": head, "first_bad": None}


def test_a_changed_entry_is_named(client_over: Any, ledger: SqlLedger, tmp_path: Path) -> None:
    # Given a copy of the ledger that someone has been at
    copy = tmp_path / "alertmend.db"
    with closing(sqlite3.connect(str(ledger.engine.url.database))) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)
        target.execute("DROP TRIGGER audit_not_changed")
        target.execute("UPDATE audit SET target = 'web9' WHERE seq = 7")
        target.commit()
    found = client_over(f"sqlite:///{copy}").get("/api/v1/audit/verify").json()
    assert (found["ok"], found["first_bad"]["seq"]) == (False, 7)


@pytest.mark.parametrize("kind", [*KINDS, "runs/facets", "audit.csv", "incidents.jsonl"])
@pytest.mark.parametrize(
    "query",
    [
        "label=job",
        "label=%3Dx",
        "q=a&q=b",
        "cursor=x",
        "cursor=-1",
        "cursor=" + "9" * 30,
        "q=" + "word+" * 100,
        "limit=0",
        "limit=1001",
        "limit=-1",
        "limit=",
        "limit=1e2",
        "limit=%C2%B2",
        "limit=" + "9" * 5000,
        "since=yesterday",
        "since=",
        "until=0001-01-01T00:00:00%2B23:00",
        "until=9999-12-31T23:59:59-23:00",
        "rule=a&rule=b",
        "limit=1&limit=2",
        "nonsense=1",
        "Rule=web",
        "id=run1",
        "body=x",
        "%00=1",
    ],
)
def test_what_cannot_be_asked_is_a_400_with_words(client: Client, kind: str, query: str) -> None:
    answer = client.get(f"/api/v1/{kind}?{query}")
    assert answer.status_code == 400
    assert 0 < len(answer.json()["error"]) < 300


def test_a_filter_that_is_not_known_is_answered_with_those_that_are(client: Client) -> None:
    assert "known: rule, target, state" in client.get("/api/v1/runs?tagret=web1").json()["error"]


@pytest.mark.parametrize(
    ("path", "numbers"),
    [
        ("runs?q=even+web1", [10, 4]),
        ("runs?q=print", []),
        ("runs?q=play&outcome=failed&target=web0", [9, 3]),
        ('runs?q="restart+yml"&target=web0&rule=even', [6, 0]),
        ("runs?playbook=restart.yml&limit=2", [11, 10]),
        ("incidents?decision=run&state=open&target=web0", [6, 0]),
        ("incidents?resolved_by=itself&target=web0", [9, 3]),
        ("incidents?q=guard+passes&limit=1", [11]),
    ],
)
def test_words_and_what_was_decided_are_found(client: Client, path: str, numbers: list[int]) -> None:
    kind = path.partition("?")[0].rstrip("s")
    assert [item["id"] for item in listed(client, path)["items"]] == [f"{kind}{number}" for number in numbers]


# ---------------------------------------------------------------------------------------------------------------------
# Counted and streamed


def test_facets_count_what_the_filters_leave(client: Client) -> None:
    found = client.get("/api/v1/runs/facets?rule=even").json()
    assert (found["counted"], found["complete"]) == (6, True)
    assert found["facets"]["outcome"] == [{"value": "fixed", "count": 6}]
    assert {row["value"]: row["count"] for row in found["facets"]["target"]} == {"web0": 2, "web1": 2, "web2": 2}
    assert client.get("/api/v1/runs/facets?rule=even&limit=3").status_code == 400


@pytest.mark.parametrize("kind", KINDS)
def test_lines_are_what_the_pages_show(client: Client, kind: str) -> None:
    answer = client.get(f"/api/v1/{kind}.jsonl?target=web1")
    assert answer.headers["content-type"] == "application/x-ndjson"
    assert f'filename="{kind}.jsonl"' in answer.headers["content-disposition"]
    lines = [json.loads(line) for line in answer.text.splitlines()]
    assert lines == listed(client, f"{kind}?target=web1&limit=1000")["items"] and lines


@pytest.mark.parametrize("kind", KINDS)
def test_csv_has_a_head_and_a_row_for_each(client: Client, kind: str) -> None:
    answer = client.get(f"/api/v1/{kind}.csv?target=web1&limit=2")
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    head, *rows = list(csv.reader(io.StringIO(answer.text)))
    shown = listed(client, f"{kind}?target=web1&limit=2")["items"]
    assert len(rows) == 2 and {len(row) for row in rows} == {len(head)}
    for row, item in zip(rows, shown, strict=True):
        found = dict(zip(head, row, strict=True))
        assert found[key(kind)] == str(item[key(kind)]) and found["target"] == "web1"


def test_nothing_in_csv_is_run_by_a_spreadsheet(client_over: Any, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'alertmend.db'}"
    engine = open_engine(url)
    migrate(engine)
    event = AuditEvent(at=NOON, event=Event.DECISION, target='=cmd|"/c calc"!A1', rule="@sum", actor="-1+1")
    SqlLedger(engine=engine).append(Batch(id="b", at=NOON, events=(event,)))
    engine.dispose()
    [row] = list(csv.DictReader(io.StringIO(client_over(url).get("/api/v1/audit.csv").text)))
    assert (row["target"], row["rule"], row["actor"]) == ('\'=cmd|"/c calc"!A1', "'@sum", "'-1+1")
    assert (row["outcome"], row["body"]) == ("", "{}")


def test_many_portions_are_streamed_without_gap_and_repeat(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "PORTION", 5)
    for path in ("audit.jsonl", "audit/export"):
        lines = [json.loads(line) for line in client.get(f"/api/v1/{path}").text.splitlines()]
        assert sorted(line["seq"] for line in lines) == list(range(1, MANY + 1))
    assert len(client.get("/api/v1/audit.jsonl?limit=7").text.splitlines()) == 7
    before = client.get("/api/v1/audit.jsonl?cursor=8").text.splitlines()
    assert [json.loads(line)["seq"] for line in before] == [7, 6, 5, 4, 3, 2, 1]


def test_the_log_is_exported_oldest_first_as_it_was_sealed(client: Client, ledger: SqlLedger) -> None:
    lines = client.get("/api/v1/audit/export").content.splitlines()
    assert [read_line(line) for line in lines] == list(ledger.entries())
    after = client.get("/api/v1/audit/export?after=3&limit=2").content.splitlines()
    assert [read_line(line).seq for line in after] == [4, 5]


def test_checkpoints_are_there_to_be_kept_elsewhere(client_over: Any, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'alertmend.db'}"
    engine = open_engine(url)
    migrate(engine)
    written = SqlLedger(engine=engine)
    written.append(batch(0))
    made = SqlArchive(ledger=written).add_checkpoint(NOON, None)
    engine.dispose()
    assert made is not None
    found = client_over(url).get("/api/v1/audit/checkpoints").json()
    at = "2026-01-31T12:00:00.000000Z"
    assert found == {"items": [{"seq": 1, "hash": made.hash, "at": at, "signature": None}], "next": None}


@pytest.mark.parametrize("query", ["rule=even", "after=x", "after=-1", "limit=²", "after=" + "9" * 30, "limit="])
def test_an_export_with_filters_is_refused(client: Client, query: str) -> None:
    assert client.get(f"/api/v1/audit/export?{query}").status_code == 400


HOSTILE = [
    "' OR 1=1 --",
    "%00",
    "run4%00",
    "..%2F..%2Fetc%2Fpasswd",
    "%F0%9F%94%A5",
    "%ED%A0%80",
    "x" * 5000,
    "-1",
    "0",
    "99999999999999999999",
    "%C2%B2",
    "1.0",
    "<script>",
    "run%",
    "*",
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("id", HOSTILE)
def test_an_id_that_nothing_has_is_a_404_whatever_it_looks_like(client: Client, kind: str, id: str) -> None:
    answer = client.get(f"/api/v1/{kind}/{id}")
    assert answer.status_code == 404
    assert len(answer.json()["error"]) < 300
    if kind == "runs":
        assert client.get(f"/api/v1/runs/{id}/output.txt").status_code == 404
        assert client.get(f"/api/v1/runs/{id}/events").status_code == 404


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("value", HOSTILE)
def test_a_filter_that_nothing_has_and_a_cursor_that_nobody_gave_find_nothing_or_say_so(
    client: Client, kind: str, value: str
) -> None:
    assert listed(client, f"{kind}?rule={value}")["items"] == []
    assert client.get(f"/api/v1/{kind}?cursor={value}").status_code in (200, 400)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=100)
@given(
    kind=st.sampled_from(KINDS),
    query=st.dictionaries(
        st.sampled_from(["rule", "target", "since", "until", "limit", "cursor", "state", "event", "x"]),
        st.text(max_size=20),
        max_size=4,
    ),
)
def test_nothing_that_is_asked_breaks_it(client: Client, kind: str, query: dict[str, str]) -> None:
    assert client.get(f"/api/v1/{kind}", params=query).status_code in (200, 400)


PATHS = [
    *KINDS,
    *(f"{kind}{rest}" for kind in KINDS for rest in (".csv", ".jsonl", "/facets")),
    "audit/export",
    "audit/checkpoints",
    *(f"{kind}/1" for kind in KINDS),
    "runs/run4/output.txt",
    "runs/run4/events",
    "audit/verify",
]


@pytest.mark.parametrize("path", PATHS)
def test_it_requires_a_viewer(client_with: Any, tmp_path: Path, path: str) -> None:
    (tmp_path / "am-token").write_text("secret")
    users = {name: bcrypt.hashpw(b"word", bcrypt.gensalt(4)).decode() for name in ("wall", "oncall", "nobody")}
    roles = {Role.VIEWER: frozenset({"wall"}), Role.OPERATOR: frozenset({"oncall"})}
    client = client_with(WebConfig(users=users, roles=roles, receiver_tokens_files=(tmp_path / "am-token",)))
    asked = f"/api/v1/{path}"
    assert client.get(asked).status_code == 401
    assert client.get(asked, auth=("wall", "wrong")).status_code == 401
    assert client.get(asked, auth=("nobody", "word")).status_code == 403
    assert client.get(asked, headers={"Authorization": "Bearer secret"}).status_code == 403
    for user in ("wall", "oncall"):
        assert client.get(asked, auth=(user, "word")).status_code in (200, 404)


@pytest.mark.parametrize("path", PATHS)
def test_it_rejects_post(client: Client, path: str) -> None:
    assert client.post(f"/api/v1/{path}").status_code == 405


@pytest.mark.parametrize("kind", KINDS)
def test_a_database_that_is_away_is_a_503_that_names_it(client_over: Any, tmp_path: Path, kind: str) -> None:
    client = client_over(f"sqlite:///{tmp_path / 'nowhere' / 'alertmend.db'}")
    streams = [f"/api/v1/{kind}{rest}" for rest in (".csv", ".jsonl", "/facets")]
    for path in (f"/api/v1/{kind}", f"/api/v1/{kind}/1", "/api/v1/audit/verify", "/api/v1/audit/export", *streams):
        answer = client.get(path)
        assert answer.status_code == 503
        assert "the audit database" in answer.json()["error"]
