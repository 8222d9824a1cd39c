"""`alertmend explain`: which rule takes an alert, and what each guard says."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import click
from pydantic_core import to_jsonable_python

from webhook.cli.options import config_file
from webhook.core.alert import Alert, AlertStatus
from webhook.core.decision import decide
from webhook.core.evidence import Occasion, gather
from webhook.core.incident import Decision
from webhook.core.matcher import all_match
from webhook.core.rule import Rule
from webhook.core.rulebook import Match, Rulebook
from webhook.core.state import Draft, Snapshot
from webhook.wiring.clock import now
from webhook.wiring.current import load


@click.command()
@click.argument("labels", nargs=-1, required=True, metavar="LABEL=VALUE…")
@config_file
@click.option("--output", type=click.Choice(("table", "json")), default="table", show_default=True)
@click.pass_context
def explain(context: click.Context, labels: Sequence[str], config_file: Path, output: str) -> None:
    """Say what would be decided for an alert with these labels, were it the first one ever. Nothing is done.

    Exit status 0: it would run. 1: it would not.
    """
    alert = _alert(labels)
    _, rulebook = load(config_file)
    match = rulebook.match(alert)
    decision = _decide(rulebook, match, alert) if match else None
    if output == "json":
        click.echo(json.dumps(_as_json(match, decision), indent=2, ensure_ascii=False))
    else:
        _write(rulebook, alert, match, decision)
    context.exit(0 if decision is not None and decision.decision == "run" else 1)


def _alert(labels: Sequence[str]) -> Alert:
    pairs: dict[str, str] = {}
    for label in labels:
        name, equals, value = label.partition("=")
        if not equals or not name:
            raise click.BadParameter(f"{label!r} is not LABEL=VALUE", param_hint="LABEL=VALUE")
        pairs[name] = value
    at = now()
    fingerprint = hashlib.sha256(json.dumps(pairs, sort_keys=True).encode()).hexdigest()[:16]
    return Alert(
        status=AlertStatus.FIRING, labels=pairs, annotations={}, starts_at=at, ends_at=None, fingerprint=fingerprint
    )


def _decide(rulebook: Rulebook, match: Match, alert: Alert) -> Decision:
    at = now()
    occasion = Occasion(now=at, received_at=at, source="explain")
    draft = Draft.of(Snapshot(revision=0))
    evidence = gather(match.rule, rulebook.policy, alert, match.target, draft=draft, occasion=occasion)
    return decide(match.rule, rulebook.policy, alert, evidence)


def _as_json(match: Match | None, decision: Decision | None) -> Mapping[str, object]:
    if match is None or decision is None:
        return {"rule": None, "target": None, "decision": None, "reason": "no rule matches"}
    return {"rule": match.rule.name, "target": match.target.host, **to_jsonable_python(decision)}


def _write(rulebook: Rulebook, alert: Alert, match: Match | None, decision: Decision | None) -> None:
    for rule in rulebook.rules:
        click.echo(f"rule {rule.name}: {_why(rule, alert)}")
        if match is not None and rule is match.rule:
            break
    if match is None or decision is None:
        click.echo("\nno rule takes this alert: nothing would be done")
        return
    click.echo(f"target: {match.target.host or match.target.problem}\n")
    for check in decision.checks:
        click.echo(f"  {check.verdict.value:<7} {check.guard:<22} {check.reason}")
    playbook = match.rule.steps[0].playbook
    done = f": {playbook} on {match.target.host}" if decision.decision == "run" else f" ({decision.guard})"
    click.echo(f"\ndecision: {decision.decision.value}{done}; {decision.reason}")


def _why(rule: Rule, alert: Alert) -> str:
    if all_match(rule.match, alert.labels):
        return "matches"
    failed = [str(matcher) for matcher in rule.match if not matcher.matches(alert.labels)]
    return f"does not match: {', '.join(failed)}"
