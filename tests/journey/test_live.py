"""A run followed while it goes: through another web process, across a restart, from the terminal, and afterwards."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.journey.harness import Alertmend, Processes, answers, firing, free_port, http, notification, until

STEPS = """\
- hosts: all
  gather_facts: false
  tasks:
    - name: First
      ansible.builtin.wait_for: {path: FOLDER/go1, timeout: 60, sleep: 1}
    - name: Second
      ansible.builtin.wait_for: {path: FOLDER/go2, timeout: 60, sleep: 1}
    - name: Mark
      ansible.builtin.copy: {dest: FOLDER/mark, content: "done\\n", mode: '0600'}
"""


def _begin(processes: Processes) -> tuple[Alertmend, str]:
    """A run whose tasks each wait for a word; the alertmend, and the run's id."""
    alertmend = Alertmend(processes)
    alertmend.write("playbooks/mark.yml", STEPS.replace("FOLDER", str(alertmend.folder)))
    alertmend.start()
    http.post(alertmend.receiver, json=notification(firing("web1"))).raise_for_status()
    runs = until(lambda: alertmend.items("runs", state="running"), "the run is under way")
    return alertmend, str(runs[0]["id"])


def _go(alertmend: Alertmend, number: int) -> None:
    (alertmend.folder / f"go{number}").touch()


def _events(url: str, run: str, *, after: str = "") -> Iterator[dict[str, Any]]:
    """Events as they come, from one connection."""
    headers = {"Last-Event-ID": after} if after else {}
    fields: dict[str, str] = {}
    with http.stream("GET", f"{url}/api/v1/runs/{run}/events", headers=headers, timeout=60) as answer:
        for line in answer.iter_lines():
            name, _, value = line.partition(": ")
            fields = {**fields, name: value} if name else fields
            if not line and "id" in fields:
                yield {"id": fields["id"], "event": fields["event"], "data": json.loads(fields["data"])}


def _heard(event: dict[str, Any], words: str) -> bool:
    return words in event["data"].get("text", "")


def _web(processes: Processes, alertmend: Alertmend) -> str:
    """A second web process on the same state."""
    port = free_port()
    command = [sys.executable, "-m", "webhook.web", f"--config.file={alertmend.folder / 'alertmend.yml'}"]
    command += [f"--storage.path={alertmend.folder / 'data'}", f"--web.listen-address=127.0.0.1:{port}"]
    processes.start("web2", command)
    url = f"http://127.0.0.1:{port}"
    until(lambda: answers(f"{url}/readyz"), "the second web process is ready")
    return url


def test_one_follows_through_one_web_process_and_goes_on_through_another(processes: Processes) -> None:
    alertmend, run = _begin(processes)
    second = _web(processes, alertmend)
    whole: list[dict[str, Any]] = []
    listener = threading.Thread(target=lambda: whole.extend(_events(alertmend.url, run)))
    listener.start()
    # Given someone who hears the first task begin, and then leaves
    heard = []
    for event in _events(alertmend.url, run):
        heard.append(event)
        if _heard(event, "TASK [First]"):
            break
    _go(alertmend, 1)
    # When they go on at the other process, while the run goes on
    for event in _events(second, run, after=heard[-1]["id"]):
        heard.append(event)
        if _heard(event, "TASK [Second]"):
            assert "TASK [Second]" in http.get(f"{second}/api/v1/runs/{run}/output.txt").text
            assert [task["name"] for task in alertmend.get(f"runs/{run}")["task_results"]] == ["First"]
            _go(alertmend, 2)
    listener.join()
    # Then they have heard what everyone has, once
    assert heard == whole
    assert [event["data"]["task"]["name"] for event in heard if event["event"] == "task"] == ["First", "Second", "Mark"]
    assert (heard[-1]["event"], heard[-1]["data"]["outcome"]) == ("end", "unproved")
    # And the record says the same, word for word, also when Redis has forgotten it
    assert list(_events(second, run)) == whole
    shown = alertmend.get(f"runs/{run}")
    assert shown["tasks"]["ok"] == 3
    assert "+done" in shown["task_results"][-1]["diff"]
    assert shown["output"] == http.get(f"{alertmend.url}/api/v1/runs/{run}/output.txt").text


def test_the_terminal_follows_to_the_end_though_web_is_killed_and_redis_too(processes: Processes) -> None:
    alertmend, run = _begin(processes)
    command = [sys.executable, "-m", "webhook.cli", "runs", "output", run, "--follow", f"--server.url={alertmend.url}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as terminal:
        assert terminal.stdout is not None and terminal.stderr is not None
        printed = ""
        while "TASK [First]" not in printed:
            printed += terminal.stdout.readline()
        os.kill(_pid(alertmend, "webhook.web"), signal.SIGKILL)
        os.kill(_pid(alertmend, "valkey-server"), signal.SIGKILL)
        # The playbook goes on meanwhile, and says something that nobody can be told
        _go(alertmend, 1)
        _go(alertmend, 2)
        until(lambda: (alertmend.folder / "mark").exists(), "the playbook has done its work")
        rest, words = terminal.communicate(timeout=120)
        assert terminal.returncode == 0
    output = http.get(f"{alertmend.url}/api/v1/runs/{run}/output.txt").text
    assert printed + rest == output
    assert output.count("TASK [") == 3
    assert words.splitlines()[-1] == "unproved: it ran well, and no proof is asked for"


def test_a_server_that_ends_lets_those_who_follow_go(processes: Processes) -> None:
    alertmend, run = _begin(processes)
    second = _web(processes, alertmend)
    heard = _events(second, run)
    next(heard)
    web = processes.running[-1]
    web.send_signal(signal.SIGTERM)
    # It says no more, and does not wait for the run
    assert [event["event"] for event in heard if event["event"] == "end"] == []
    web.wait(20)
    _go(alertmend, 1)
    _go(alertmend, 2)
    until(alertmend.finished, "the run ends all the same")


def _pid(alertmend: Alertmend, role: str) -> int:
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command, home = (folder / "cmdline").read_bytes(), os.readlink(folder / "cwd")
        except OSError:
            continue
        is_ours = str(alertmend.folder).encode() in command or home.startswith(str(alertmend.folder))
        if is_ours and role.encode() in command and b"webhook.cli" not in command:
            return int(folder.name)
    raise LookupError(role)
