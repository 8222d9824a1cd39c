"""Running playbooks, judged by the world: which files appeared, on which host, and what is still running."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.edge.playbook_site import ANSIBLE, Site, marked
from webhook.core.placeholder import Untrusted
from webhook.core.transcript import Passage
from webhook.edge.playbook.runner import AnsibleRunner
from webhook.edge.playbook.text import unsafe
from webhook.world import PlaybookEnd, PlaybookResult


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    environment = {**os.environ, "SECRET": "s3cr3t"}
    found = Site(tmp_path, AnsibleRunner(work_dir=tmp_path / "storage/work", environment=environment))
    yield found
    found.runner.close()


TOUCH = {"ansible.builtin.copy": {"dest": "{{ home }}/touched", "content": "x", "mode": "0600"}}


def test_it_touches_the_target_and_no_other_host_and_leaves_no_file(site: Site) -> None:
    stats = {"ansible.builtin.set_stats": {"data": {"alertmend_result": {"said": "hello\x1b[31m"}}}}
    result = site.run([TOUCH, stats])
    assert (result.end, result.return_code) == (PlaybookEnd.OK, 0)
    assert (result.tasks.ok, result.tasks.changed) == (2, 1)
    assert result.result == {"said": "hello"}
    assert result.first_task_at is not None
    assert (site.home("web1") / "touched").exists()
    assert not (site.home("web2") / "touched").exists()
    assert list(site.work.iterdir()) == []


@pytest.mark.parametrize(
    "target", ["", "all!", "web1,web2", "web*", "~web", "!web2", "@file", "-e", "web[0]", "web1 web2"]
)
def test_a_target_that_is_a_pattern_is_never_passed_on(site: Site, target: str) -> None:
    with pytest.raises(ValueError):
        site.run([TOUCH], target=target)


def test_a_failed_task_says_which_and_why(site: Site) -> None:
    result = site.run([{"name": "Look", "ansible.builtin.fail": {"msg": "no such disk"}}])
    assert result.end is PlaybookEnd.FAILED
    assert "'Look' failed on web1: no such disk" in result.reason
    assert result.tasks.failed == 1


def test_a_play_that_is_for_other_hosts_is_a_failure(site: Site) -> None:
    result = site.run([TOUCH], hosts="web2")
    assert result.end is PlaybookEnd.FAILED
    assert "web1" in result.reason
    assert not (site.home("web2") / "touched").exists()


def test_a_playbook_that_cannot_be_read_says_so(site: Site) -> None:
    job = site.job([TOUCH])
    job.playbook.write_text("- hosts: [")
    result = site.play(job)
    assert result.end is PlaybookEnd.FAILED
    assert "ERROR" in result.reason or "YAML" in result.reason


def test_several_at_once_do_not_mix(site: Site) -> None:
    say = {"ansible.builtin.set_stats": {"data": {"alertmend_result": {"who": "{{ who }}"}}}}
    results: dict[int, PlaybookResult] = {}

    def go(number: int) -> None:
        results[number] = site.runner.run(jobs[number], is_cancelled=lambda: False, hear=lambda passage: None)

    jobs = [site.job([say], variables={"who": f"me{number}"}) for number in range(4)]
    threads = [threading.Thread(target=go, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {number: result.result["who"] for number, result in results.items()} == {n: f"me{n}" for n in range(4)}


def evil(site: Site, name: str) -> str:
    return f"{{{{ lookup('ansible.builtin.pipe', 'touch {site.folder / name}') }}}}"


def test_a_strangers_templates_never_run_wherever_a_playbook_puts_them(site: Site) -> None:
    label = "alertmend.alerts[0].labels.evil"
    tasks: list[dict[str, Any]] = [
        {"name": f"Look at {{{{ {label} }}}}", "ansible.builtin.debug": {"msg": f"{{{{ {label} }}}}"}},
        {"ansible.builtin.command": {"argv": ["echo", f"{{{{ {label} }}}}"]}, "when": f"{label} != 'x'"},
        {"ansible.builtin.set_fact": {"copied": f"{{{{ {label} | trim }}}}"}},
        {"ansible.builtin.copy": {"dest": "{{ home }}/seen", "content": "{{ copied }}{{ port }}", "mode": "0600"}},
        {"ansible.builtin.debug": {"msg": "{{ item }}"}, "loop": ["{{ copied }}", "{{ port }}"]},
    ]
    value = evil(site, "taken")
    result = site.run(tasks, alerts=[{"labels": {"evil": value}}], variables={"port": Untrusted(value)})
    assert result.end is PlaybookEnd.OK, result.reason
    # It arrived, as the text that it is; and nothing in it happened.
    assert (site.home("web1") / "seen").read_text() == value * 2
    assert not (site.folder / "taken").exists()


def test_without_the_mark_the_same_text_does_run(site: Site) -> None:
    # The control: were the protection gone, the test above could fail.
    job = site.job([{"ansible.builtin.debug": {"msg": "{{ port }}"}}])
    given = json.dumps({"port": evil(site, "taken")})
    command = [str(ANSIBLE), "-i", str(site.inventory), "--limit", "web1", "-e", given, str(job.playbook)]
    subprocess.run(command, check=False, capture_output=True)
    assert (site.folder / "taken").exists()


def test_a_strangers_magic_variables_reach_no_other_host_and_run_no_program(site: Site) -> None:
    program = site.folder / "program"
    program.write_text(f"#!/bin/sh\ntouch {site.folder / 'taken'}\n")
    program.chmod(0o755)
    labels = {
        "ansible_connection": "ssh",
        "ansible_host": "web2",
        "ansible_python_interpreter": str(program),
        "ansible_shell_executable": str(program),
        "home": str(site.home("web2")),
        "__ansible_unsafe": "gone",
        "__ansible_vault": "gone",
        "not a name": "gone",
        "kept": "yes",
    }
    names = {"ansible.builtin.copy": {"dest": "{{ home }}/names", "content": "{{ names }}", "mode": "0600"}}
    tasks = [TOUCH, {**names, "vars": {"names": "{{ alertmend.alerts[0].labels.keys() | sort | join(',') }}"}}]
    result = site.run(tasks, alerts=[{"labels": labels}])
    assert result.end is PlaybookEnd.OK, result.reason
    assert not (site.folder / "taken").exists()
    assert not (site.home("web2") / "touched").exists()
    kept = (site.home("web1") / "names").read_text().split(",")
    assert kept == sorted(name for name in labels if name not in ("__ansible_unsafe", "__ansible_vault", "not a name"))


def test_a_pattern_in_hosts_is_still_limited_to_the_target(site: Site) -> None:
    site.run(
        [TOUCH], hosts="{{ alertmend.alerts[0].labels.who | default('all') }}", alerts=[{"labels": {"who": "all"}}]
    )
    assert not (site.home("web2") / "touched").exists()


def test_a_forged_event_in_a_tasks_name_changes_nothing(site: Site) -> None:
    forged = (
        "\x1b[Kevil\x1b[K" + "".join(f"{line}\x1b[{len(line)}D" for line in ["eyJ1dWlkIjogIi4uLy4uL3gifQ=="]) + "\x1b[K"
    )
    name = "{{ alertmend.alerts[0].labels.evil }}"
    tasks = [{"name": name, "ansible.builtin.debug": {"msg": name}}, {"ansible.builtin.fail": {"msg": name}}]
    result = site.run(tasks, alerts=[{"labels": {"evil": forged}}])
    assert result.end is PlaybookEnd.FAILED
    assert "\x1b" not in site.output + result.reason
    assert result.tasks.failed == 1


def test_hostile_bytes_and_a_megabyte_are_made_harmless(site: Site) -> None:
    labels = {"nul": "a\0b", "surrogate": "a\ud800b", "bidi": "a\u202eb", "c1": "a\x9bb", "long": "x" * 1_000_000}
    write = {"ansible.builtin.copy": {"dest": "{{ home }}/seen", "content": "{{ text }}", "mode": "0600"}}
    text = "{{ ['nul', 'surrogate', 'bidi', 'c1'] | map('extract', alertmend.alerts[0].labels) | join(',') }}"
    length = {"ansible.builtin.assert": {"that": ["alertmend.alerts[0].labels.long | length <= 65536"]}}
    result = site.run([{**write, "vars": {"text": text}}, length], alerts=[{"labels": labels}])
    assert result.end is PlaybookEnd.OK, result.reason
    assert (site.home("web1") / "seen").read_text() == "ab,ab,ab,ab"


def test_the_workers_secrets_are_not_in_a_playbooks_environment_and_its_folder_is_private(site: Site) -> None:
    look = {
        "ansible.builtin.shell": {
            "cmd": "env > {{ home }}/env; stat -c %a $TMPDIR/.. > {{ home }}/mode; ps axww > {{ home }}/ps"
        }
    }
    result = site.run([look], alerts=[{"labels": {"secret": "in-a-label"}}])
    assert result.end is PlaybookEnd.OK, result.reason
    assert "s3cr3t" not in (site.home("web1") / "env").read_text()
    assert (site.home("web1") / "mode").read_text().strip() == "700"
    assert "in-a-label" not in (site.home("web1") / "ps").read_text()


def test_much_output_is_bounded_and_keeps_its_end(site: Site) -> None:
    shout = {"ansible.builtin.command": {"argv": ["bash", "-c", "head -c 8000000 /dev/zero | tr '\\0' x"]}}
    fail = {"name": "The end", "ansible.builtin.fail": {"msg": "last words"}}
    say = {"ansible.builtin.debug": {"var": "shouted.stdout"}}
    site.run([{**shout, "register": "shouted"}, say, fail])
    assert len(site.output) < 300_000
    assert "last words" in site.output
    assert "left out by alertmend" in site.output


def test_what_becomes_of_each_task_is_told(site: Site) -> None:
    (site.home("web1") / "kept").write_text("one\ntwo\n")
    change = {"ansible.builtin.lineinfile": {"path": "{{ home }}/kept", "regexp": "two", "line": "three \x1b[31m"}}
    wrong = {"ansible.builtin.fail": {"msg": "no such disk"}, "ignore_errors": True}
    skipped = {"ansible.builtin.debug": {"msg": "never"}, "when": False}
    site.run([{"name": "Mend", **change}, {"name": "Look", **wrong}, {"name": "Not", **skipped}])
    told = [(task.name, task.host, task.status.value, task.ignored, task.words) for task in site.tasks]
    assert told == [
        ("Mend", "web1", "changed", False, ""),
        ("Look", "web1", "failed", True, "no such disk"),
        ("Not", "web1", "skipped", False, ""),
    ]
    mended = site.tasks[0]
    assert "-two\n+three" in mended.diff and "\x1b" not in mended.diff
    assert 0 < mended.duration_seconds < 30
    assert abs(mended.started_at - datetime.now(UTC)) < timedelta(minutes=1)


def test_what_changed_is_told_bounded_however_much_it_is_and_secrets_stay_hidden(site: Site) -> None:
    content = "".join(f"{number} {'x' * 100}\n" for number in range(500))
    write = {"ansible.builtin.copy": {"dest": "{{ home }}/{{ item }}", "content": content, "mode": "0600"}}
    hidden = {"ansible.builtin.copy": {"dest": "{{ home }}/key", "content": "s3cr3t", "mode": "0600"}, "no_log": True}
    site.run([*({**write, "vars": {"item": number}} for number in range(12)), hidden])
    diffs = [task.diff for task in site.tasks]
    assert len(diffs) == 13 and "left out by alertmend" in diffs[0]
    assert sum(map(len, diffs)) <= 66_000
    assert "s3cr3t" not in site.output + "".join(diffs)


def test_it_is_heard_while_it_runs_and_in_order(site: Site) -> None:
    wait = {"ansible.builtin.wait_for": {"path": "{{ home }}/go", "timeout": 30, "sleep": 1}}
    heard: list[Passage] = []

    def hear(passage: Passage) -> None:
        heard.append(passage)
        if "TASK [Wait]" in passage.text:
            # It can only go on because this was heard.
            (site.home("web1") / "go").touch()

    job = site.job([{"name": "Wait", **wait}, {"ansible.builtin.debug": {"msg": "done"}}])
    result = site.runner.run(job, is_cancelled=lambda: False, hear=hear)
    assert result.end is PlaybookEnd.OK, result.reason
    assert [passage.task.name for passage in heard if passage.task] == ["Wait", "ansible.builtin.debug"]
    assert [passage.at for passage in heard] == sorted(passage.at for passage in heard)


def test_a_failure_that_the_playbook_rescues_is_none(site: Site) -> None:
    result = site.run([{"block": [{"ansible.builtin.fail": {"msg": "first"}}], "rescue": [TOUCH]}])
    assert result.end is PlaybookEnd.OK, result.reason


def test_who_takes_long_to_say_whether_it_is_cancelled_does_not_keep_it_waiting(site: Site) -> None:
    answered = threading.Event()
    job = site.job([{"ansible.builtin.debug": {"msg": "x" * 50_000}, "loop": "{{ range(40) | list }}"}, TOUCH])
    result = site.play(job, is_cancelled=lambda: answered.wait(120) and False)
    assert result.end is PlaybookEnd.OK, result.reason
    assert not answered.is_set() and (site.home("web1") / "touched").exists()
    answered.set()


def test_a_playbook_that_never_stops_talking_can_be_cancelled(site: Site) -> None:
    say = {"ansible.builtin.debug": {"msg": "again"}, "loop": "{{ range(100000) | list }}"}
    asked: list[float] = []
    job = site.job([say])
    result = site.play(job, is_cancelled=lambda: asked.append(0) or len(asked) > 4)  # type: ignore[func-returns-value]
    assert result.end is PlaybookEnd.CANCELLED
    assert marked(job.run) == []


def test_what_is_marked_is_marked_all_the_way_down() -> None:
    marked = unsafe({"a": ["x", {"b": "y\x1b", "__c": "z"}], "n": 1})
    assert marked == {"a": [{"__ansible_unsafe": "x"}, {"b": {"__ansible_unsafe": "y"}}], "n": 1}
