"""What a run's events come to. Events can be forged, so success is never taken from them alone."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from webhook.edge.playbook.output import Output
from webhook.edge.playbook.text import printable, printable_in

RESULT_LIMIT_BYTES: Final = 16 * 1024


@dataclass(slots=True, kw_only=True)
class Account:
    """What the events of one run said."""

    target: str
    playbook: str
    stats: list[Mapping[str, Any]] = field(default_factory=list)
    failure: str = ""
    result: Mapping[str, Any] = field(default_factory=dict)
    first_task_at: str | None = None
    output: Output = field(default_factory=Output)

    def take(self, event: Mapping[str, Any]) -> None:
        """Note what is of use in one of ansible-runner's events."""
        kind, data = event.get("event"), event.get("event_data") or {}
        self.output.add(str(event.get("stdout") or ""))
        if kind == "playbook_on_task_start" and self.first_task_at is None:
            self.first_task_at = datetime.now(UTC).isoformat()
        elif kind == "playbook_on_stats":
            self.stats.append(data)
            self._take_result((data.get("artifact_data") or {}).get("alertmend_result"))
        elif kind in ("runner_on_failed", "runner_on_unreachable") and not data.get("ignore_errors"):
            self.failure = self.failure or _failure(kind, data)
        elif kind == "runner_on_ok":
            self._take_result(((data.get("res") or {}).get("ansible_facts") or {}).get("alertmend_result"))

    def verdict(self, status: str, code: int | None) -> tuple[str, str]:
        """How the run ended, and why, for one that was not ended by us."""
        if self.failure:
            return "failed", self.failure
        if code != 0:
            return "failed", self._why(status, code)
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
        lines = [line for line in self.output.text.splitlines() if line.strip()]
        errors = [line for line in lines if "ERROR" in line]
        said = (errors or lines or [status])[0].strip()
        return f"ansible-playbook ended with status {code}: {said[:500]}"

    def _take_result(self, value: object) -> None:
        if isinstance(value, dict) and len(json.dumps(value)) <= RESULT_LIMIT_BYTES:
            self.result = printable_in(value)


def _failure(kind: str, data: Mapping[str, Any]) -> str:
    result = data.get("res") or {}
    message = result.get("msg") or result.get("stderr") or result.get("module_stderr") or result.get("reason") or ""
    verb = "could not be reached" if kind == "runner_on_unreachable" else "failed"
    task = printable(str(data.get("task") or "a task"))[:200]
    return f"task {task!r} {verb} on {printable(str(data.get('host')))[:100]}: {printable(str(message))[:1000].strip()}"
