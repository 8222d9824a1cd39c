"""A web.config.file that is changed under a running server."""

import asyncio
import base64
import time
from pathlib import Path

import bcrypt
import pytest
from starlette.requests import Request
from structlog.testing import capture_logs

from webhook.core.access import Role
from webhook.errors import NotAuthenticated
from webhook.web import webfile
from webhook.web.auth import Authenticator
from webhook.web.webfile import WebFile


@pytest.fixture(autouse=True)
def looked_at_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webfile, "LOOK_SECONDS", 0.0)


def write(path: Path, password: str, *, more: str = "") -> None:
    hashed = bcrypt.hashpw(password.encode(), bcrypt.gensalt(4)).decode()
    path.write_text(f"basic_auth_users: {{alice: {hashed}}}\nroles: {{operator: [alice]}}\n{more}")


def is_let_in(authenticator: Authenticator, password: str) -> bool:
    given = base64.b64encode(f"alice:{password}".encode())
    request = Request({"type": "http", "headers": [(b"authorization", b"Basic " + given)]})
    try:
        return asyncio.run(authenticator.allow(request, Role.OPERATOR)).name == "alice"
    except NotAuthenticated:
        return False


@pytest.fixture
def path(tmp_path: Path) -> Path:
    found = tmp_path / "web.yml"
    write(found, "old")
    return found


def test_a_password_that_was_changed_counts_at_once_and_the_old_one_no_more(path: Path) -> None:
    file = WebFile.at(path)
    authenticator = Authenticator(file.config, changed=file.changed)
    assert is_let_in(authenticator, "old")
    write(path, "new")
    assert not is_let_in(authenticator, "old")
    assert is_let_in(authenticator, "new")


@pytest.mark.parametrize("broken", ["", "roles: {operator: [bob]}", "basic_auth_users: [", "basic_auth_user: {}"])
def test_a_file_that_cannot_be_used_changes_nothing_and_is_said(path: Path, broken: str) -> None:
    file = WebFile.at(path)
    authenticator = Authenticator(file.config, changed=file.changed)
    path.write_text(broken)
    with capture_logs() as said:
        assert is_let_in(authenticator, "old")
    assert str(path) in said[0]["problems"]
    path.unlink()
    assert is_let_in(authenticator, "old")
    write(path, "newest")
    assert is_let_in(authenticator, "newest")


def test_what_takes_a_restart_stays_and_is_said(path: Path) -> None:
    file = WebFile.at(path)
    write(path, "new", more="session: {lifetime: 5m}\n")
    with capture_logs() as said:
        changed = file.changed()
    assert changed is not None
    assert changed.session == file.config.session != WebFile.at(path).config.session
    assert any("at the next start" in line["event"] for line in said)


def test_it_is_looked_at_once_a_second(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webfile, "LOOK_SECONDS", 1.0)
    file = WebFile.at(path)
    assert file.changed() is None
    write(path, "new")
    moments = iter([time.monotonic(), time.monotonic() + 1.1, time.monotonic() + 1.1])
    monkeypatch.setattr(time, "monotonic", lambda: next(moments))
    assert file.changed() is None
    assert file.changed() is not None
