"""What is tried of a playbook, and what is found."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from webhook.edge.tryout.case import Case, Expected
from webhook.edge.tryout.machine import Ended, Machine

#: Of a playbook's output so much is shown, from its end.
_SHOWN_LINES: Final = 25
#: Of the files that it changed so many are named.
_SHOWN_FILES: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was tried."""

    what: str
    #: Why it is not as it should be; empty when it is.
    fault: str = ""
    #: What Ansible said, for a fault.
    output: str = ""
    #: It could not be tried, for this reason.
    skipped: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """The playbook that is tried."""

    name: str
    playbooks: Path

    @property
    def playbook(self) -> Path:
        """Its file."""
        return self.playbooks / f"{self.name}.yml"

    @property
    def role(self) -> Path:
        """The folder of its role."""
        return self.playbooks / "roles" / self.name

    @property
    def cases(self) -> Path:
        """The file with its cases."""
        return self.role / "tests/cases.yml"


def syntax(subject: Subject) -> Finding:
    """Whether Ansible can read it."""
    ended = _here([_program("ansible-playbook"), "--syntax-check", "-i", "localhost,", str(subject.playbook)])
    return _judged("syntax", ended, fault="Ansible cannot read it" if ended.code else "")


def lint(subject: Subject) -> Finding:
    """What ansible-lint says to it."""
    program = shutil.which("ansible-lint", path=f"{Path(sys.executable).parent}:{os.environ.get('PATH', os.defpath)}")
    if program is None:
        return Finding(what="lint", skipped="ansible-lint is not installed")
    folders = [str(folder) for folder in (subject.role,) if folder.is_dir()]
    ended = _here(
        [program, "--offline", "--nocolor", "-q", "--profile", "production", str(subject.playbook), *folders],
        ANSIBLE_LIBRARY=str(subject.playbooks / "library"),
    )
    return _judged("lint", ended, fault="ansible-lint has something to say" if ended.code else "")


def try_case(case: Case, subject: Subject, machine: Machine) -> Iterator[Finding]:
    """What is found in one case, up to the first fault: what comes after it says nothing."""
    for finding in _Trial(case=case, subject=subject, machine=machine).findings():
        yield finding
        if finding.fault:
            return


