"""The program in this process, a configuration to ask it about, and a server for it to ask."""

from __future__ import annotations

import socket
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import bcrypt
import pytest
import uvicorn

from tests.web.conftest import application
from webhook.cli import main
from webhook.core.audit import AuditEvent, Event
from webhook.edge.ledger import SqlLedger, open_engine
from webhook.edge.migration import migrate
from webhook.edge.webconfig import Role, WebConfig
from webhook.ports import Batch

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


@dataclass(frozen=True)
class Result:
    status: int
    out: str
    err: str


@pytest.fixture
def alertmend(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Result]:
    """`alertmend WORD…`: its exit status, what it said, and what it said about that."""

    def run(*words: object) -> Result:
        monkeypatch.setattr(sys, "argv", ["alertmend", *(str(word) for word in words)])
        with pytest.raises(SystemExit) as ended:
            main()
            sys.exit(0)
        said = capsys.readouterr()
        return Result(int(ended.value.code or 0), said.out, said.err)

    return run


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder with a configuration that can be used."""
    for name in ("rules", "playbooks"):
        (tmp_path / name).mkdir()
    (tmp_path / "alertmend.yml").write_text("inventory: inventory.ini\nrule_files: [rules/*.yml]\n")
    (tmp_path / "inventory.ini").write_text("[web]\nweb1\nweb2\n")
    (tmp_path / "rules/web.yml").write_text(
        "rules:\n"
        "  - name: restart-web\n"
        "    match: ['alertname=\"Down\"']\n"
        "    playbook: restart.yml\n"
        "    vars: {port: '$labels.port'}\n"
        "    guards: {cooldown: 10m}\n"
    )
    (tmp_path / "playbooks/restart.yml").write_text("- hosts: all\n  gather_facts: false\n  tasks: []\n")
    return tmp_path


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[SqlLedger]:
    """A storage path with five entries."""
    (tmp_path / "data").mkdir()
    engine = open_engine(f"sqlite:///{tmp_path / 'data/alertmend.db'}")
    migrate(engine)
    found = SqlLedger(engine=engine)
    for number in range(5):
        at, target = NOON + timedelta(minutes=number), "web1" if number % 2 else "=cmd|' /C calc'!A0"
        event = AuditEvent(at=at, event=Event.DECISION, target=target, decision="refuse", body={"n": number})
        found.append(Batch(id=f"b{number}", at=at, events=(event,)))
    yield found
    engine.dispose()


@pytest.fixture
def serving(ledger: SqlLedger) -> Iterator[Callable[[WebConfig | None], str]]:
    """A server on the ledger, with a web.config.file or without; its URL."""
    running: list[tuple[uvicorn.Server, threading.Thread, socket.socket]] = []

    def serve(web_config: WebConfig | None = None) -> str:
        app: Any = application(ledger, web_config=web_config)
        listening = socket.create_server(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(app, lifespan="off", log_level="critical"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        running.append((server, thread, listening))
        return f"http://127.0.0.1:{listening.getsockname()[1]}"

    yield serve
    for server, thread, listening in running:
        server.should_exit = True
        thread.join(10)
        listening.close()


@pytest.fixture
def guarded() -> WebConfig:
    """One viewer, `wall`, whose password is `look`."""
    hashed = bcrypt.hashpw(b"look", bcrypt.gensalt(4)).decode()
    return WebConfig(users={"wall": hashed}, roles={Role.VIEWER: frozenset({"wall"})})
