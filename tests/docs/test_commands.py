"""docs/cli.md has a section for every command, with every option of it, and promises none that is not there."""

from __future__ import annotations

import re
from collections.abc import Iterator

import click
import pytest

from tests.docs.pages import page, sections
from webhook.cli import cli
from webhook.httpconfig import KNOWN


def _leaves(command: click.Command, name: str) -> Iterator[tuple[str, click.Command]]:
    if not isinstance(command, click.Group):
        yield name, command
        return
    context = click.Context(command)
    for verb in command.list_commands(context):
        below = command.get_command(context, verb)
        assert below is not None
        yield from _leaves(below, f"{name} {verb}")


COMMANDS = dict(_leaves(cli, "alertmend"))
SECTIONS = sections(page("cli.md"))


def _options(command: click.Command) -> set[str]:
    found = [parameter for parameter in command.params if isinstance(parameter, click.Option)]
    return {spelling for option in found for spelling in (*option.opts, *option.secondary_opts)}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_a_section_with_all_of_its_options(name: str) -> None:
    assert name in SECTIONS, f"docs/cli.md has no section '## {name}': add it, with the command's synopsis in it"
    missing = [
        option.opts[0]
        for option in COMMANDS[name].params
        if isinstance(option, click.Option) and not _mentions(SECTIONS[name], *option.opts)
    ]
    assert not missing, f"docs/cli.md, section '{name}', does not name {', '.join(missing)}: add to the synopsis"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_argument_stands_in_the_synopsis(name: str) -> None:
    for argument in COMMANDS[name].params:
        if isinstance(argument, click.Argument):
            word = (argument.metavar or argument.human_readable_name).upper().rstrip("….")
            assert word in SECTIONS[name].upper(), f"docs/cli.md, section '{name}', does not name {word}"


@pytest.mark.parametrize("name", COMMANDS)
def test_no_section_names_an_option_that_is_not_there(name: str) -> None:
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z.-]*[a-z]", SECTIONS.get(name, "")))
    unknown = sorted(named - _options(COMMANDS[name]) - {"--help"})
    assert not unknown, f"docs/cli.md, section '{name}': the command has no {', '.join(unknown)}"


def test_no_section_is_about_a_command_that_is_not_there() -> None:
    unknown = [heading for heading in SECTIONS if heading.startswith("alertmend ") and heading not in COMMANDS]
    assert not unknown, f"docs/cli.md has sections for commands that are not there: {', '.join(unknown)}"


def test_every_key_of_the_credentials_file_is_documented() -> None:
    for key in KNOWN:
        assert f"`{key}`" in page("cli.md"), f"the --http.config.file knows the key {key}: add it to docs/cli.md"


def _mentions(text: str, *options: str) -> bool:
    return any(re.search(rf"(?<![\w-]){re.escape(option)}(?![\w-])", text) for option in options)
