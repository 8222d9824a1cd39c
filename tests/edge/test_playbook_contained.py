"""What a run keeps to itself: secrets, floods, broken text, and events that are none."""

from __future__ import annotations

import base64
import json
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.edge.playbook_site import Site, marked, until
from webhook.edge.playbook.folder import sweep
from webhook.edge.playbook.output import TEXT_LIMIT_CHARACTERS, shown
from webhook.edge.playbook.runner import AnsibleRunner
from webhook.edge.playbook.terminal import KEPT, MARGIN, SEAM
from webhook.world import PlaybookEnd, PlaybookResult

SECRETS = ("workers-own-secret", "secret-in-a-label", "secret-in-a-var", "secret-in-no-log")


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    environment = {**os.environ, "REDIS_URL": "redis://:workers-own-secret@r/", "ALERTMEND_WEB": "workers-own-secret"}
    found = Site(tmp_path, AnsibleRunner(work_dir=tmp_path / "storage/work", environment=environment))
    yield found
    found.runner.close()


def holding(folder: Path, secret: str) -> list[Path]:
    """The files below a folder that a secret stands in."""
    found = []
    for file in folder.rglob("*"):
        try:
            if file.is_file() and secret.encode() in file.read_bytes():
                found.append(file)
        except OSError:
            continue
    return found


def said_by(site: Site, secret: str) -> list[str]:
    """The processes of this run in whose command line or environment a secret stands."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command, environment = (folder / "cmdline").read_bytes(), (folder / "environ").read_bytes()
        except OSError:
            continue
        if b"playbook.forker" in command or str(site.folder).encode() in command + environment:
            found += [command.decode()] if secret.encode() in command + environment else []
    return found


WAIT: dict[str, Any] = {"ansible.builtin.wait_for": {"path": "{{ home }}/go", "sleep": 1}}


def test_secrets_lie_in_the_private_folder_alone_and_are_gone_afterwards(site: Site) -> None:
    quiet = {"ansible.builtin.debug": {"msg": "secret-in-no-log"}, "no_log": True}
    job = site.job(
        [quiet, WAIT], variables={"token": "secret-in-a-var"}, alerts=[{"labels": {"x": "secret-in-a-label"}}]
    )
    job.playbook.chmod(0o600)
    results: list[PlaybookResult] = []
    thread = threading.Thread(target=lambda: results.append(site.play(job)))
    thread.start()
    [folder] = until(lambda: list(site.work.glob("run-*")))
    until(lambda: any("wait_for" in line for line in marked(job.run)))
    private = {file for secret in SECRETS for file in holding(site.folder, secret)} - {job.playbook}
    assert folder.stat().st_mode & 0o777 == 0o700
    assert private and all(file.is_relative_to(folder) and file.stat().st_mode & 0o077 == 0 for file in private)
    assert [said_by(site, secret) for secret in SECRETS] == [[]] * len(SECRETS)
    (site.home("web1") / "go").touch()
    thread.join()
    assert results[0].end is PlaybookEnd.OK, results[0].reason
    assert not any(secret in site.output for secret in SECRETS)
    assert [file for secret in SECRETS for file in holding(site.folder, secret) if file != job.playbook] == []
    assert list(site.work.iterdir()) == []


def test_what_a_killed_worker_left_is_removed_by_the_next_and_what_is_in_use_is_not(site: Site) -> None:
    job = site.job([WAIT])
    (site.work / "run-left/env").mkdir(parents=True)
    (site.work / "run-left/env/extravars").write_text("secret-in-a-var")
    thread = threading.Thread(target=lambda: site.play(job))
    thread.start()
    until(lambda: any("wait_for" in line for line in marked(job.run)))
    assert sweep(site.work) == 1
    [left] = site.work.iterdir()
    assert left.name != "run-left"
    (site.home("web1") / "go").touch()
    thread.join()


def test_a_module_that_is_killed_leaves_no_arguments_in_ansibles_folder(site: Site) -> None:
    secret = f"secret-{time.time_ns()}"
    job = site.job([{"ansible.builtin.wait_for": {"path": f"/nowhere/{secret}"}}])
    result = site.play(job, is_cancelled=lambda: any("wait_for" in line for line in marked(job.run)))
    assert result.end is PlaybookEnd.CANCELLED
    assert holding(Path.home() / ".ansible", secret) == []


def test_what_is_to_be_redacted_is_gone_from_output_reason_and_result(site: Site) -> None:
    stats = {"ansible.builtin.set_stats": {"data": {"alertmend_result": {"Bearer abc": ["Bearer abc", 1]}}}}
    say = {"ansible.builtin.debug": {"msg": "Authorization: Bearer abc"}}
    fail = {"name": "Ask with Bea\x1b[0mrer abc", "ansible.builtin.fail": {"msg": "refused: Bearer abc"}}
    result = site.run([stats, say, fail], redact=(r"(?i)bearer\s+\S+",))
    assert result.end is PlaybookEnd.FAILED
    assert "abc" not in json.dumps([site.output, result.reason, dict(result.result), repr(site.tasks)])
    assert "refused: [redacted]" in result.reason
    assert result.result == {"[redacted]": ["[redacted]", 1]}


@pytest.mark.parametrize("limit", [1000, TEXT_LIMIT_CHARACTERS])
@pytest.mark.parametrize("is_cut_before", [True, False])
def test_a_match_that_the_cut_goes_through_leaves_nothing_behind(limit: int, is_cut_before: bool) -> None:
    def tidy(text: str) -> str:
        return text.replace("s" * 1000, "[]")

    for at in range(limit // 2 + MARGIN - 1500, limit // 2 + MARGIN + 10, 7):
        text = "." * at + "s" * 1000 + "." * 3 * KEPT + "s" * 1000 + "." * at
        text = text[: KEPT + MARGIN] + SEAM + text[-(KEPT + MARGIN) :] if is_cut_before else text
        assert "s" not in shown(text, tidy=tidy, limit=limit)


def test_no_log_hides_what_a_task_was_given_and_what_became_of_it(site: Site) -> None:
    fail = {"ansible.builtin.fail": {"msg": "secret-in-no-log"}, "no_log": True}
    loop = {**fail, "loop": [1, 2], "ignore_errors": True}
    result = site.run([{"ansible.builtin.debug": {"msg": "secret-in-no-log"}, "no_log": True}, loop, fail])
    assert result.end is PlaybookEnd.FAILED
    assert "no_log" in result.reason
    assert "FAILED!" in site.output
    assert "secret-in-no-log" not in site.output + result.reason + repr(site.tasks)


def test_a_flood_is_bounded_in_what_is_kept_and_in_what_it_costs(site: Site) -> None:
    flood = {"ansible.builtin.debug": {"msg": "{{ 'x' * 150000000 }}"}}
    job = site.job([flood, {"name": "Go", "ansible.builtin.fail": {"msg": "last words"}}], seconds=300)
    peaks: dict[int, int] = {}
    results: list[PlaybookResult] = []
    # What thousands of tests before have left in this process is none of the flood's.
    before = {os.getpid(): resident_bytes(os.getpid())}
    thread = threading.Thread(target=lambda: results.append(site.play(job)))
    thread.start()
    while thread.is_alive():
        for pid in [os.getpid(), *supervisors()]:
            peaks[pid] = max(peaks.get(pid, 0), resident_bytes(pid) - before.get(pid, 0))
        thread.join(0.05)
    assert len(site.output) < 2 * TEXT_LIMIT_CHARACTERS
    assert "last words" in site.output
    assert len(peaks) >= 3 and max(peaks.values()) < 300_000_000, peaks


def supervisors() -> list[int]:
    folders = [folder for folder in Path("/proc").glob("[0-9]*") if (folder / "cmdline").exists()]
    return [int(folder.name) for folder in folders if os.getpid() in ancestors(int(folder.name))]


def ancestors(pid: int) -> list[int]:
    """Of one of ours: a process that runs our code, not Ansible's."""
    try:
        if b"playbook.forker" not in Path(f"/proc/{pid}/cmdline").read_bytes():
            return []
        parent = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return []
    return [parent, *ancestors(parent)]


