"""Everything is killed, again and again, at every step of the line; afterwards the world and the ledger agree."""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import httpx
import pytest
import redis

from tests.journey.harness import firing, notification, until
from tests.journey.once.fuse import POINTS, is_in_the_program
from tests.journey.once.site import Site, Slot
from webhook.edge.ledger import SqlLedger, open_engine

KILLS = 200
HOSTS, REAL_HOSTS = 200, 20
#: Longer than anything is waited for: a doorbell that is rung again, a lease, a pause of upkeep's.
PATIENCE_SECONDS = 90
SEED = int(os.environ.get("ALERTMEND_TEST_SEED", "0")) or int(time.time())


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    found = Site(folder=tmp_path / "site", hosts=[f"h{number}" for number in range(HOSTS)], seed=SEED)
    found.start()
    yield found
    found.end()
    for log in sorted(found.folder.glob("*.log")):
        print(f"--- {log.name}\n{log.read_text(errors='replace')[-3000:]}")


def test_whoever_is_to_die_can_die_where_they_are_told_to() -> None:
    points = [point for role in POINTS.values() for point in role]
    assert [point for point in points if not is_in_the_program(point)] == []


def test_however_often_anything_is_killed_no_alert_is_lost_and_no_playbook_is_begun_twice(site: Site) -> None:
    print(f"seed {SEED}")
    over = threading.Event()
    senders = [threading.Thread(target=_send, args=(site, f"http://am{number}", over)) for number in (1, 2)]
    for sender in senders:
        sender.start()
    try:
        _kill(site)
        _settle(site, senders)
    finally:
        over.set()
    kills = site.kills + site.noted()
    print("".join(f"{number:4} {what}\n" for what, number in sorted(kills.items())))
    print(f"{kills.total()} kills, {HOSTS} alerts, {len(site.effects())} effects")
    assert kills.total() >= KILLS
    _nothing_is_lost(site)
    _nothing_is_doubled(site)
    _the_ledger_agrees(site)
    site.end()
    assert site.left_running() == []


def test_a_redis_that_went_back_to_before_a_run_began_does_not_begin_it_again(tmp_path: Path) -> None:
    site = Site(folder=tmp_path / "site", hosts=["h0"], seed=SEED, roles=("web", "intake"))
    site.start()
    try:
        # Given a run that is queued, and a replica that knows no more than that
        with httpx.Client(timeout=5) as client:
            _tend(site, lambda: _is_taken(client, site.receiver, notification(firing("h0"))), "it is taken")
        _tend(site, lambda: site.rows("SELECT id FROM runs WHERE state = 'queued'"), "it is queued")
        old = tmp_path / "old"
        site.kill_valkey(meanwhile=lambda files: shutil.copytree(files, old))
        site.slots.append(Slot("runs"))
        _tend(site, lambda: site.rows("SELECT id FROM runs WHERE outcome = 'unproved'"), "it has run")
        # When the replica takes over
        site.kill_valkey(meanwhile=lambda files: (shutil.rmtree(files), shutil.copytree(old, files)))
        with redis.Redis.from_url(site.valkey.url) as state:
            _tend(site, lambda: b'"finished"' in state.get(f"alertmend:run:{_only(site)}"), "it is known to have ended")
        # Then nothing was done again, neither by this run nor by another
        assert [what for what, _, _ in site.effects()] == ["begin", "end"]
        assert [run["outcome"] for runs in site.incidents() for run in runs] == ["unproved"]
    finally:
        site.end()
    assert site.left_running() == []


def _only(site: Site) -> str:
    [row] = site.rows("SELECT id FROM runs")
    return str(row["id"])


def _tend(site: Site, question: Callable[[], object], what: str) -> None:
    def answer() -> object:
        site.look_after(with_fuses=False)
        return question()

    until(answer, what, seconds=90)


