"""`alertmend doctor`: everything that an installation needs, looked at once, with what to do about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Final

import click

from webhook.cli import options
from webhook.cli.options import write_rows
from webhook.wiring.current import Site
from webhook.wiring.examination import Finding, State, examine

_STATUS: Final = {State.UNUSABLE: 2, State.UNREACHABLE: 3, State.PROBLEM: 1}


@click.command()
@options.config_file
@options.storage_path
@click.option(
    "--web.config.file", "web_config_file", type=click.Path(path_type=Path), help="Look at this file as well."
)
@options.output
@click.pass_context
def doctor(
    context: click.Context, config_file: Path, storage_path: Path, web_config_file: Path | None, output: str
) -> None:
    """Look at everything that alertmend needs, and say what to do about what is not well.

    Run it as the user, and on the machine, that `alertmend serve` runs as. Exit status 0: all is well, but for
    warnings. 1: something is not. 2: the configuration cannot be used. 3: someone does not answer.
    """
    findings = list(examine(Site(config_file=config_file, storage=storage_path), web_config_file=web_config_file))
    write_rows([asdict(one) for one in findings], columns=("check", "state", "words", "hint"), output=output)
    click.echo(_summary(findings), err=True)
    context.exit(exit_status(findings))


def exit_status(findings: Sequence[Finding]) -> int:
    """That of the worst of them."""
    states = {one.state for one in findings}
    return next((status for state, status in _STATUS.items() if state in states), 0)


def _summary(findings: Sequence[Finding]) -> str:
    bad = [one for one in findings if one.state is not State.OK]
    warnings = sum(one.state is State.WARNING for one in bad)
    if not bad:
        return f"{len(findings)} checks, all is well"
    return f"{len(findings)} checks, {len(bad) - warnings} problems, {warnings} warnings"
