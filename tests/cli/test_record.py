"""`alertmend audit`, `incidents` and `runs`: from a server, from an exported file, from the store itself."""

from __future__ import annotations

import csv
import io
import json
import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from getpass import getuser
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.cli.conftest import NOON, Result
from webhook.cli import audit, record
from webhook.core.audit import AuditEvent, Event
from webhook.core.checkpoint import Checkpoint, write_checkpoint
from webhook.edge.ledger import SqlLedger, open_engine
from webhook.edge.ledger.archive import SqlArchive
from webhook.edge.migration import migrate
from webhook.edge.webconfig import WebConfig
from webhook.ports import Batch
from webhook.signing import read_signer

Alertmend = Callable[..., Result]
Serving = Callable[..., str]
UNREACHABLE = "http://127.0.0.1:1"


def change(storage: Path, statement: str) -> None:
    """Someone is at the database."""
    with closing(sqlite3.connect(storage / "data/alertmend.db")) as database:
        # Whoever owns the database can do that.
        for trigger in ("audit_not_changed", "audit_not_removed"):
            database.execute(f"DROP TRIGGER IF EXISTS {trigger}")
        database.execute(statement)
        database.commit()


def exported(url: str) -> list[dict[str, Any]]:
    return list(reversed(httpx.get(f"{url}/api/v1/audit").json()["items"]))


def write(file: Path, entries: list[dict[str, Any]]) -> Path:
    file.write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    return file


# ---------------------------------------------------------------------------------------------------------------------
# list and show


def test_a_list_is_a_table_or_json_or_csv_newest_first(alertmend: Alertmend, serving: Serving) -> None:
    server = f"--server.url={serving()}"
    table = alertmend("audit", "list", server)
    assert table.status == 0
    assert table.out.splitlines()[0].split()[:3] == ["SEQ", "AT", "EVENT"]
    assert [line.split()[0] for line in table.out.splitlines()[1:]] == ["5", "4", "3", "2", "1"]
    rows = json.loads(alertmend("audit", "list", server, "--output=json").out)
    assert [row["body"] for row in rows] == [{"n": number} for number in (4, 3, 2, 1, 0)]
    found = list(csv.DictReader(io.StringIO(alertmend("audit", "list", server, "--output=csv").out)))
    assert [row["seq"] for row in found] == ["5", "4", "3", "2", "1"]


def test_a_spreadsheet_runs_nothing_that_a_stranger_wrote(alertmend: Alertmend, serving: Serving) -> None:
    out = alertmend("audit", "list", f"--server.url={serving()}", "--output=csv").out
    targets = {row["target"] for row in csv.DictReader(io.StringIO(out))}
    assert targets == {"web1", "'=cmd|' /C calc'!A0"}


def test_a_list_is_filtered_and_limited(alertmend: Alertmend, serving: Serving) -> None:
    server = f"--server.url={serving()}"
    found = alertmend("audit", "list", server, "--target=web1", "--limit=1", "--output=json")
    assert [row["seq"] for row in json.loads(found.out)] == [4]
    since = alertmend("audit", "list", server, "--since=2026-01-31T12:03:00Z", "--output=json")
    assert [row["seq"] for row in json.loads(since.out)] == [5, 4]
    wrong = alertmend("audit", "list", server, "--since=yesterday")
    assert (wrong.status, wrong.out) == (2, "")
    assert "'yesterday' is not a time" in wrong.err


@pytest.mark.parametrize("kind", ["incidents", "runs"])
def test_an_empty_list_is_its_head(alertmend: Alertmend, serving: Serving, kind: str) -> None:
    found = alertmend(kind, "list", f"--server.url={serving()}")
    assert (found.status, len(found.out.splitlines())) == (0, 1)


def test_one_entry_is_shown_whole(alertmend: Alertmend, serving: Serving) -> None:
    server = f"--server.url={serving()}"
    found = alertmend("audit", "show", "3", server)
    assert json.loads(found.out)["body"] == {"n": 2}
    for kind in ("audit", "incidents", "runs"):
        missing = alertmend(kind, "show", "99", server)
        assert (missing.status, missing.out) == (1, "")
        assert "there is no" in missing.err


@pytest.mark.parametrize("verb", [("audit", "list"), ("audit", "verify"), ("runs", "list"), ("runs", "show", "x")])
def test_a_server_that_does_not_answer_is_a_3(alertmend: Alertmend, verb: tuple[str, ...]) -> None:
    found = alertmend(*verb, f"--server.url={UNREACHABLE}")
    assert (found.status, found.out) == (3, "")
    assert "is `alertmend serve` running?" in found.err


