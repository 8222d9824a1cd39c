"""The whole story: a toy dies, Prometheus sees it, Alertmanager says it, alertmend mends and proves it."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from tests.journey.harness import Alertmend, Processes, answers, free_port, until

EXAMPLE = Path(__file__).parents[2] / "example"


def test_a_dead_toy_is_noticed_mended_proved_and_its_alert_resolves(processes: Processes) -> None:
    # Given a toy that Prometheus watches, and the example's rule and playbook
    toy_port, home = free_port(), processes.folder / "toy"
    alertmend = Alertmend(processes, hosts=())
    for name in ("inventory.yml", "rules/toy.yml", "playbooks/restart_toy.yml", "toy.py"):
        text = (EXAMPLE / name).read_text().replace("9481", str(toy_port))
        alertmend.write(
            name, text.replace("\"{{ lookup('ansible.builtin.env', 'HOME') }}/.cache/alertmend-toy\"", str(home))
        )
    alertmend.write("alertmend.yml", "inventory: inventory.yml\nrule_files: [rules/toy.yml]\n")
    subprocess.run(
        [sys.executable, str(alertmend.folder / "toy.py"), f"--port={toy_port}", f"--home={home}"], check=True
    )
    try:
        alertmend.start()
        alertmanager = processes.alertmanager("am", alertmend.receiver)
        processes.prometheus(target=toy_port, alertmanager=alertmanager)
        until(lambda: answers(f"http://127.0.0.1:{toy_port}/"), "the toy answers")

        # When it dies
        os.kill(int((home / "toy.pid").read_text()), signal.SIGKILL)

        # Then it is mended once, and proved
        [run] = until(alertmend.finished, "the run has finished")
        assert (run["outcome"], run["target"], run["rule"]) == ("fixed", "toy", "restart-toy")
        assert [probe["healthy"] for probe in run["probes"]] == [False, False, True, True]
        assert answers(f"http://127.0.0.1:{toy_port}/")
        # And the alert resolves, and that is credited to the remediation
        [incident] = until(lambda: alertmend.items("incidents", state="resolved"), "the incident is resolved")
        assert incident["resolved_by"] == "remediation"
        assert len(alertmend.items("runs")) == 1
        # And the chain holds, for the server and for whoever reads the database
        assert alertmend.get("audit/verify")["ok"]
        assert "the chain holds" in alertmend.verify().stdout
        events = [entry["event"] for entry in reversed(alertmend.items("audit"))]
        started = events.index("run_started")
        assert events.index("incident_opened") < started < events.index("run_finished")
        assert events.index("run_finished") < events.index("incident_resolved")
    finally:
        os.kill(int((home / "toy.pid").read_text()), signal.SIGKILL)