@dataclass(frozen=True, slots=True, kw_only=True)
class _Trial:
    case: Case
    subject: Subject
    machine: Machine

    def findings(self) -> Iterator[Finding]:
        if self.case.given:
            ended = self._prepare()
            yield self._found("given", ended, "the machine cannot be brought into this state" if ended.code else "")
        match self.case.expect:
            case Expected.MENDED:
                yield from self._mended()
            case Expected.UNTOUCHED:
                yield from self._untouched()
            case Expected.REFUSED:
                yield self._refused()
            case Expected.FAILED:
                yield self._failed()

    def _mended(self) -> Iterator[Finding]:
        yield self._check(is_changing=True)
        ended = self._play()
        yield self._found("run", ended, _not_ok(ended) or ("" if _changed(ended) else "it changed nothing"))
        yield self._idle("run again")

    def _untouched(self) -> Iterator[Finding]:
        yield self._check(is_changing=False)
        yield self._idle("run")

    def _idle(self, step: str) -> Finding:
        """A run that has nothing to do."""
        before = self.machine.traces()
        ended = self._play()
        fault = _not_ok(ended) or (_changes(ended) if _changed(ended) else self._secret(before))
        return self._found(step, ended, fault)

    def _refused(self) -> Finding:
        before = self.machine.traces()
        ended = self._play()
        fault = (
            "it did not refuse" if not ended.code
            else f"it refused only after it had {_changes(ended)[3:]}" if _changed(ended)
            else self._secret(before)
        )  # fmt: skip
        return self._found("run", ended, fault)

    def _secret(self, before: frozenset[str] | None) -> str:
        """What was changed of files by a run that says that it changed nothing."""
        return f"it says that it changed nothing, and did: {files}" if (files := self._touched(before)) else ""

    def _touched(self, before: frozenset[str] | None) -> str:
        now = self.machine.traces()
        if before is None or now is None:
            return ""
        files = sorted({trace.partition("\t")[2] for trace in now ^ before})
        return ", ".join(files[:_SHOWN_FILES]) + (" and others" if len(files) > _SHOWN_FILES else "")

    def _failed(self) -> Finding:
        ended = self._play()
        place = re.search(r"^task path: (\S+?):\d+$|^Origin: (\S+?):\d+:\d+$", ended.output, re.MULTILINE)
        failed_in = Path(place[1] or place[2]).name if place else ""
        fault = (
            "it did not fail, though it did not help" if not ended.code
            else f"it failed in {failed_in or 'a place that is not told'}, before verify could look"
            if (self.subject.role / "tasks/verify.yml").is_file() and failed_in != "verify.yml"
            else ""
        )  # fmt: skip
        return self._found("run", ended, fault)

    def _check(self, *, is_changing: bool) -> Finding:
        before = self.machine.traces()
        ended = self._play("--check", "--diff")
        fault = (
            _not_ok(ended)
            or ("it does not say that it would change anything" if is_changing and not _changed(ended) else "")
            or ("it says that it would change something" if not is_changing and _changed(ended) else "")
            or (f"it only had to say what it would do, and changed {files}" if (files := self._touched(before)) else "")
        )
        return self._found("check mode", ended, fault)

    def _found(self, step: str, ended: Ended, fault: str) -> Finding:
        is_last = step == "run" and self.case.words
        if not fault and is_last and self.case.words not in ended.output:
            fault = f"Ansible does not say {self.case.words!r}"
        return _judged(f"{self.case.name}: {step}", ended, fault=fault)

    def _prepare(self) -> Ended:
        play = [{"hosts": "all", "gather_facts": False, "tasks": list(self.case.given)}]
        return self._ansible(self._write("given.json", play))

    def _play(self, *options: str) -> Ended:
        told = {"incident": "tried", "run": "tried", "rule": "tried", "target": self.machine.name, "attempt": 1}
        variables = self._write("vars.json", {**self.case.vars, "alertmend": {**told, "alerts": []}})
        return self._ansible(self.subject.playbook, "-e", f"@{variables}", *options)

    def _ansible(self, playbook: Path, *options: str) -> Ended:
        place = ["-i", str(self.machine.inventory), "--limit", self.machine.name]
        return self.machine.run(
            [_program("ansible-playbook"), *place, *options, str(playbook)], _environment(self.machine.folder)
        )

    def _write(self, name: str, content: Any) -> Path:
        file = self.machine.folder / name
        file.write_text(json.dumps(content))
        return file


def _judged(what: str, ended: Ended, *, fault: str) -> Finding:
    tail = "\n".join(ended.output.rstrip().splitlines()[-_SHOWN_LINES:])
    return Finding(what=what, fault=fault, output=tail if fault else "")


def _not_ok(ended: Ended) -> str:
    return f"it failed, with status {ended.code}" if ended.code else ""


def _changed(ended: Ended) -> int:
    found = re.findall(r"^\S+\s*:.*\bchanged=(\d+)", ended.output, re.MULTILINE)
    return sum(map(int, found))


def _changes(ended: Ended) -> str:
    tasks = re.findall(r"^TASK \[(.*?)\] \*+\n(?:(?!TASK).*\n)*?changed:", ended.output, re.MULTILINE)
    return f"it changed something: {', '.join(tasks)}" if tasks else "it changed something"


def _environment(folder: Path) -> dict[str, str]:
    return {
        "PATH": f"{Path(sys.executable).parent}:{os.environ.get('PATH', os.defpath)}",
        "HOME": str(folder),
        "LANG": os.environ.get("LANG", "C.UTF-8"),
        "TMPDIR": str(folder),
        "ANSIBLE_HOME": str(folder / "ansible"),
        "ANSIBLE_LOCAL_TEMP": str(folder / "ansible"),
        "ANSIBLE_REMOTE_TEMP": str(folder / "ansible"),
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_RETRY_FILES_ENABLED": "False",
        "ANSIBLE_SHOW_TASK_PATH_ON_FAILURE": "True",
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def _here(command: Sequence[str], **environment: str) -> Ended:
    ended = subprocess.run(
        command,
        env={**os.environ, "ANSIBLE_NOCOLOR": "1", **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    return Ended(code=ended.returncode, output=ended.stdout)


def _program(name: str) -> str:
    return str(Path(sys.executable).parent / name)