@pytest.mark.parametrize("url", ["nonsense", "http://", "ftp://127.0.0.1", "http://127.0.0.1:99999"])
def test_a_url_that_is_none_is_words_and_no_traceback(alertmend: Alertmend, url: str) -> None:
    found = alertmend("audit", "list", f"--server.url={url}")
    assert found.status in (2, 3)
    assert "Traceback" not in found.err and url in found.err


# ---------------------------------------------------------------------------------------------------------------------
# credentials


def test_credentials_come_from_a_file_in_the_manner_of_prometheus(
    alertmend: Alertmend, serving: Serving, guarded: WebConfig, tmp_path: Path
) -> None:
    server = f"--server.url={serving(guarded)}"
    without = alertmend("audit", "list", server)
    assert (without.status, "--http.config.file" in without.err) == (1, True)
    (tmp_path / "password").write_text("look\n")
    http = tmp_path / "http.yml"
    http.write_text("basic_auth: {username: wall, password_file: password}\n")
    assert alertmend("audit", "list", server, f"--http.config.file={http}").status == 0
    http.write_text("basic_auth: {username: wall, password: wrong}\n")
    assert alertmend("audit", "list", server, f"--http.config.file={http}").status == 1
    http.write_text("basic_auth: {usrname: wall}\n")
    broken = alertmend("audit", "list", server, f"--http.config.file={http}")
    assert (broken.status, "did you mean 'username'" in broken.err) == (2, True)


# ---------------------------------------------------------------------------------------------------------------------
# verify


def test_a_chain_that_holds_is_a_0_wherever_it_is_read(
    alertmend: Alertmend, serving: Serving, ledger: SqlLedger, tmp_path: Path
) -> None:
    url = serving()
    said = f"the chain holds: 5 entries, head {ledger.head()[1]}\n"
    file = write(tmp_path / "audit.jsonl", exported(url))
    (tmp_path / "alertmend.yml").write_text(
        f"inventory: hosts\nrule_files: [r.yml]\ndatabase: {{url: 'sqlite:///{tmp_path}/data/alertmend.db'}}\n"
    )
    (tmp_path / "hosts").write_text("web1\n")
    (tmp_path / "r.yml").write_text("rules: []\n")
    for words in (
        [f"--server.url={url}"],
        [file],
        [f"--storage.path={tmp_path}/data"],
        [f"--config.file={tmp_path}/alertmend.yml"],
    ):
        found = alertmend("audit", "verify", *words)
        assert (found.status, found.out) == (0, said), words


@pytest.mark.parametrize(
    ("statement", "seq"),
    [
        ("UPDATE audit SET body = '{\"n\":9}' WHERE seq = 3", 3),
        ("UPDATE audit SET at = '2026-01-31T12:00:00.000001Z' WHERE seq = 1", 1),
        ("DELETE FROM audit WHERE seq = 2", 2),
        ("DELETE FROM audit WHERE seq = 5", 5),
        ("DELETE FROM audit WHERE seq >= 3", 3),
        ("DELETE FROM audit", 1),
    ],
)
def test_a_broken_chain_is_a_1_that_names_the_first_bad_entry_wherever_it_is_read(
    alertmend: Alertmend, serving: Serving, tmp_path: Path, statement: str, seq: int
) -> None:
    url = serving()
    change(tmp_path, statement)
    for words in ([f"--server.url={url}"], [f"--storage.path={tmp_path}/data"]):
        found = alertmend("audit", "verify", *words)
        assert (found.status, found.out) == (1, ""), words
        assert f"the chain breaks at entry {seq}: " in found.err


def test_a_changed_file_is_found_out(alertmend: Alertmend, serving: Serving, tmp_path: Path) -> None:
    entries = exported(serving())
    swapped = [entries[0], entries[2], entries[1], *entries[3:]]
    changed = [*entries[:3], {**entries[3], "actor": "someone"}, entries[4]]
    for content, seq in ((swapped, 2), (changed, 4), (entries[1:], 1)):
        found = alertmend("audit", "verify", write(tmp_path / "audit.jsonl", content))
        assert (found.status, found.out) == (1, "")
        assert f"the chain breaks at entry {seq}: " in found.err


@pytest.mark.parametrize(
    "line",
    [
        "nonsense",
        "[]",
        "null",
        "{}",
        '{"seq": 1}',
        '{"seq":1e999,"body":1e999}',
        "[" * 100_000,
    ],
)
def test_a_file_that_holds_something_else_is_found_out(alertmend: Alertmend, tmp_path: Path, line: str) -> None:
    file = tmp_path / "audit.jsonl"
    file.write_text(f"{line}\n")
    found = alertmend("audit", "verify", file)
    assert found.status == 1
    assert "entry 1: line 1 of" in found.err


