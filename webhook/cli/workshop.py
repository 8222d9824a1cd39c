"""`alertmend new playbook` and `alertmend playbook test`: to write a playbook, and to try it before it is trusted."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Final

import click

from webhook.cli.options import config_file
from webhook.cli.starter import example
from webhook.edge.configfile import read_config
from webhook.edge.inventory import read_inventory
from webhook.edge.smell import smells
from webhook.edge.tryout import (
    CannotCopy,
    Case,
    Copy,
    Finding,
    Host,
    Machine,
    Subject,
    lint,
    read_cases,
    syntax,
    try_case,
)
from webhook.errors import ConfigError

#: The playbook that a new one begins as, and the host of its rule test.
PATTERN, HOST = "remove_lock", "toy"
_NAME: Final = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)+")


@click.group()
def new() -> None:
    """Begin something of one's own."""


@new.command("playbook")
@click.argument("name", metavar="NAME")
@config_file
def new_playbook(name: str, config_file: Path) -> None:
    """Write a playbook that works, to be made into another: role, README, cases, rule and rule test.

    NAME is a verb and its object, as in restart_service. Nothing that is there is overwritten.
    """
    if not _NAME.fullmatch(name):
        raise click.UsageError(f"{name!r} is not like restart_service: a verb and its object, in small letters, with _")
    files = dict(_written(name, config_file))
    there = [target for target in files if target.exists()]
    if there:
        raise click.UsageError(f"{there[0]} is there already; nothing was written")
    for target, content in files.items():
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(content)
        click.echo(str(target))
    click.echo(
        f"\nNext: make {name}/tasks your own, and its cases"
        f"\n      alertmend playbook test {name} --config.file={config_file}"
        f"\n      alertmend test {config_file.parent / 'tests' / name}.yml"
        "\nThe rule's mode is observe: it decides and records, and does nothing until you change that.",
        err=True,
    )


@click.group()
def playbook() -> None:
    """Playbooks, before they are trusted."""


@playbook.command("test")
@click.argument("name", metavar="NAME")
@config_file
@click.option(
    "--target",
    metavar="HOST",
    help="Try it on this host of the inventory, which may be lost, and not on a copy of this machine.",
)
@click.pass_context
def test_playbook(context: click.Context, name: str, config_file: Path, target: str | None) -> None:
    """Try a playbook: syntax, lint, check mode, a run, a second run that changes nothing, a verify that fails.

    The cases are those in roles/NAME/tests/cases.yml. Each has a copy of this machine for itself, which needs root;
    nothing that is done in it gets out.

    Exit status 0: all is as it should be. 1: something is not. 2: it cannot be tried.
    """
    subject = Subject(name=name, playbooks=_playbooks(config_file).absolute())
    if not subject.playbook.is_file():
        raise click.UsageError(f"there is no playbook {subject.playbook}")
    cases = read_cases(subject.cases)
    host = None if target is None else _host(config_file, target)
    faults = 0
    try:
        for finding in _findings(subject, cases, host):
            faults += bool(finding.fault)
            _show(finding)
    except CannotCopy as error:
        raise click.UsageError(f"{error}; name a host that may be lost with --target") from None
    click.echo(f"{name}: {faults} faults" if faults else f"{name}: all is as it should be", err=True)
    context.exit(1 if faults else 0)


def _written(name: str, config_file: Path) -> Iterator[tuple[Path, str]]:
    base, pattern = config_file.parent, example() / "workshop"
    # The folder of playbooks may be called otherwise; what is beside the configuration is called as `init` calls it.
    places = {"playbooks": _playbooks(config_file), "rules": base / "rules", "tests": base / "tests"}
    for file in sorted(path for path in pattern.rglob("*") if path.is_file()):
        kind, *rest = file.relative_to(pattern).parts
        target = places[kind].joinpath(*(_renamed(part, name) for part in rest))
        content = _renamed(file.read_text(), name)
        if kind == "tests":
            content = content.replace(HOST, _some_host(config_file)).replace(
                "../playbooks", f"../{places['playbooks'].name}"
            )
        yield target, content


def _renamed(text: str, name: str) -> str:
    for style in (str, _dashed, _camel, _spaced):
        text = text.replace(style(PATTERN), style(name))
    return text


def _dashed(name: str) -> str:
    return name.replace("_", "-")


def _camel(name: str) -> str:
    return name.title().replace("_", "")


def _spaced(name: str) -> str:
    return name.replace("_", " ").capitalize()


def _playbooks(config_file: Path) -> Path:
    """The folder of playbooks, also of a configuration that cannot be used yet."""
    try:
        return read_config(config_file).playbooks
    except ConfigError:
        return config_file.parent / "playbooks"


def _some_host(config_file: Path) -> str:
    try:
        hosts = read_inventory(read_config(config_file).inventory).hosts
    except ConfigError:
        return HOST
    return next(iter(hosts), HOST)


def _host(config_file: Path, target: str) -> tuple[str, Path]:
    inventory = read_config(config_file).inventory
    if target not in read_inventory(inventory).hosts:
        raise click.UsageError(f"the inventory has no host {target!r}")
    return target, inventory


def _findings(subject: Subject, cases: tuple[Case, ...], host: tuple[str, Path] | None) -> Iterator[Finding]:
    readable = syntax(subject)
    yield readable
    if readable.fault:
        return
    yield lint(subject)
    for problem in smells(subject.playbook, playbooks=subject.playbooks):
        yield Finding(what="smell", fault=str(problem))
    for case in cases:
        with tempfile.TemporaryDirectory(prefix="alertmend-try-") as folder, _machine(Path(folder), host) as machine:
            yield from try_case(case, subject, machine)


def _machine(folder: Path, host: tuple[str, Path] | None) -> AbstractContextManager[Machine]:
    if host is None:
        return Copy(folder=folder)
    name, inventory = host
    return nullcontext(Host(name=name, inventory=inventory.absolute(), folder=folder))


def _show(finding: Finding) -> None:
    verdict = "FAIL" if finding.fault else "skip" if finding.skipped else "ok"
    words = finding.fault or finding.skipped
    click.echo(f"{verdict:<4}  {finding.what}" + (f": {words}" if words else ""))
    for line in finding.output.splitlines():
        click.echo(f"        {line}")
