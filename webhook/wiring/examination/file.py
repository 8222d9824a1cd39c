"""Looks at files: who may read the secrets, who may write what is run as root on the fleet, and where state is kept."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from webhook.edge.configfile import Config
from webhook.located import Node, items, load, mapping, relative_path
from webhook.wiring.checks import FREE_BYTES
from webhook.wiring.examination.finding import Finding, ok, problem, warning

#: What names a file that is no secret.
_PUBLIC: Final = ("ca_file", "cert_file", "client_ca_file", "known_hosts_file", "config_file")
#: Group members may read, as for a service with a user of its own; nobody else may do anything.
_FORBIDDEN: Final = 0o027
_LITTLE_BYTES: Final = 1024**3


def look_at_secrets(*documents: Path | None) -> Iterator[Finding]:
    """Who may read each file that a key ending in `_file` or `_files` names, and may not."""
    named = [file for document in documents if document is not None for file in _secrets(load(document, []))]
    # What we may not even look for is the configuration's to report.
    found = sorted({file for file in named if os.path.isfile(file)})
    open_to_others = [file for file in found if stat.S_IMODE(file.stat().st_mode) & _FORBIDDEN]
    for file in open_to_others:
        mode = stat.S_IMODE(file.stat().st_mode)
        yield problem("secrets", f"{file} holds a secret, and its mode is {mode:04o}", f"chmod 0600 {file}")
    # Where there is no file to look into, that is told of the configuration.
    if not open_to_others and any(document is not None and document.is_file() for document in documents):
        yield ok("secrets", f"others may read none of the files that hold one: {len(found)} are named")


def _secrets(node: Node | None) -> Iterator[Path]:
    if node is None:
        return
    if node.is_list:
        for item in items(node):
            yield from _secrets(item)
        return
    if not isinstance(node.raw.value, list):
        return
    for name, value in mapping(node).items():
        if name.endswith(("_file", "_files")) and name not in _PUBLIC and name != "rule_files":
            yield from _paths(value)
        else:
            yield from _secrets(value)


def _paths(node: Node) -> Iterator[Path]:
    for one in items(node) if node.is_list else (node,):
        path = relative_path(one)
        if path is not None:
            yield path


def look_at_writers(config_file: Path, config: Config | None) -> Iterator[Finding]:
    """Whether anyone on this machine may write what alertmend runs."""
    roots = [config_file, *(_read_from(config) if config is not None else ())]
    written = dict.fromkeys(path for root in roots for path in _below(root) if _is_anyones(path))
    for path in written:
        words = f"everyone on this machine may write {path}, and so do anything to your hosts"
        yield problem("writers", words, f"chmod o-w {path}")
    if not written:
        yield ok("writers", "nobody but their owner and group may write configuration, rules, inventory and playbooks")


def _read_from(config: Config) -> Iterator[Path]:
    """Where rules, inventory and playbooks are read from; who may write a folder can replace the rule files in it."""
    rule_files = {place.file for place in config.places.values()}
    yield from sorted(rule_files | {file.parent for file in rule_files})
    yield config.playbooks
    yield config.inventory
    beside = config.inventory.parent
    yield from (folder for folder in (beside / "group_vars", beside / "host_vars") if folder.is_dir())


def _below(root: Path) -> Iterator[Path]:
    yield root
    if root.is_dir():
        yield from (Path(folder, name) for folder, *names in os.walk(root) for name in (*names[0], *names[1]))


def _is_anyones(path: Path) -> bool:
    try:
        mode = path.lstat().st_mode
    except OSError:
        return False
    return bool(mode & stat.S_IWOTH) and not stat.S_ISLNK(mode) and not mode & stat.S_ISVTX


def look_at_storage(storage: Path) -> Iterator[Finding]:
    """Whether state can be kept, by us alone, and for how long there is room."""
    there = storage if storage.exists() else next(parent for parent in storage.absolute().parents if parent.exists())
    if not os.access(there, os.W_OK | os.X_OK):
        hint = f"give this user {there}, or `serve` another --storage.path"
        yield problem("storage", f"{there} cannot be written to", hint)
        return
    if there is storage and stat.S_IMODE(storage.stat().st_mode) & 0o077:
        words = f"others may look into {storage}, where the audit log and what playbooks print are kept"
        yield warning("storage", words, f"chmod 0700 {storage}")
    free = shutil.disk_usage(there).free
    words = f"{free / 1024**3:.1f} GiB are free at {there}"
    if free < FREE_BYTES:
        yield problem("storage", words, "make room: with a full disk nothing is run")
    elif free < _LITTLE_BYTES:
        yield warning("storage", words, "make room, or set `retention`: with a full disk nothing is run")
    else:
        yield ok("storage", words)