def test_half_a_character_in_a_file_is_found_out(alertmend: Alertmend, serving: Serving, tmp_path: Path) -> None:
    entries = exported(serving())
    entries[1]["actor"] = "\ud800"
    found = alertmend("audit", "verify", write(tmp_path / "audit.jsonl", entries))
    assert found.status == 1
    assert "the chain breaks at entry 2: " in found.err


def test_bytes_that_are_no_text_are_found_out(alertmend: Alertmend, tmp_path: Path) -> None:
    (tmp_path / "audit.jsonl").write_bytes(b"\xff\xfe\n")
    assert alertmend("audit", "verify", tmp_path / "audit.jsonl").status == 1


def test_no_database_is_no_broken_chain(alertmend: Alertmend, tmp_path: Path) -> None:
    found = alertmend("audit", "verify", f"--storage.path={tmp_path}")
    assert (found.status, found.out) == (3, "")
    assert f"there is none at {tmp_path}/alertmend.db" in found.err
    (tmp_path / "alertmend.db").write_text("this is no database" * 100)
    found = alertmend("audit", "verify", f"--storage.path={tmp_path}")
    assert (found.status, "not a database" in found.err) == (3, True)


# ---------------------------------------------------------------------------------------------------------------------
# filters and exports


def test_the_filters_of_the_api_are_options(alertmend: Alertmend, serving: Serving) -> None:
    server = f"--server.url={serving()}"

    def seqs(*words: str) -> list[int]:
        found = alertmend("audit", "list", server, "--output=json", *words)
        assert found.status == 0, found.err
        return [row["seq"] for row in json.loads(found.out)]

    assert seqs("--decision=refuse", "--limit=2") == [5, 4]
    assert seqs("--q=web1 alertmend") == [4, 2]
    assert seqs("--label=job=web", "--label=env=prod") == seqs("--guard=lock") == []
    assert alertmend("runs", "list", server, "--playbook=x", "--label=a=b", "--since=2h").status == 0
    assert alertmend("incidents", "list", server, "--resolved-by=itself", "--alertname=x").status == 0


def test_more_than_a_server_gives_at_once_is_asked_for_page_by_page(
    alertmend: Alertmend, serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record, "PAGE", 2)
    found = alertmend("audit", "list", f"--server.url={serving()}", "--output=json", "--limit=5")
    assert [row["seq"] for row in json.loads(found.out)] == [5, 4, 3, 2, 1]


def test_an_export_is_verified_from_wherever_it_comes(
    alertmend: Alertmend, serving: Serving, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "PORTION", 2)
    url = serving()
    sources = [[f"--server.url={url}"], [f"--storage.path={tmp_path}/data"]]
    exports = [alertmend("audit", "export", *words) for words in sources]
    assert exports[0] == exports[1] and len(exports[0].out.splitlines()) == 5
    newest_first = httpx.get(f"{url}/api/v1/audit.jsonl").text
    for content in (exports[0].out, newest_first, newest_first.rstrip("\n")):
        file = tmp_path / "audit.jsonl"
        file.write_text(content)
        verified = alertmend("audit", "verify", file)
        assert verified.status == 0 and "the chain holds: 5 entries" in verified.out, verified.err
    file.write_text(newest_first.replace('"n":2', '"n":3'))
    assert "the chain breaks at entry 3: " in alertmend("audit", "verify", file).err
    after = alertmend("audit", "export", "--after=3", *sources[0])
    assert [json.loads(line)["seq"] for line in after.out.splitlines()] == [4, 5]


# ---------------------------------------------------------------------------------------------------------------------
# checkpoints and pruning


@pytest.fixture
def signed(tmp_path: Path, ledger: SqlLedger) -> tuple[Path, Path]:
    """Checkpoints of the third and of the last entry, kept elsewhere; and the public key."""
    private, public, kept = tmp_path / "key.pem", tmp_path / "pub.pem", tmp_path / "kept.jsonl"
    subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", private], check=True, capture_output=True)
    subprocess.run(["openssl", "pkey", "-in", private, "-pubout", "-out", public], check=True, capture_output=True)
    sign, third = read_signer(private), list(ledger.entries())[2]
    SqlArchive(ledger=ledger).add_checkpoint(NOON, sign)
    unsigned = Checkpoint(seq=3, hash=third.hash, at=third.at)
    checkpoints = [replace(unsigned, signature=sign(unsigned.signed)), *ledger.checkpoints()]
    kept.write_text("".join(map(write_checkpoint, checkpoints)))
    return kept, public