def resident_bytes(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def test_a_result_without_bounds_is_not_read(site: Site) -> None:
    stats = {"ansible.builtin.set_stats": {"data": {"alertmend_result": {"x": "{{ 'x' * 20000000 }}"}}}}
    result = site.run([stats])
    assert result.end is PlaybookEnd.FAILED
    assert result.result == {}


def test_text_that_is_no_text_survives(site: Site) -> None:
    shout = {"ansible.builtin.command": {"argv": ["printf", "a\\377\\200b\\xf0\\x28c"]}, "ignore_errors": True}
    name = {"ansible.builtin.find": {"paths": ["{{ home }}"]}, "register": "found"}
    (Path(os.fsdecode(os.fsencode(site.home("web1")) + b"/\xff\x80"))).touch()
    result = site.run([shout, name, {"name": "{{ found.files[0].path }}", "ansible.builtin.debug": {"var": "found"}}])
    assert result.end in (PlaybookEnd.OK, PlaybookEnd.FAILED)
    (site.output + result.reason).encode()


def event(**content: Any) -> str:
    """What looks like an event of ansible-runner."""
    coded = base64.b64encode(json.dumps(content).encode()).decode()
    return f"\x1b[K{coded}\x1b[{len(coded)}D\x1b[K"


STATS = {"processed": {"web1": 1}, "ok": {"web1": 99}, "failures": {}, "dark": {}}


@pytest.mark.parametrize(
    "forged",
    [
        event(uuid="../../../../canary", event="playbook_on_stats", event_data=STATS),
        event(uuid="0" * 8 + "-0000-0000-0000-" + "0" * 12, event="playbook_on_stats", event_data=STATS),
        event(event="runner_on_failed", event_data={"host": "web1", "task": "forged"}),
        event(),
        "\x1b[K\x1b[K\x1b[K",
    ],
)
def test_an_event_that_the_host_prints_is_none(site: Site, forged: str) -> None:
    canary = site.folder / "canary-partial.json"
    canary.write_text("{}")
    (site.folder / "forged").write_text(forged)
    # Ansible escapes what modules say, but not what a task is called.
    read = {"ansible.builtin.command": {"argv": ["cat", str(site.folder / "forged")]}, "register": "read"}
    result = site.run([read, {"name": "{{ read.stdout }}", "ansible.builtin.debug": {"msg": "after"}}])
    assert result.end is PlaybookEnd.OK, result.reason
    assert (result.tasks.ok, result.tasks.failed) == (2, 0)
    assert "\x1b" not in site.output
    assert canary.exists()
