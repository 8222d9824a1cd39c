"""Every built-in check, by breaking what it watches: a real Valkey, real databases, a real Alertmanager's port."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import redis

from tests.edge.stub import http, stub
from webhook.checking import Checked
from webhook.edge.configfile import Config, read_config
from webhook.edge.ledger import SqlLedger, open_engine
from webhook.edge.migration import migrate
from webhook.edge.store.keys import ARRIVALS, WORKERS, pulse_key
from webhook.edge.store.watch import RedisWatch
from webhook.edge.valkey import EmbeddedValkey
from webhook.signs import Pulse
from webhook.wiring.checks import NAMES, NEEDED, Parts, make_checks
from webhook.wiring.clock import now
from webhook.wiring.kept import Reload

LEASE = timedelta(seconds=60)


def pulse(role: str, **settings: Any) -> Pulse:
    return Pulse(role=role, owner=f"host:{role}", at=now(), started_at=now(), revision="r", **settings)


@pytest.fixture
def config(tmp_path: Path) -> Config:
    site = tmp_path / "site"
    (site / "playbooks").mkdir(parents=True)
    (site / "inventory.yml").write_text("all: {hosts: {web1: {}}}\n")
    (site / "playbooks/mark.yml").write_text("- hosts: all\n  tasks: []\n")
    (site / "rules.yml").write_text("rules: [{name: mark, match: ['a=\"b\"'], playbook: mark.yml}]\n")
    (site / "alertmend.yml").write_text("inventory: inventory.yml\nrule_files: [rules.yml]\n")
    return read_config(site / "alertmend.yml")


@pytest.fixture
def parts(client: Any, config: Config, tmp_path: Path) -> Iterator[Parts]:
    """All is well: both workers live, and the record takes entries."""
    engine = open_engine(f"sqlite:///{tmp_path / 'alertmend.db'}")
    migrate(engine)
    watch = RedisWatch(client=client)
    for role in ("intake", "runs"):
        watch.pulse(pulse(role), lease=LEASE)
    yield Parts(
        config=lambda: config,
        revision=lambda: "ours",
        reload=lambda: None,
        watch=watch,
        ledger=SqlLedger(engine=engine),
        storage=tmp_path,
        now=now,
    )
    engine.dispose()


def ask(parts: Parts, name: str) -> Checked:
    (found,) = make_checks(parts).ask([name])
    return found


def test_all_is_well_while_nothing_is_broken(parts: Parts) -> None:
    assert [(found.name, found.words) for found in make_checks(parts).ask() if not found.ok] == []


def test_the_names_of_the_built_in_ones_are_taken(parts: Parts) -> None:
    assert make_checks(parts).checkers.keys() == NAMES


def test_what_is_needed_is_there() -> None:
    assert set(NEEDED) == {"redis", "database", "configuration", "intake", "runs"}


def test_redis_that_is_gone_is_seen_by_every_check_that_asks_it(parts: Parts, tmp_path: Path) -> None:
    server = EmbeddedValkey(storage=tmp_path / "gone")
    server.start()
    with redis.Redis.from_url(server.url) as connection:
        gone = replace(parts, watch=RedisWatch(client=connection))
        assert ask(gone, "redis").ok
        server.stop()
        for name in ("redis", "intake", "runs", "inbox", "clock"):
            found = ask(gone, name)
            assert not found.ok
            assert found.words.startswith("Redis is not available")


@pytest.mark.parametrize(
    ("breaking", "mending"),
    [
        (("REPLICAOF", "127.0.0.1", "1"), ("REPLICAOF", "NO", "ONE")),
        (("CONFIG", "SET", "maxmemory", "1"), ("CONFIG", "SET", "maxmemory", "0")),
    ],
    ids=["replica", "full"],
)
def test_redis_that_answers_and_takes_nothing_is_not_well(
    parts: Parts, client: Any, breaking: tuple[str, ...], mending: tuple[str, ...]
) -> None:
    client.execute_command(*breaking)
    try:
        assert client.ping()
        assert not ask(parts, "redis").ok
    finally:
        client.execute_command(*mending)


def test_a_worker_that_goes_by_other_rules_than_were_taken_over_here_is_seen(parts: Parts) -> None:
    def taken_over(seconds_ago: float) -> Parts:
        at = now().timestamp() - seconds_ago
        return replace(parts, reload=lambda: Reload(at=at, sound_at=at))

    # It has some seconds to follow
    assert ask(taken_over(1), "files").ok
    found = ask(taken_over(60), "files")
    assert not found.ok
    assert "intake worker host:intake goes by revision r" in found.words
    for role in ("intake", "runs"):
        parts.watch.pulse(replace(pulse(role), revision="ours"), lease=LEASE)
    assert ask(taken_over(60), "files").ok


def test_files_that_cannot_be_used_on_a_worker_of_another_machine_are_seen(parts: Parts) -> None:
    # Its old configuration may be the very one that is decided by here
    parts.watch.pulse(replace(pulse("runs", files="rules.yml:1:1: it is empty"), revision="ours"), lease=LEASE)
    at = now().timestamp()
    found = ask(replace(parts, reload=lambda: Reload(at=at, sound_at=at)), "files")
    words = "runs worker host:runs cannot use the files of its machine: rules.yml:1:1: it is empty"
    assert (found.ok, found.words) == (False, words)


def test_a_record_that_a_worker_cannot_write_is_told_in_its_words(parts: Parts) -> None:
    parts.watch.pulse(pulse("intake", record="the audit database is not available: disk I/O error"), lease=LEASE)
    found = ask(parts, "database")
    assert (found.ok, found.words) == (False, "intake: the audit database is not available: disk I/O error")


def test_where_no_worker_says_how_the_record_is_this_process_looks(parts: Parts, client: Any, tmp_path: Path) -> None:
    client.flushall()
    assert ask(parts, "database").ok
    client.flushall()
    parts.ledger.engine.dispose()
    (tmp_path / "alertmend.db").rename(tmp_path / "elsewhere.db")
    (tmp_path / "alertmend.db").mkdir()
    assert not ask(parts, "database").ok


@pytest.mark.parametrize("role", ["intake", "runs"])
def test_a_worker_that_has_said_nothing_for_the_length_of_its_lease_is_missed(
    parts: Parts, client: Any, role: str
) -> None:
    # Its time runs out now.
    client.delete(pulse_key(f"{role}|host:{role}"))
    found = ask(parts, role)
    assert (found.ok, found.words) == (False, f"no {role} worker was seen lately")
    assert client.smembers(WORKERS) == {f"{other}|host:{other}".encode() for other in {"intake", "runs"} - {role}}
    parts.watch.pulse(pulse(role), lease=LEASE)
    assert ask(parts, role).ok


def test_a_worker_that_ends_as_it_should_is_gone_at_once(parts: Parts) -> None:
    parts.watch.leave(pulse("runs"))
    assert not ask(parts, "runs").ok


def test_an_intake_worker_that_hangs_is_not_well_and_a_long_run_is(parts: Parts) -> None:
    since = now() - timedelta(minutes=3)
    for role in ("intake", "runs"):
        parts.watch.pulse(pulse(role, busy_since=since), lease=LEASE)
    assert ask(parts, "runs").ok
    found = ask(parts, "intake")
    assert not found.ok
    assert "host:intake has been at the same work since" in found.words


def test_notifications_that_nobody_deals_with_are_seen(parts: Parts, client: Any) -> None:
    client.zadd(ARRIVALS, {"n1": (now() - timedelta(seconds=90)).timestamp() * 1000})
    found = ask(parts, "inbox")
    assert not found.ok
    assert found.words.startswith("1 notifications wait, 0 changes are not on record yet; the oldest notification has")


def test_an_alertmanager_that_does_not_answer_is_named(parts: Parts, config: Config) -> None:
    with stub(http(b"[]")) as server:
        url, text = server.url, config.file.read_text()
        config.file.write_text(f"{text}alertmanagers: [{{url: '{url}'}}]\n")
        known = read_config(config.file)
        assert ask(replace(parts, config=lambda: known), "alertmanagers").ok
    found = ask(replace(parts, config=lambda: known), "alertmanagers")
    assert not found.ok
    assert url in found.words


def test_a_storage_path_without_room_is_seen(parts: Parts) -> None:
    # A file system that has no room at all.
    found = ask(replace(parts, storage=Path("/proc")), "storage")
    assert (found.ok, found.words) == (False, "0.0 GiB free in /proc")


@pytest.mark.parametrize("seconds", [-6, 6])
def test_a_clock_that_is_not_that_of_redis_is_seen(parts: Parts, seconds: int) -> None:
    ahead: Callable[[], datetime] = lambda: datetime.now(UTC) + timedelta(seconds=seconds)  # noqa: E731
    found = ask(replace(parts, now=ahead), "clock")
    assert not found.ok
    assert found.words.endswith("s from Redis")


def test_files_that_cannot_be_used_are_told_and_keep_nobody_from_being_ready(parts: Parts) -> None:
    broken = Reload(at=0.0, sound_at=0.0, problems=("rules.yml:1:1: it is empty",))
    assert ask(replace(parts, reload=lambda: Reload(at=now().timestamp(), sound_at=0.0)), "files").ok
    found = ask(replace(parts, reload=lambda: broken), "files")
    assert not found.ok
    assert found.words.endswith("stays: rules.yml:1:1: it is empty")
    assert "files" not in NEEDED
