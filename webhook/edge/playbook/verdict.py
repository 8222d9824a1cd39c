"""What a run's events come to. Events can be forged, so success is never taken from them alone."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from webhook.core.redaction import Redaction
from webhook.edge.playbook.output import DIFFS_LIMIT_CHARACTERS, TEXT_LIMIT_CHARACTERS, diff_of, shown
from webhook.edge.playbook.text import printable, tidy_in

RESULT_LIMIT_BYTES: Final = 16 * 1024
NAME_LIMIT_CHARACTERS: Final = 200
#: Where a result says what went wrong, best first.
_WORDS: Final = ("msg", "stderr", "module_stderr", "reason", "censored")


@dataclass(slots=True, kw_only=True)
class Account:
    """What the events of one run said."""

    target: str
    playbook: str
    redaction: Redaction = Redaction()
    stats: list[Mapping[str, Any]] = field(default_factory=list)
    failure: str = ""
    result: Mapping[str, Any] = field(default_factory=dict)
    first_task_at: str | None = None
    #: The first line that was printed, and the first that tells of an error.
    first_line: str = ""
    first_error: str = ""
    diff_room: int = DIFFS_LIMIT_CHARACTERS

    def take(self, event: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """Note what is of use in one of ansible-runner's events; what it says to people, as passages."""
        kind, data, at = event.get("event"), event.get("event_data") or {}, datetime.now(UTC).isoformat()
        if text := self._shown(_printed(event, data)):
            self._look_for_errors(text)
            yield {"at": at, "text": f"{text}\n"}
        if status := _status(str(kind), data):
            yield {"at": at, "task": self._task(status, data, at=at)}
        self._note(str(kind), data, at=at)

    def _note(self, kind: str, data: Mapping[str, Any], *, at: str) -> None:
        if kind == "playbook_on_task_start" and self.first_task_at is None:
            self.first_task_at = at
        elif kind == "playbook_on_stats":
            self.stats.append(data)
            self._take_result((data.get("artifact_data") or {}).get("alertmend_result"))
        elif kind in ("runner_on_failed", "runner_on_unreachable") and not data.get("ignore_errors"):
            self.failure = self.failure or self._failed(kind, data)
        elif kind == "runner_on_ok":
            self._take_result(((data.get("res") or {}).get("ansible_facts") or {}).get("alertmend_result"))

    def verdict(self, status: str, code: int | None) -> tuple[str, str]:
        """How the run ended, and why, for one that was not ended by us."""
        if code != 0:
            return "failed", self.failure or self._why(status, code)
        return self._proved()

    def counts(self) -> dict[str, int]:
        """Tasks by what became of them."""
        if len(self.stats) != 1:
            return {}
        names = {"ok": "ok", "changed": "changed", "failed": "failures", "unreachable": "dark", "skipped": "skipped"}
        return {ours: int((self.stats[0].get(theirs) or {}).get(self.target, 0)) for ours, theirs in names.items()}

    def _proved(self) -> tuple[str, str]:
        """Success is what the return code and the statistics say together."""
        if len(self.stats) != 1:
            return "failed", f"Ansible gave {len(self.stats)} statistics instead of one; its output is not trusted"
        hosts = set(self.stats[0].get("processed") or ())
        if not hosts:
            return "failed", f"no play in {Path(self.playbook).name} has {self.target} among its hosts"
        if hosts != {self.target}:
            return "failed", f"Ansible reports on {', '.join(sorted(hosts))} instead of on {self.target} alone"
        if self.stats[0].get("failures") or self.stats[0].get("dark"):
            return "failed", "Ansible reports failures"
        counts = self.counts()
        return "ok", f"{counts['ok']} tasks ok, {counts['changed']} changed"

    def _why(self, status: str, code: int | None) -> str:
        if code is None:
            return f"the playbook could not be run: {status}"
        said = self.first_error or self.first_line or status
        return f"ansible-playbook ended with status {code}: {said[:500]}"

    def _look_for_errors(self, text: str) -> None:
        lines = [line.strip() for line in text.splitlines() if line.strip()] if not self.first_error else []
        self.first_line = self.first_line or (lines[0] if lines else "")
        self.first_error = self.first_error or next((line for line in lines if "ERROR" in line), "")

    def _task(self, status: str, data: Mapping[str, Any], *, at: str) -> dict[str, Any]:
        diff = diff_of(_res(data), tidy=self._tidy)[: self.diff_room]
        self.diff_room -= len(diff)
        return {
            "name": self._name(data.get("task")),
            "host": self._name(data.get("host")),
            "status": status,
            "ignored": bool(data.get("ignore_errors")),
            "started_at": _time(data.get("start")) or at,
            "duration_seconds": _seconds(data.get("duration")),
            "words": self._words(_res(data)) if status in ("failed", "unreachable") else "",
            "diff": diff,
        }

    def _take_result(self, value: object) -> None:
        if isinstance(value, dict) and len(json.dumps(value)) <= RESULT_LIMIT_BYTES:
            self.result = tidy_in(value, self._tidy)

    def _failed(self, kind: str, data: Mapping[str, Any]) -> str:
        verb = "could not be reached" if kind == "runner_on_unreachable" else "failed"
        task, host = self._name(data.get("task")) or "a task", self._name(data.get("host"))
        return f"task {task!r} {verb} on {host}: {self._words(_res(data))}"

    def _words(self, result: Mapping[str, Any]) -> str:
        return self._shown(str(next((result[name] for name in _WORDS if result.get(name)), "")), limit=1000).strip()

    def _name(self, value: object) -> str:
        return self._shown(str(value or ""))[:NAME_LIMIT_CHARACTERS]

    def _shown(self, text: str, *, limit: int = TEXT_LIMIT_CHARACTERS) -> str:
        return shown(text, tidy=self._tidy, limit=limit)

    def _tidy(self, text: str) -> str:
        # In this order: what is not seen could otherwise stand in the middle of what has to go.
        return self.redaction.apply(printable(text))


def _printed(event: Mapping[str, Any], data: Mapping[str, Any]) -> str:
    """What may be shown of an event's text."""
    printed = str(event.get("stdout") or "")
    if "censored" in _res(data):
        # Ansible hides the result of a task with no_log; but why it failed, and the lines of the playbook that say what
        # it was given, it prints in front of that (seen in 2.19.14).
        return printed.rstrip().rpartition("\n")[2]
    return printed


def _status(kind: str, data: Mapping[str, Any]) -> str:
    """What became of a task; empty for an event that does not tell."""
    if kind == "runner_on_ok":
        return "changed" if _res(data).get("changed") else "ok"
    ends = {"runner_on_failed": "failed", "runner_on_skipped": "skipped", "runner_on_unreachable": "unreachable"}
    return ends.get(kind, "")


def _res(data: Mapping[str, Any]) -> Mapping[str, Any]:
    result = data.get("res")
    return result if isinstance(result, dict) else {}


def _seconds(value: object) -> float:
    return value if isinstance(value, float) and math.isfinite(value) else 0.0


def _time(text: object) -> str | None:
    """A time as Ansible gives it, which is UTC and sometimes does not say so."""
    try:
        at = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).isoformat()
