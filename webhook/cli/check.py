"""`alertmend check`: the configuration, rules, inventory and playbooks, every problem at once."""

from __future__ import annotations

import json
from pathlib import Path

import click

from webhook.cli.options import config_file
from webhook.edge.configfile import read_config
from webhook.edge.inventory import read_inventory
from webhook.errors import ConfigError, Problem


@click.command()
@config_file
@click.option("--output", type=click.Choice(("table", "json")), default="table", show_default=True)
@click.pass_context
def check(context: click.Context, config_file: Path, output: str) -> None:
    """Say what is wrong in the configuration, as file:line:column, all of it at once.

    Exit status 0: it can be used. 2: it cannot.
    """
    problems, words = _look(config_file)
    if output == "json":
        rows = [{"file": str(p.file), "line": p.line, "column": p.column, "words": p.words} for p in problems]
        click.echo(json.dumps(rows, indent=2))
    for problem in problems if output == "table" else ():
        click.echo(str(problem))
    click.echo(words, err=True)
    context.exit(2 if problems else 0)


def _look(config_file: Path) -> tuple[tuple[Problem, ...], str]:
    try:
        config = read_config(config_file)
        inventory = read_inventory(config.inventory)
    except ConfigError as error:
        count = len(error.problems)
        return error.problems, f"{count} problem{'s' if count != 1 else ''}"
    return (), f"{config_file}: {len(config.rules)} rules, {len(inventory.hosts)} hosts, no problems"
