"""What our alerts tell people to do can be done, and docs/metrics.md says what each of them means."""

from __future__ import annotations

import re
import shlex
from typing import Any

import click
import pytest
import yaml

from tests.docs.pages import REPOSITORY, page, rows, sections
from webhook.cli import cli

GROUPS = yaml.safe_load((REPOSITORY / "deploy/monitoring/alertmend.rules.yml").read_text())["groups"]
RULES = [rule for group in GROUPS for rule in group["rules"]]
COMMANDS = sorted(
    {
        command
        for rule in RULES
        for words in rule["annotations"].values()
        for command in re.findall(r"`(alertmend [^`]+)`", words)
    }
)
TABLE = {cells[0].strip("`"): cells[1:] for cells in rows(sections(page("metrics.md"))["Alerts and a dashboard"])}


def parse(words: str) -> None:
    """Parses a command line as it would be on the command line, and runs nothing of it.

    Raises:
        click.UsageError: there is no such command, option or argument.
    """
    command: click.Command = cli
    _, *arguments = shlex.split(words)
    context = click.Context(command, info_name="alertmend")
    while isinstance(command, click.Group):
        if not arguments:
            context.fail(f"{words}: and then?")
        name, found, arguments = command.resolve_command(context, arguments)
        assert found is not None
        command, context = found, click.Context(found, parent=context, info_name=name)
    command.make_context(context.info_name, arguments, parent=context.parent)


@pytest.mark.parametrize("words", COMMANDS)
def test_a_command_that_an_alert_names_is_there(words: str) -> None:
    parse(words)


@pytest.mark.parametrize(
    "words", ["alertmend pauses list", "alertmend runs list --stat=x", "alertmend pauze", "alertmend runs"]
)
def test_a_command_that_is_not_there_is_found_out(words: str) -> None:
    with pytest.raises(click.UsageError):
        parse(words)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_every_alert_has_a_row_with_its_severity(rule: dict[str, Any]) -> None:
    assert rule["alert"] in TABLE, f"docs/metrics.md, 'Alerts and a dashboard', has no row for {rule['alert']}"
    assert TABLE[rule["alert"]][0] == f"`{rule['labels']['severity']}`"


def test_no_row_is_about_an_alert_that_is_not_there() -> None:
    assert TABLE.keys() - {"alert"} <= {rule["alert"] for rule in RULES}
