"""Reads any Ansible inventory (INI, YAML, a directory, a program) by asking Ansible: only its own reading counts.

Which host an alert names is core.target's affair.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from webhook import located
from webhook.core.target import Inventory
from webhook.errors import ConfigError, Problem
from webhook.text import one_line

#: What Ansible, and an inventory that is a program, see of our environment. The rest of it may hold secrets.
_ENVIRONMENT: Final = (
    "PATH",
    "HOME",
    "LANG",
    "USER",
    "ANSIBLE_CONFIG",
    "ANSIBLE_COLLECTIONS_PATH",
    "ANSIBLE_INVENTORY_ENABLED",
    "ANSIBLE_INVENTORY_PLUGINS",
    "ANSIBLE_VAULT_PASSWORD_FILE",
)
_SETTINGS: Final = {
    "ANSIBLE_NOCOLOR": "1",
    "ANSIBLE_FORCE_COLOR": "0",
    "ANSIBLE_DEPRECATION_WARNINGS": "0",
    # Without these, what Ansible cannot read is a warning, an empty inventory and exit status 0.
    "ANSIBLE_INVENTORY_UNPARSED_FAILED": "1",
    "ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED": "1",
}
_WORDS_LIMIT: Final = 300

# A message of Ansible: `[WARNING]: words`, more lines, and where it came from.
_MESSAGE: Final = re.compile(
    r"^\[(WARNING|ERROR)\]: (.*?)(?=^\[(?:WARNING|ERROR|DEPRECATION WARNING)\]: |\Z)", re.M | re.S
)
_ORIGIN: Final = re.compile(r"^Origin: (?:<.* with source '(.*)'>|(.*?)(?::([0-9]+)(?::([0-9]+))?)?)$", re.M)
_PLUGIN: Final = re.compile(r"Failed to parse inventory with '(.*?)' plugin: (?:Failed to parse inventory: )?")
_SCRIPT_ERROR: Final = re.compile(r"^Standard error from inventory script:\n(.+)", re.M)
#: Warnings with which Ansible goes on, having left something out. All others are no concern of the inventory's.
_LEFT_OUT: Final = ("Found duplicate ", "Skipping ", "Unable to parse ", "Failed to parse ")


def read_inventory(path: Path, *, timeout_seconds: float = 30) -> Inventory:
    """The hosts and the groups in it, each group with the hosts of the groups below it, too.

    Starts a process, which takes about half a second, and runs the inventory if it is a program.

    Raises:
        ConfigError: it cannot be read, something in it was left out, or it holds no host.
    """
    if not path.exists():
        raise ConfigError([Problem(file=path, words="there is no such inventory")])
    status, output, messages = _listed(path, timeout_seconds=timeout_seconds)
    located.refuse(_problems(path, messages, failed=status != 0))
    try:
        listing = json.loads(output)
        inventory = _inventory(listing)
    except (ValueError, AttributeError, TypeError):
        raise ConfigError([Problem(file=path, words="Ansible's listing of it cannot be understood")]) from None
    if not inventory.hosts:
        raise ConfigError([Problem(file=path, words="there are no hosts in it")])
    return inventory


def _listed(path: Path, *, timeout_seconds: float) -> tuple[int, str, str]:
    """Exit status, output, messages."""
    program = Path(sys.executable).with_name("ansible-inventory")
    with tempfile.TemporaryDirectory(prefix="alertmend-inventory-") as folder:
        output, messages = Path(folder, "output"), Path(folder, "messages")
        # Files and no pipes: a process that an inventory has left behind could hold those open for ever.
        with output.open("wb") as out, messages.open("wb") as err:
            try:
                process = subprocess.Popen(
                    [str(program), "--list", f"--inventory={path.absolute()}"],
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=err,
                    env=_environment(folder),
                    start_new_session=True,
                )
            except OSError as error:
                words = f"{program} cannot be started: {error.strerror}"
                raise ConfigError([Problem(file=path, words=words)]) from None
            _wait(process, path, timeout_seconds=timeout_seconds)
        return process.returncode, output.read_text(errors="replace"), messages.read_text(errors="replace")


def _environment(folder: str) -> dict[str, str]:
    ours = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
    return {**ours, **_SETTINGS, "ANSIBLE_HOME": folder, "TMPDIR": folder}


def _wait(process: subprocess.Popen[bytes], path: Path, *, timeout_seconds: float) -> None:
    try:
        process.wait(timeout_seconds)
    except subprocess.TimeoutExpired:
        words = f"Ansible has not read it within {timeout_seconds:g}s"
        raise ConfigError([Problem(file=path, words=words)]) from None
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _inventory(listing: Mapping[str, Mapping[str, Any]]) -> Inventory:
    groups: dict[str, frozenset[str]] = {}

    def members(name: str) -> frozenset[str]:
        if name not in groups:
            group = listing.get(name, {})
            below = (members(child) for child in group.get("children", ()))
            groups[name] = frozenset(group.get("hosts", ())).union(*below)
        return groups[name]

    hosts = members("all")
    given: Mapping[str, Mapping[str, object]] = listing.get("_meta", {}).get("hostvars", {})
    return Inventory(hosts=hosts, groups=groups, variables=frozenset(name for host in given.values() for name in host))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Complaint:
    """One message of Ansible about a file."""

    problem: Problem
    #: The way of reading that was tried; Ansible tries several, and all but one complain for no reason.
    plugin: str


def _problems(path: Path, messages: str, *, failed: bool) -> list[Problem]:
    complaints = [_complaint(path, found[2]) for found in _MESSAGE.finditer(messages) if _is_ours(found[2])]
    by_file: dict[Path, list[_Complaint]] = {}
    for complaint in complaints:
        by_file.setdefault(complaint.problem.file, []).append(complaint)
    problems = [problem for file, said in by_file.items() for problem in _decisive(file, said)]
    if failed and not problems:
        return [Problem(file=path, words=f"Ansible cannot read it: {_last_line(messages)}")]
    return problems


def _is_ours(message: str) -> bool:
    return message.startswith(_LEFT_OUT)


def _complaint(path: Path, message: str) -> _Complaint:
    file, line, column = path, 0, 0
    if origin := _ORIGIN.search(message):
        file = _as_written(Path(origin[1] or origin[2]), path)
        line, column = int(origin[3] or 0), int(origin[4] or 0)
    plugin = _PLUGIN.match(message)
    words = _PLUGIN.sub("", message.partition("\n")[0], count=1)
    if script := _SCRIPT_ERROR.search(message):
        words = f"{words} It said: {script[1]}"
    problem = Problem(file=file, line=line, column=column, words=one_line(words, limit=_WORDS_LIMIT))
    return _Complaint(problem=problem, plugin=plugin[1] if plugin else "")


def _as_written(file: Path, path: Path) -> Path:
    """The file as the operator knows it: Ansible names it by its absolute path."""
    absolute = path.absolute()
    return path / file.relative_to(absolute) if file.is_relative_to(absolute) else file


def _decisive(file: Path, said: list[_Complaint]) -> Iterator[Problem]:
    """What was left out, and why the file could not be read in the way in which it was meant to be."""
    yield from (complaint.problem for complaint in said if not complaint.plugin)
    refused = [complaint.problem for complaint in said if complaint.plugin]
    if not refused:
        return
    if placed := [problem for problem in refused if problem.line]:
        yield placed[0]
        return
    by_plugin = {complaint.plugin: complaint.problem for complaint in said if complaint.plugin}
    meant = _meant(file, by_plugin)
    if meant.words.startswith(("Host pattern", "Unable to add group")) and (found := _names_that_are_no_text(file)):
        yield from found
    else:
        yield meant


def _meant(file: Path, by_plugin: Mapping[str, Problem]) -> Problem:
    if "script" in by_plugin:
        return by_plugin["script"]
    if file.suffix in (".yml", ".yaml", ".json") and "yaml" in by_plugin:
        is_configuration = by_plugin["yaml"].words.startswith("Plugin configuration")
        return by_plugin["auto" if is_configuration and "auto" in by_plugin else "yaml"]
    return by_plugin.get("ini") or next(iter(by_plugin.values()))


def _names_that_are_no_text(file: Path) -> list[Problem]:
    # Ansible says that a name is `False`, but neither where that stands nor that `no` was written.
    problems: list[Problem] = []
    located.load(file, problems)
    return [problem for problem in problems if problem.words.startswith("a key must be text")]


def _last_line(messages: str) -> str:
    lines = [line for line in messages.splitlines() if line.strip()]
    return one_line(lines[-1].removeprefix("[ERROR]: "), limit=_WORDS_LIMIT) if lines else "it gives no reason"
