"""An incident as one line of steps, oldest first: what was seen, decided, done and said, and by whom."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from webhook.core.audit import Event
from webhook.web.pages.render import markdown, tone, words


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One thing that happened, or several alike in a row."""

    seq: int
    at: str
    title: str
    words: str = ""
    tone: str = "plain"
    actor: str = "alertmend"
    run: str | None = None
    checks: list[Mapping[str, Any]] = field(default_factory=list)
    labels: Mapping[str, str] = field(default_factory=dict)
    #: So often in a row.
    times: int = 1
    last_at: str = ""


def steps_of(entries: Iterable[Mapping[str, Any]]) -> list[Step]:
    """The steps that audit entries tell of, those that say the same again and again as one."""
    found: list[Step] = []
    for entry in entries:
        step = _step(entry)
        if found and _says_the_same(found[-1], step):
            found[-1] = replace(found[-1], times=found[-1].times + 1, last_at=step.at)
        else:
            found.append(step)
    return found


def as_markdown(incident: Mapping[str, Any], steps: Iterable[Step]) -> str:
    """The incident for a post-mortem."""
    return "\n".join(_lines(incident, steps)) + "\n"


def _lines(incident: Mapping[str, Any], steps: Iterable[Step]) -> Iterator[str]:
    yield f"# {markdown(incident['rule'])} on {markdown(incident['target'])}"
    yield ""
    yield f"- Incident: {markdown(incident['id'])}"
    yield f"- Opened: {incident['opened_at']}"
    if incident["resolved_at"]:
        yield f"- Resolved: {incident['resolved_at']}, by {words(incident['resolved_by'])}"
    yield f"- Runs: {', '.join(markdown(run) for run in incident['runs']) or 'none'}"
    yield ""
    yield "| time | what | why | who |"
    yield "|---|---|---|---|"
    for step in steps:
        times = f" ({step.times} times, until {step.last_at})" if step.times > 1 else ""
        yield f"| {step.at} | {markdown(step.title)}{times} | {markdown(step.words)} | {markdown(step.actor)} |"


def _says_the_same(first: Step, second: Step) -> bool:
    return (first.title, first.words, first.actor, first.run) == (second.title, second.words, second.actor, second.run)


def _step(entry: Mapping[str, Any]) -> Step:
    event, body = entry["event"], json.loads(entry["body"])
    told = _TELLERS.get(event, _plain)(entry, body)
    return Step(seq=entry["seq"], at=entry["at"], actor=entry["actor"], run=entry["run"], **told)


def _decision(entry: Mapping[str, Any], body: Mapping[str, Any]) -> Mapping[str, Any]:
    decision = body.get("decision") or {}
    choice, guard = decision.get("decision", ""), decision.get("guard")
    return {
        "title": f"Decided{' again' if entry['run'] else ''}: {words(choice)}"
        + (f" ({words(guard)})" if guard else ""),
        "words": decision.get("reason", ""),
        "tone": tone(choice),
        "checks": decision.get("checks", []),
        "labels": (body.get("alert") or {}).get("labels", {}),
    }


def _finished(entry: Mapping[str, Any], body: Mapping[str, Any]) -> Mapping[str, Any]:
    return {
        "title": f"Run ended: {words(entry['outcome'])}",
        "words": said_of(body),
        "tone": tone(entry["outcome"]),
    }


def _started(_: Mapping[str, Any], body: Mapping[str, Any]) -> Mapping[str, Any]:
    run = body.get("run") or {}
    what = "Rollback" if body.get("rolls_back") else f"Step {run.get('step', '')}"
    return {"title": f"{what} started: {run.get('playbook', '')}", "tone": "busy"}


def _opened(_: Mapping[str, Any], body: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"title": "Incident opened", "tone": "warn", "words": said_of(body)}


def _resolved(entry: Mapping[str, Any], _: Mapping[str, Any]) -> Mapping[str, Any]:
    by = entry["outcome"]
    return {"title": f"Resolved by {words(by)}" if by else "Resolved", "tone": tone(by or "")}


def _approval(_: Mapping[str, Any], body: Mapping[str, Any]) -> Mapping[str, Any]:
    felt = "good" if body.get("said") == "approve" else "warn"
    return {"title": approval_of(body), "words": said_of(body), "tone": felt}


def approval_of(body: Mapping[str, Any]) -> str:
    """What an entry about an approval is about."""
    said = str(body.get("said", "ask"))
    return _APPROVALS.get(said, said)


def _escalated(_: Mapping[str, Any], body: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"title": "People were called", "tone": "bad", "words": said_of(body)}


def _plain(entry: Mapping[str, Any], body: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"title": words(entry["event"]).capitalize(), "words": said_of(body)}


def said_of(body: Mapping[str, Any]) -> str:
    """What an entry says in words, whatever it is about."""
    run = body.get("run") if isinstance(body.get("run"), dict) else {}
    why = body.get("reason") or (run or {}).get("reason")
    texts = [*(body.get(name) for name in ("step", "words", "comment")), why]
    return "; ".join(text for text in texts if isinstance(text, str) and text)


_APPROVALS: Mapping[str, str] = {
    "ask": "People are asked",
    "plan": "The plan is there",
    "approve": "Approved",
    "reject": "Rejected",
    "expire": "Nobody approved in time",
}
_TELLERS: Mapping[str, Any] = {
    Event.APPROVAL: _approval,
    Event.DECISION: _decision,
    Event.RUN_STARTED: _started,
    Event.RUN_FINISHED: _finished,
    Event.INCIDENT_OPENED: _opened,
    Event.INCIDENT_RESOLVED: _resolved,
    Event.ESCALATED: _escalated,
}


def lasted(incident: Mapping[str, Any]) -> float | None:
    """Seconds from its opening to its resolve; None while it is open."""
    if not incident["resolved_at"]:
        return None
    return (
        datetime.fromisoformat(incident["resolved_at"]) - datetime.fromisoformat(incident["opened_at"])
    ).total_seconds()