def _send(site: Site, url: str, over: threading.Event) -> None:
    """As one of two Alertmanagers does: each alert again and again, until it was taken."""
    with httpx.Client(timeout=5) as client:
        for number in range(HOSTS):
            real = {"kind": "real"} if number % (HOSTS // REAL_HOSTS) == 0 else {}
            body = notification(firing(f"h{number}", **real), url=url)
            while not over.is_set() and not _is_taken(client, site.receiver, body):
                over.wait(0.05)
            over.wait(0.15)


def _is_taken(client: httpx.Client, receiver: str, body: dict[str, object]) -> bool:
    with suppress(httpx.HTTPError):
        return client.post(receiver, json=body).status_code == 202
    return False


def _kill(site: Site) -> None:
    began = time.monotonic()
    round = 0
    while (site.kills + site.noted()).total() < KILLS or site.unreached():
        kills = (site.kills + site.noted()).total()
        assert time.monotonic() - began < 600, f"{kills} kills; nobody died {', '.join(site.unreached())}"
        round += 1
        site.look_after()
        if round % 200 == 0:
            site.kill_valkey()
        if round % 5 == 0:
            site.kill_of_a_playbook()
        if round % 50 == 0:
            site.ring_again()
        if round % 100 == 0:
            seconds, kills = time.monotonic() - began, (site.kills + site.noted()).total()
            print(f"{seconds:.0f} s: {kills} kills, {len(site.effects())} effects")
        time.sleep(0.05)


def _settle(site: Site, senders: Sequence[threading.Thread]) -> None:
    """Nothing is killed any more, and everything comes to its end."""
    for slot in site.slots:
        slot.kill()
    until(lambda: all(slot.is_dead() for slot in site.slots if slot.pid), "all are gone")

    def is_settled() -> bool:
        is_all_sent = not any(sender.is_alive() for sender in senders)
        return is_all_sent and not site.waits_for() and len(site.incidents()) >= HOSTS

    written, went_on_at = 0, time.monotonic()
    while not is_settled():
        site.look_after(with_fuses=False)
        # On a busy machine it takes long; what has stopped is another matter
        if time.monotonic() - went_on_at >= PATIENCE_SECONDS:
            pytest.fail(f"nothing happens; left: {site.waits_for()}\n{site.unfinished()}")
        before, written = written, site.rows("SELECT max(seq) AS seq FROM audit")[0]["seq"]
        went_on_at = time.monotonic() if written != before else went_on_at
        time.sleep(0.2)


def _nothing_is_lost(site: Site) -> None:
    decided = {row["target"] for row in site.rows("SELECT target FROM audit WHERE event = 'decision'")}
    assert decided == set(site.hosts)
    for runs in site.incidents():
        *before, last = [run["outcome"] for run in runs]
        assert set(before) <= {"lost", "failed"}, runs
        assert last == "unproved" or len(runs) == 3, runs
        assert [run["attempt"] for run in runs] == list(range(1, len(runs) + 1))


def _nothing_is_doubled(site: Site) -> None:
    effects = site.effects()
    assert [twice for twice, number in Counter(effects).items() if number > 1] == []
    under_way: dict[str, str] = {}
    for what, run, target in effects:
        if what == "begin":
            under_way[target] = run
        else:
            # Of one that was killed there is no end; of one that was not, nothing came in between
            assert under_way[target] == run, (run, target)
    incidents = site.incidents()
    assert len({runs[0]["target"] for runs in incidents}) == len(incidents)


def _the_ledger_agrees(site: Site) -> None:
    runs = {run["id"]: run for runs in site.incidents() for run in runs}
    begun, ended = ({run for what, run, _ in site.effects() if what == word} for word in ("begin", "end"))
    assert begun <= runs.keys()
    for id, run in runs.items():
        if run["outcome"] == "unproved":
            assert id in begun and id in ended, run
        else:
            assert run["outcome"] in ("lost", "failed"), run
    for event in ("run_started", "run_finished"):
        entries = Counter(row["run"] for row in site.rows(f"SELECT run FROM audit WHERE event = '{event}'"))
        assert set(entries.values()) == {1}
        assert entries.keys() == runs.keys()
    # A run is decided on when it is queued, and once more, by its id, when it begins
    decided = Counter(row["run"] for row in site.rows("SELECT run FROM audit WHERE decision = 'run'"))
    assert decided.pop(None) == len(runs)
    assert set(decided.values()) == {1} and decided.keys() == runs.keys()
    engine = open_engine(f"sqlite:///{site.storage / 'alertmend.db'}")
    assert SqlLedger(engine=engine).verify() is None
    engine.dispose()
