"""`alertmend demo`: a whole show on loopback. A toy breaks, is healed and verified; then the refusals."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import httpx

from webhook.cli.starter import copy_example

PATIENCE_SECONDS = 60.0
ZERO_TIME = "0001-01-01T00:00:00Z"


@dataclass(slots=True, kw_only=True)
class Stage:
    """A folder of its own, a server of its own, a toy of its own."""

    folder: Path
    port: int
    toy_port: int

    @property
    def url(self) -> str:
        """The server's."""
        return f"http://127.0.0.1:{self.port}"

    def set_up(self) -> None:
        """The example, on free ports."""
        copy_example(self.folder)
        for name in ("inventory.yml", "rules/toy.yml"):
            file = self.folder / name
            text = file.read_text().replace("9481", str(self.toy_port))
            home = "\"{{ lookup('ansible.builtin.env', 'HOME') }}/.cache/alertmend-toy\""
            file.write_text(text.replace(home, str(self.folder / "toy")))

    def start_toy(self) -> None:
        """Start the toy in the background."""
        command = [sys.executable, str(self.folder / "toy.py"), f"--port={self.toy_port}"]
        subprocess.run([*command, f"--home={self.folder / 'toy'}"], check=True)

    def break_toy(self) -> None:
        """Kill the toy; nothing is said if it is dead already."""
        with suppress(FileNotFoundError, ProcessLookupError, ValueError):
            os.kill(int((self.folder / "toy/toy.pid").read_text()), signal.SIGKILL)

    def toy_answers(self) -> bool:
        """Whether the toy is well."""
        with suppress(httpx.HTTPError):
            return httpx.get(f"http://127.0.0.1:{self.toy_port}/healthz", timeout=1).status_code == 200
        return False

    def serve(self) -> subprocess.Popen[bytes]:
        """The server, with its logs in a file."""
        command = [sys.executable, "-m", "webhook.cli", "serve", f"--config.file={self.folder / 'alertmend.yml'}"]
        command += [f"--storage.path={self.folder / 'data'}", f"--web.listen-address=127.0.0.1:{self.port}"]
        with (self.folder / "alertmend.log").open("wb") as log:
            return subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)

    def deliver(self, status: str, host: str, *, started: datetime) -> None:
        """What Alertmanager would send."""
        ended = datetime.now(UTC).isoformat() if status == "resolved" else ZERO_TIME
        alert = {
            "status": status,
            "labels": {"alertname": "ToyDown", "host": host},
            "annotations": {"summary": f"{host} does not answer"},
            "startsAt": started.isoformat(),
            "endsAt": ended,
            "fingerprint": f"{abs(hash(host)):016x}"[:16],
        }
        body = {"version": "4", "status": status, "alerts": [alert], "receiver": "demo", "groupKey": "demo"}
        httpx.post(f"{self.url}/api/v1/alertmanager", json={**body, "externalURL": "http://demo"}).raise_for_status()

    def get(self, path: str, **query: str) -> Any:
        """From the server's API."""
        return httpx.get(f"{self.url}/api/v1/{path}", params=query, timeout=10).raise_for_status().json()

    def decisions(self) -> list[Mapping[str, Any]]:
        """Every decision on an alert so far, oldest first; those that name a run were made again as it started."""
        entries = self.get("audit", event="decision", limit="100")["items"]
        return [entry["body"]["decision"] for entry in reversed(entries) if entry["run"] is None]


@click.command()
@click.option("--exit", "exit_at_end", is_flag=True, help="End after the show, rather than stay for a look around.")
def demo(exit_at_end: bool) -> None:
    """Show it all on this machine, in under a minute, with nothing to install or to configure."""
    # Whoever ends the show means the server that it started, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    with tempfile.TemporaryDirectory(prefix="alertmend-demo-") as name:
        stage = Stage(folder=Path(name), port=_free_port(), toy_port=_free_port())
        stage.set_up()
        server = stage.serve()
        try:
            _show(stage, server)
            if not exit_at_end:
                _stay(stage, server)
        finally:
            server.terminate()
            server.wait(60)
            stage.break_toy()


