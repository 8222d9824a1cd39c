"""`alertmend init`: a working configuration to begin with."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import click

import webhook

#: What is copied, from the example that `make run` serves.
FILES = (
    *("alertmend.yml", "inventory.yml", "rules/toy.yml", "tests/toy.yml"),
    *("playbooks/restart_toy.yml", "toy.py"),
)


def example() -> Path:
    """The folder of the example: inside the installed package, or in the checkout."""
    package = Path(webhook.__file__).parent
    inside = package / "example"
    return inside if inside.is_dir() else package.parent / "example"


def _library() -> dict[str, Path]:
    """The files of the library of playbooks, and the alerts that call for them, by where they go."""
    top = example().parent
    files = (file for name in ("playbooks", "alerts") for file in (top / name).rglob("*") if file.is_file())
    return {str(file.relative_to(top)): file for file in files if "__pycache__" not in file.parts}


def copy_example(folder: Path) -> None:
    """The example's files, in a folder of one's own."""
    for name in FILES:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(example() / name, folder / name)


def _change(file: Path, before: str, after: str) -> None:
    file.write_text(file.read_text().replace(before, after, 1))


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path, file_okay=False))
@click.option("--library", "with_library", is_flag=True, help="Copy the library of playbooks and its alerts, too.")
def init(folder: Path, with_library: bool) -> None:
    """Write a working configuration to DIR: an inventory, a rule and its test, a playbook. Nothing is overwritten."""
    more = _library() if with_library else {}
    there = [name for name in (*FILES, *more) if os.path.lexists(folder / name)]
    if there:
        raise click.UsageError(f"{folder / there[0]} is there already; nothing was written")
    try:
        copy_example(folder)
        for name, source in more.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, folder / name)
        # A first rule watches; letting it act is a decision that its author makes, and then the test has to say so.
        _change(folder / "rules/toy.yml", "    target: host\n", "    target: host\n    mode: observe\n")
        _change(folder / "tests/toy.yml", "is restarted", "is watched")
        _change(folder / "tests/toy.yml", "decision: run", "decision: refuse, guard: mode")
    except OSError as error:
        raise click.UsageError(f"{error.filename or folder} cannot be written: {error.strerror}") from None
    for name in FILES:
        click.echo(str(folder / name))
    click.echo(
        f"\nNext: alertmend check --config.file={folder}/alertmend.yml"
        f"\n      alertmend test {folder}/tests/toy.yml"
        f"\n      alertmend explain alertname=ToyDown host=toy --config.file={folder}/alertmend.yml"
        f"\n      alertmend serve --config.file={folder}/alertmend.yml --storage.path={folder}/data"
        "\nThe rule's mode is observe: it decides and records, and does nothing until you make that auto.",
        err=True,
    )
