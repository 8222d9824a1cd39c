"""The name of all that is decided and acted by: what stands in the files, wherever they lie."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from webhook.core.audit import canonical
from webhook.core.target import Inventory
from webhook.edge.configfile import Config
from webhook.edge.smell.walk import read_playbook

#: A file that is larger is told by its size: what a role copies may be of any.
_LARGE_BYTES = 4 * 2**20


def revision_of(config: Config, inventory: Inventory, playbooks: Mapping[str, str]) -> str:
    """Twelve hex digits: the same on every machine with the same files, as a checkout of one commit has them."""
    document = {
        # In their order: the first rule that matches counts.
        "configuration": [_digest(file) for file in configuration_files(config)],
        "inventory": {
            "hosts": sorted(inventory.hosts),
            "groups": {name: sorted(hosts) for name, hosts in inventory.groups.items()},
            "variables": sorted(inventory.variables),
        },
        "playbooks": playbooks,
    }
    return hashlib.sha256(canonical(document).encode()).hexdigest()[:12]


def configuration_files(config: Config) -> list[Path]:
    """The configuration file, and the files in which its rules stand."""
    return list(dict.fromkeys((config.file, *(place.file.absolute() for place in config.places.values()))))


def playbook_digests(config: Config) -> dict[str, str]:
    """The SHA-256 of each file that the rules' playbooks consist of, by its path from the folder of playbooks.

    That is themselves, what they import, and the roles that they use, whole; not what they name by a variable.
    """
    return {os.path.relpath(file, config.playbooks): _digest(file) for file in _playbook_files(config)}


def _playbook_files(config: Config) -> Iterable[Path]:
    found: dict[Path, None] = {}
    for name in sorted({name for rule in config.rules for name in rule.playbooks}):
        walked = read_playbook(config.playbooks / name, playbooks=config.playbooks)
        found |= dict.fromkeys(walked.files)
        for role in walked.roles:
            found |= dict.fromkeys(_files_below(role))
    return found


def _files_below(folder: Path) -> Iterator[Path]:
    for file in sorted(folder.rglob("*")):
        parts = file.relative_to(folder).parts
        if not any(part.startswith((".", "__pycache__")) for part in parts) and file.is_file():
            yield file


def _digest(file: Path) -> str:
    try:
        if (size := file.stat().st_size) > _LARGE_BYTES:
            return f"{size} bytes"
        with file.open("rb") as content:
            return hashlib.file_digest(content, "sha256").hexdigest()
    except OSError as error:
        return str(error.strerror)