def _show(stage: Stage, server: subprocess.Popen[bytes]) -> None:
    _say("Starting alertmend with an embedded Valkey and SQLite …")
    _until(lambda: _is_ready(stage), stage, server, "the server is ready")
    stage.start_toy()
    _until(stage.toy_answers, stage, server, "the toy answers")
    _say(f"   ready: {stage.url}; a toy service answers on port {stage.toy_port}")

    _say("\n1. The toy is killed, and Alertmanager reports it.")
    broken, started = time.monotonic(), datetime.now(UTC)
    stage.break_toy()
    stage.deliver("firing", "toy", started=started)
    run = _finished_run(stage, server)
    recovery = time.monotonic() - broken
    _tell_run(run)
    if not stage.toy_answers():
        raise click.ClickException("the toy did not come back")
    _say(f"   time to recovery: {recovery:.1f} s")

    _say("\n2. The same notification comes again, as it does from a second Alertmanager.")
    stage.deliver("firing", "toy", started=started)
    _tell_decision(_decision(stage, server, number=2))

    _say("\n3. The alert resolves; soon after, the toy dies again.")
    stage.deliver("resolved", "toy", started=started)
    _until(lambda: stage.get("incidents", state="resolved")["items"], stage, server, "the incident is resolved")
    _say(f"   incident resolved by: {stage.get('incidents', state='resolved')['items'][0]['resolved_by']}")
    stage.deliver("firing", "toy", started=datetime.now(UTC))
    _tell_decision(_decision(stage, server, number=3))

    _say("\n4. An alert names a host that is not in the inventory.")
    stage.deliver("firing", "all", started=datetime.now(UTC))
    _tell_decision(_decision(stage, server, number=4))

    verified = stage.get("audit/verify")
    _say(f"\nAll of it is in the audit log: {verified['entries']} entries, chain intact: {verified['ok']}.")
    _say(f"Killed, healed and proved healthy in {recovery:.1f} s.")


def _stay(stage: Stage, server: subprocess.Popen[bytes]) -> None:
    _say(f"\nLook around: open {stage.url}/ in a browser, or alertmend audit list --server.url={stage.url}")
    _say("Ctrl-C ends it and removes everything.")
    with suppress(KeyboardInterrupt):
        server.wait()


def _finished_run(stage: Stage, server: subprocess.Popen[bytes]) -> Mapping[str, Any]:
    def finished() -> list[Any]:
        return [run for run in stage.get("runs")["items"] if run["state"] == "finished"]

    found: list[Any] = _until(finished, stage, server, "the run has finished")
    return dict(found[0])


def _decision(stage: Stage, server: subprocess.Popen[bytes], *, number: int) -> Mapping[str, Any]:
    _until(lambda: len(stage.decisions()) >= number, stage, server, "the decision is on the record")
    return stage.decisions()[number - 1]


def _tell_run(run: Mapping[str, Any]) -> None:
    _say(f"   decision: run; playbook {run['playbook']} on {run['target']}")
    for probe in run["probes"]:
        _say(f"   probe: {'healthy' if probe['healthy'] else 'sick'} ({probe['words']})")
    _say(f"   outcome: {run['outcome']}; {run['reason']}")


def _tell_decision(decision: Mapping[str, Any]) -> None:
    _say(f"   decision: {decision['decision']} ({decision['guard']}); {decision['reason']}")


def _until(question: Callable[[], Any], stage: Stage, server: subprocess.Popen[bytes], what: str) -> Any:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline and server.poll() is None:
        if answer := question():
            return answer
        time.sleep(0.05)
    log = (stage.folder / "alertmend.log").read_text(errors="replace")
    raise click.ClickException(f"waited in vain until {what}. The log's end:\n{log[-3000:]}")


def _is_ready(stage: Stage) -> bool:
    with suppress(httpx.HTTPError):
        return httpx.get(f"{stage.url}/readyz", timeout=2).status_code == 200
    return False


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def _say(words: str) -> None:
    click.echo(words)
