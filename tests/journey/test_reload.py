"""A changed configuration reaches every process, by whichever way; a broken one reaches none, and stops none."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from tests.journey.harness import Alertmend, Processes, answers, firing, http, notification, until
from tests.journey.test_metrics import one


def rename(alertmend: Alertmend, name: str) -> None:
    file = alertmend.folder / "rules/rules.yml"
    file.write_text(file.read_text().replace("name: mark", f"name: {name}"))


def break_rules(alertmend: Alertmend) -> str:
    file = alertmend.folder / "rules/rules.yml"
    whole = file.read_text()
    file.write_text(whole.replace("playbook:", "playbok:"))
    return whole


def post(alertmend: Alertmend, host: str) -> None:
    http.post(alertmend.receiver, json=notification(firing(host)), timeout=30).raise_for_status()


def reload(alertmend: Alertmend) -> httpx.Response:
    return http.post(f"{alertmend.url}/-/reload", timeout=60)


def test_once_a_reload_is_answered_the_next_alert_is_decided_by_the_new_rules(processes: Processes) -> None:
    alertmend = Alertmend(processes, options=["--no-config.watch"])
    alertmend.start()
    rename(alertmend, "renamed")
    answer = reload(alertmend)
    assert (answer.status_code, answer.json()["rules"]) == (200, 1)
    post(alertmend, "web1")
    until(lambda: alertmend.items("runs", state="finished"), "it ran")
    assert [run["rule"] for run in alertmend.items("runs")] == ["renamed"]
    (entry, _) = alertmend.items("audit", event="reload")
    assert entry["body"]["revision"] == answer.json()["revision"]
    # All that answers speaks of the new one
    assert [rule["name"] for rule in alertmend.items("rules")] == ["renamed"]
    assert one(alertmend.url, "config_info", revision=answer.json()["revision"]) == 1


def test_a_broken_file_is_refused_with_its_problems_and_what_dies_comes_back_by_the_last_good_one(
    processes: Processes,
) -> None:
    alertmend = Alertmend(processes, options=["--no-config.watch"])
    alertmend.start()
    whole = break_rules(alertmend)
    answer = reload(alertmend)
    assert answer.status_code == 400
    assert [problem.partition(": ")[0] for problem in answer.json()["problems"]] == [
        f"{alertmend.folder}/rules/rules.yml:2:5",
        f"{alertmend.folder}/rules/rules.yml:4:5",
    ]
    assert one(alertmend.url, "config_last_reload_successful") == 0
    failing = http.get(f"{alertmend.url}/health", timeout=30).json()["checks"]
    assert [check["name"] for check in failing if not check["ok"]] == ["files"]
    assert answers(f"{alertmend.url}/readyz")
    # Whatever dies meanwhile is there again
    before = {role: alertmend.kill(role) for role in ("intake", "runs", "webhook.web")}
    for role, pid in before.items():
        until(lambda role=role, pid=pid: alertmend.has(role) and alertmend.child(role) != pid, f"{role} is back")
    until(lambda: answers(f"{alertmend.url}/readyz"), "it is ready again")
    post(alertmend, "web1")
    until(lambda: alertmend.marks == ["web1"], "the old rule works")
    log = (processes.folder / "alertmend.log").read_text()
    assert log.count("this starts with the last configuration that could") >= 2
    # Mended, it is taken over
    (alertmend.folder / "rules/rules.yml").write_text(whole)
    assert reload(alertmend).status_code == 200
    assert one(alertmend.url, "config_last_reload_successful") == 1


@pytest.mark.parametrize("change", ["in place", "replaced", "a new file"])
def test_a_changed_file_is_taken_over_by_itself(processes: Processes, change: str) -> None:
    alertmend = Alertmend(processes)
    alertmend.start()
    rules = alertmend.folder / "rules"
    if change == "in place":
        rename(alertmend, "renamed")
    elif change == "replaced":
        fresh = alertmend.folder / "fresh.yml"
        fresh.write_text((rules / "rules.yml").read_text().replace("name: mark", "name: renamed"))
        fresh.rename(rules / "rules.yml")
    else:
        more = "rules:\n- {name: renamed, match: ['alertname=\"Other\"'], playbook: mark.yml}\n"
        Path(rules / "more.yml").write_text(more)
    until(lambda: "renamed" in [rule["name"] for rule in alertmend.items("rules")], "the new rule is known")
    assert len(alertmend.items("audit", event="reload")) == 2


def test_a_changed_file_that_is_broken_is_told_and_left_alone_until_it_is_mended(processes: Processes) -> None:
    alertmend = Alertmend(processes)
    alertmend.start()
    whole = break_rules(alertmend)
    until(lambda: one(alertmend.url, "config_last_reload_successful") == 0, "it is refused")
    post(alertmend, "web1")
    until(lambda: alertmend.marks == ["web1"], "the old rule works")
    (alertmend.folder / "rules/rules.yml").write_text(whole)
    until(lambda: one(alertmend.url, "config_last_reload_successful") == 1, "it is taken over")
    # Nothing is new in it.
    assert len(alertmend.items("audit", event="reload")) == 1


def test_a_changed_playbook_is_another_revision_and_one_that_is_gone_is_told(processes: Processes) -> None:
    alertmend = Alertmend(processes)
    alertmend.start()
    playbook = alertmend.folder / "playbooks/mark.yml"
    whole = playbook.read_text()
    playbook.write_text(whole.replace("echo", "echo  "))
    until(lambda: len(alertmend.items("audit", event="reload")) == 2, "it is on the record")
    first, second = (entry["body"] for entry in alertmend.items("audit", event="reload"))
    assert first["revision"] != second["revision"] and first["playbooks"].keys() == second["playbooks"].keys() == {
        "mark.yml"
    }
    playbook.unlink()
    until(lambda: one(alertmend.url, "config_last_reload_successful") == 0, "it is missed")
    failing = http.get(f"{alertmend.url}/health", timeout=30).json()["checks"]
    [words] = [check["detail"] for check in failing if not check["ok"]]
    assert "there is no playbook 'mark.yml'" in words
    playbook.write_text(whole)
    until(lambda: one(alertmend.url, "config_last_reload_successful") == 1, "it is back")


def test_another_redis_or_database_is_refused_until_the_next_start(processes: Processes) -> None:
    alertmend = Alertmend(processes)
    alertmend.start()
    file = alertmend.folder / "alertmend.yml"
    whole = file.read_text()
    file.write_text(f"redis: {{url: 'redis://127.0.0.1:1/5'}}\ndatabase: {{url: 'sqlite:////tmp/other.db'}}\n{whole}")
    answer = reload(alertmend)
    assert (answer.status_code, len(answer.json()["problems"])) == (400, 2)
    assert "alertmend.yml:1:8: redis: it is another one now; restart alertmend" in answer.json()["problems"][0]
    assert one(alertmend.url, "config_last_reload_successful") == 0
    # What is started again goes by what the others go by
    pid = alertmend.kill("webhook.web")
    until(lambda: alertmend.has("webhook.web") and alertmend.child("webhook.web") != pid, "the web is back")
    until(lambda: answers(f"{alertmend.url}/readyz"), "it is ready again")
    post(alertmend, "web1")
    until(lambda: alertmend.marks == ["web1"], "it works on")
    file.write_text(whole)
    assert reload(alertmend).status_code == 200


def test_what_others_could_write_is_not_taken_for_what_was_kept(processes: Processes) -> None:
    alertmend = Alertmend(processes)
    alertmend.start()
    kept = alertmend.folder / "data/configuration.kept"
    assert kept.stat().st_mode & 0o777 == 0o600
    kept.chmod(0o666)
    pid = alertmend.kill("runs")
    until(lambda: alertmend.has("runs") and alertmend.child("runs") != pid, "the worker is back")
    log = processes.folder / "alertmend.log"
    until(lambda: "it is not read: others may write it" in log.read_text(), "it says why it read the files")
    post(alertmend, "web1")
    until(lambda: alertmend.marks == ["web1"], "it works by the files")