def test_checkpoints_are_printed_from_a_server_and_from_the_store(
    alertmend: Alertmend, serving: Serving, signed: tuple[Path, Path], tmp_path: Path
) -> None:
    found = [
        alertmend("audit", "checkpoints", words)
        for words in (f"--server.url={serving()}", f"--storage.path={tmp_path}/data")
    ]
    assert found[0] == found[1] and found[0].status == 0
    assert found[0].out == signed[0].read_text().splitlines(keepends=True)[1]


def test_a_log_is_compared_with_checkpoints_that_were_kept_elsewhere(
    alertmend: Alertmend, signed: tuple[Path, Path], tmp_path: Path
) -> None:
    store, (kept, public) = f"--storage.path={tmp_path}/data", signed
    options = [f"--checkpoint={kept}", f"--public-key={public}"]
    export = tmp_path / "audit.jsonl"
    export.write_text(alertmend("audit", "export", store).out)
    for source in (store, export):
        assert alertmend("audit", "verify", source, *options).status == 0
    part = tmp_path / "part.jsonl"
    part.write_text(alertmend("audit", "export", store, "--after=3").out)
    assert alertmend("audit", "verify", part, *options).status == 0
    assert "breaks at entry 1: " in alertmend("audit", "verify", part).err
    # An end that was cut off is no break of the chain; only what was kept elsewhere knows of it.
    export.write_text("".join(export.read_text().splitlines(keepends=True)[:4]))
    assert alertmend("audit", "verify", export).status == 0
    assert "breaks at entry 5: it is missing" in alertmend("audit", "verify", export, *options).err


def test_a_database_that_was_made_anew_is_found(
    alertmend: Alertmend, signed: tuple[Path, Path], tmp_path: Path
) -> None:
    (tmp_path / "forged").mkdir()
    engine = open_engine(f"sqlite:///{tmp_path}/forged/alertmend.db")
    migrate(engine)
    for number in range(6):
        event = AuditEvent(at=NOON, event=Event.DECISION, actor="forger", body={"n": number})
        SqlLedger(engine=engine).append(Batch(id=f"b{number}", at=NOON, events=(event,)))
    engine.dispose()
    store, (kept, public) = f"--storage.path={tmp_path}/forged", signed
    assert alertmend("audit", "verify", store).status == 0
    assert "breaks at entry 3: " in alertmend("audit", "verify", store, f"--checkpoint={kept}").err
    assert "no checkpoint" in alertmend("audit", "verify", store, f"--public-key={public}").err


def test_checkpoints_that_the_key_did_not_sign_prove_nothing(
    alertmend: Alertmend, signed: tuple[Path, Path], tmp_path: Path
) -> None:
    store, (kept, public) = f"--storage.path={tmp_path}/data", signed
    first = json.loads(kept.read_text().splitlines()[0])
    for change in ({"signature": None}, {"at": "2026-01-31T00:00:00.000000Z"}, {"seq": 2}):
        kept.write_text(json.dumps({**first, **change}) + "\n")
        found = alertmend("audit", "verify", store, f"--checkpoint={kept}", f"--public-key={public}")
        assert (found.status, "not signed by that key" in found.err) == (1, True), change
    for line in ("nonsense", "[]", "{}", '{"seq": "3"}', '{"seq": 3, "hash": 1, "at": 2}'):
        kept.write_text(f"\n{line}\n")
        wrong = alertmend("audit", "verify", store, f"--checkpoint={kept}")
        assert (wrong.status, f"{kept}:2:1: " in wrong.err) == (2, True), line
    assert alertmend("audit", "verify", store, f"--public-key={kept}").status == 2
    assert alertmend("audit", "verify", f"--public-key={public}").status == 2


def test_pruning_only_says_what_it_would_do_until_it_is_confirmed(
    alertmend: Alertmend, ledger: SqlLedger, tmp_path: Path
) -> None:
    store = f"--storage.path={tmp_path}/data"
    assert "no entry before" in alertmend("audit", "prune", "--older-than=50y", "--confirm", store).out
    dry = alertmend("audit", "prune", "--older-than=1d", store)
    assert (dry.status, "would be removed: 5 entries, 1 to 5" in dry.out) == (0, True), dry
    assert ledger.head()[0] == 5
    done = alertmend("audit", "prune", "--older-than=1d", "--confirm", store)
    assert "removed: 5 entries, 1 to 5" in done.out and done.err == ""
    [left] = [json.loads(line) for line in alertmend("audit", "export", store).out.splitlines()]
    assert (left["event"], left["actor"]) == ("prune", getuser())
    assert alertmend("audit", "verify", store).out.startswith("the chain holds: 1 entries")
    for wrong in ("yesterday", "-1d", ""):
        assert alertmend("audit", "prune", f"--older-than={wrong}", store).status == 2
