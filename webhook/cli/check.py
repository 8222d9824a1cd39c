"""`alertmend check`: the configuration, rules, inventory and playbooks, every problem at once."""

from __future__ import annotations

import json
from collections.abc import Sized
from pathlib import Path

import click

from webhook.cli.options import config_file
from webhook.edge.webconfig import read_web_config
from webhook.errors import ConfigError, Problem
from webhook.wiring.current import load


@click.command()
@config_file
@click.option(
    "--web.config.file", "web_config_file", type=click.Path(path_type=Path), help="Look at this file as well."
)
@click.option("--output", type=click.Choice(("table", "json")), default="table", show_default=True)
@click.pass_context
def check(context: click.Context, config_file: Path, web_config_file: Path | None, output: str) -> None:
    """Say what is wrong in the configuration, as file:line:column, all of it at once.

    Exit status 0: it can be used. 2: it cannot.
    """
    problems, words = _look(config_file, web_config_file)
    if output == "json":
        rows = [{"file": str(p.file), "line": p.line, "column": p.column, "words": p.words} for p in problems]
        click.echo(json.dumps(rows, indent=2))
    for problem in problems if output == "table" else ():
        click.echo(str(problem))
    click.echo(words, err=True)
    context.exit(2 if problems else 0)


def _look(config_file: Path, web_config_file: Path | None) -> tuple[tuple[Problem, ...], str]:
    problems, words = _look_at_rules(config_file)
    try:
        if web_config_file is not None:
            read_web_config(web_config_file)
    except ConfigError as error:
        problems += error.problems
    return problems, _count(problems, "problem") if problems else words


def _look_at_rules(config_file: Path) -> tuple[tuple[Problem, ...], str]:
    try:
        _, rulebook = load(config_file)
    except ConfigError as error:
        return error.problems, ""
    found = f"{_count(rulebook.rules, 'rule')}, {_count(rulebook.inventory.hosts, 'host')}"
    return (), f"{config_file}: {found}, no problems"


def _count(things: Sized, name: str) -> str:
    return f"{len(things)} {name}{'s' if len(things) != 1 else ''}"
