"""`alertmend demo --exit`: what it shows is what it promises, and nothing of it is left."""

import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

#: What each act of the show has to say, in order.
SHOWN = [
    r"1\. The toy is killed",
    r"decision: run; playbook restart_toy.yml on toy",
    r"probe: sick",
    r"probe: healthy",
    r"outcome: fixed",
    r"time to recovery: [0-9.]+ s",
    r"2\. The same notification comes again",
    r"decision: refuse \(open_incident\)",
    r"3\. The alert resolves; soon after, the toy dies again",
    r"incident resolved by: remediation",
    r"decision: hold \(cooldown\)",
    r"4\. An alert names a host that is not in the inventory",
    r"decision: refuse \(target\)",
    r"[0-9]+ entries, chain intact: True",
    r"Killed, healed and proved healthy in [0-9.]+ s",
]


def test_the_demo_shows_what_it_promises_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    command = [sys.executable, "-m", "webhook.cli", "demo", "--exit"]
    show = subprocess.run(command, capture_output=True, text=True, check=False)
    assert show.returncode == 0, show.stdout + show.stderr
    assert re.search(".*".join(SHOWN), show.stdout, re.DOTALL), show.stdout
    assert list(tmp_path.iterdir()) == []
    assert str(tmp_path).encode() not in b"".join(_command_lines())


def test_whoever_ends_the_demo_ends_all_that_it_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    with subprocess.Popen([sys.executable, "-m", "webhook.cli", "demo"], stdout=subprocess.PIPE, text=True) as show:
        assert show.stdout is not None
        next(line for line in show.stdout if "ready:" in line)
        show.send_signal(signal.SIGTERM)
        assert show.wait(90) == 128 + signal.SIGTERM
    assert list(tmp_path.iterdir()) == []
    assert str(tmp_path).encode() not in b"".join(_command_lines())


def _command_lines() -> list[bytes]:
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            found.append((folder / "cmdline").read_bytes())
        except OSError:
            continue
    return found
