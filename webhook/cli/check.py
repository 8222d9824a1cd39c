"""`alertmend check`: the configuration, rules, inventory and playbooks, every problem at once."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sized
from dataclasses import dataclass, replace
from pathlib import Path

import click

from webhook.cli.options import config_file
from webhook.core.advice import Advice, advise
from webhook.core.rulebook import Rulebook
from webhook.edge.smell import smells
from webhook.edge.webconfig import read_web_config
from webhook.errors import ConfigError, Place, Problem
from webhook.wiring.current import load


@click.command()
@config_file
@click.option(
    "--web.config.file", "web_config_file", type=click.Path(path_type=Path), help="Look at this file as well."
)
@click.option("--output", type=click.Choice(("table", "json")), default="table", show_default=True)
@click.pass_context
def check(context: click.Context, config_file: Path, web_config_file: Path | None, output: str) -> None:
    """Say what is wrong in the configuration, as file:line:column, all of it at once, and what is hardly meant.

    Exit status 0: it can be used, whatever the warnings. 2: it cannot.
    """
    found = _look(config_file, web_config_file)
    if output == "json":
        click.echo(json.dumps([*_rows(found.problems, "problem"), *_rows(found.warnings, "warning")], indent=2))
    for problem in found.problems if output == "table" else ():
        click.echo(str(problem))
    for warning in found.warnings if output == "table" else ():
        click.echo(str(replace(warning, words=f"warning: {warning.words}")))
    click.echo(found.words, err=True)
    context.exit(2 if found.problems else 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    problems: tuple[Problem, ...] = ()
    warnings: tuple[Problem, ...] = ()
    words: str = ""


def _look(config_file: Path, web_config_file: Path | None) -> _Found:
    found = _look_at_rules(config_file)
    problems = found.problems
    try:
        if web_config_file is not None:
            read_web_config(web_config_file)
    except ConfigError as error:
        problems += error.problems
    return replace(found, problems=problems, words=_count(problems, "problem")) if problems else found


def _look_at_rules(config_file: Path) -> _Found:
    try:
        config, rulebook = load(config_file)
    except ConfigError as error:
        return _Found(problems=error.problems)
    advice = advise(rulebook, has_alertmanagers=bool(config.alertmanagers))
    warnings = (*(_located(one, config.places[one.rule]) for one in advice), *_smells(config.playbooks, rulebook))
    counts = f"{_count(rulebook.rules, 'rule')}, {_count(rulebook.inventory.hosts, 'host')}"
    words = f"{config_file}: {counts}, no problems" + (f", {_count(warnings, 'warning')}" if warnings else "")
    return _Found(warnings=warnings, words=words)


def _located(advice: Advice, place: Place) -> Problem:
    return Problem(file=place.file, line=place.line, column=place.column, words=f"rule {advice.rule!r}: {advice.words}")


def _smells(playbooks: Path, rulebook: Rulebook) -> Iterator[Problem]:
    found: dict[Problem, None] = {}
    for name in dict.fromkeys(name for rule in rulebook.rules for name in rule.playbooks):
        is_proved = all(rule.probe for rule in rulebook.rules if name in rule.playbooks)
        # Two playbooks may share a role.
        found |= dict.fromkeys(smells(playbooks / name, playbooks=playbooks, is_proved=is_proved))
    yield from found


def _rows(found: Iterable[Problem], severity: str) -> list[dict[str, object]]:
    return [
        {"severity": severity, "file": str(p.file), "line": p.line, "column": p.column, "words": p.words} for p in found
    ]


def _count(things: Sized, name: str) -> str:
    return f"{len(things)} {name}{'s' if len(things) != 1 else ''}"
