"""Does a local program end with status 0, and leave nothing behind."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.edge.probe.asking import ask, python, wait_for
from webhook.core.placeholder import Untrusted
from webhook.core.probe import CommandProbe
from webhook.edge.probe import WORDS_LIMIT


def test_a_command_that_ends_with_zero_is_healthy() -> None:
    answer = ask(python("print('one'); print('two'); print()"))
    assert (answer.healthy, answer.words) == (True, "exit status 0: two")


def test_a_command_that_ends_otherwise_is_sick_with_its_last_line() -> None:
    answer = ask(python("import sys; print('out', flush=True); print('disk full', file=sys.stderr); sys.exit(3)"))
    assert (answer.healthy, answer.words) == (False, "exit status 3: disk full")


def test_a_command_that_a_signal_ends_is_sick() -> None:
    assert ask(python("import os; os.kill(os.getpid(), 15)")).words == "exit status 143"


@pytest.mark.parametrize("argv", [("/no/such/program",), ("/etc/passwd",), ("/",), ("",), (), ("a\0b",), ("\ud800",)])
def test_a_command_that_cannot_be_started_is_sick(argv: tuple[str, ...]) -> None:
    answer = ask(CommandProbe(argv=argv))
    assert not answer.healthy
    assert answer.words


def test_a_strangers_words_stay_one_argument(tmp_path: Path) -> None:
    hostile = Untrusted(f"$(touch {tmp_path}/taken); `touch {tmp_path}/taken` | touch {tmp_path}/taken\n--help")
    answer = ask(python("import sys; print(len(sys.argv), sys.argv[1] == sys.argv[2])", hostile, hostile))
    assert answer.words == "exit status 0: 3 True"
    assert not (tmp_path / "taken").exists()


def test_a_command_sees_no_more_of_our_environment_than_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALERTMEND_SECRET", "hunter2")
    answer = ask(python("import os; print(sorted(set(os.environ) - {'PATH', 'HOME', 'LANG', 'LC_CTYPE'}))"))
    assert answer.words == "exit status 0: []"


def test_a_command_has_nothing_to_read() -> None:
    assert ask(python("import sys; print(repr(sys.stdin.read()))")).words == "exit status 0: ''"


def test_a_command_that_writes_without_end_is_cut_and_ended() -> None:
    answer = ask(CommandProbe(argv=("yes",)), seconds=0.4)
    assert answer.words == "timeout after 0.4s"


def test_a_long_last_line_is_cut() -> None:
    answer = ask(python("print('x' * 1000000)"))
    assert answer.healthy
    assert len(answer.words) == WORDS_LIMIT


def is_alive(pid: int) -> bool:
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False


#: Starts a grandchild that has left its session and its process group, and whose parent is gone.
ESCAPES = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        with open(sys.argv[1], "w") as file:
            file.write(f"{os.getpid()}\\n")
        time.sleep(60)
    os._exit(0)
os.wait()
while not (os.path.exists(sys.argv[1]) and open(sys.argv[1]).read().endswith("\\n")):
    time.sleep(0.01)
time.sleep(float(sys.argv[2]))
"""


@pytest.mark.parametrize(("sleeps", "words"), [("60", "timeout after 1s"), ("0", "exit status 0")])
def test_whatever_a_command_started_is_gone_with_it(tmp_path: Path, sleeps: str, words: str) -> None:
    pid_file = tmp_path / "pid"
    answer = ask(python(ESCAPES, str(pid_file), sleeps), seconds=1 if sleeps == "60" else 5)
    assert answer.words == words
    assert answer.latency_seconds < 2
    assert not is_alive(int(pid_file.read_text()))


def test_a_command_ends_when_the_one_who_asks_is_killed(tmp_path: Path) -> None:
    asks = f"""
import sys
from datetime import timedelta
from webhook.core.probe import CommandProbe, Probe
from webhook.edge.probe import WorldProber
argv = (sys.executable, "-c", {ESCAPES!r}, {str(tmp_path / "pid")!r}, "60")
WorldProber().ask(Probe(kind=CommandProbe(argv=argv), timeout=timedelta(seconds=60)))
"""
    pid_file = tmp_path / "pid"
    asker = subprocess.Popen([sys.executable, "-c", asks])
    wait_for(lambda: pid_file.exists() and pid_file.read_text().endswith("\n"))
    asker.kill()
    asker.wait()
    wait_for(lambda: not is_alive(int(pid_file.read_text())))


def test_a_command_that_cannot_be_started_says_nothing_about_the_target() -> None:
    answer = ask(CommandProbe(argv=("/no/such/program",)))
    assert (answer.healthy, answer.known) == (False, False)
    assert answer.words == "it cannot be started: /no/such/program: No such file or directory"


def test_a_terminal_sequence_in_the_output_is_not_passed_on() -> None:
    assert ask(python(r"print('\x1b[2J\x1b]0;owned\x07ok')")).words == "exit status 0:  [2J ]0;owned ok"
