"""How playbooks are run, and the secrets that they are given."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Collection
from dataclasses import fields as fields_of
from datetime import timedelta
from typing import Final

from webhook.core.confinement import Confinement, Container, Credential, Engine, ProcessLimits, Secrets
from webhook.located import (
    Node,
    boolean,
    choice,
    did_you_mean,
    duration,
    existing_file,
    integer,
    items,
    mapping,
    otherwise,
    relative_path,
    string_list,
    text,
)

_SIZE: Final = re.compile(r"([1-9][0-9]{0,14})(B|[KMGT]i?B)?")
_UNITS: Final = {"": 1, "B": 1} | {
    f"{prefix}{kind}": base**power
    for power, prefix in enumerate("KMGT", start=1)
    for kind, base in (("B", 1000), ("iB", 1024))
}
#: Less than this, and Ansible itself does not start.
_LEAST_MEMORY_BYTES: Final = 512 * 1024**2
_CREDENTIAL: Final = {
    "name",
    "groups",
    "rules",
    "vault_password_file",
    "ssh_private_key_file",
    "connection_password_file",
    "become_password_file",
}
_SECRETS: Final = tuple(field.name for field in fields_of(Secrets))


def read_execution(node: Node | None) -> Confinement:
    fields = mapping(node, known={"warm", "limits", "process_isolation"})
    return Confinement(
        warm=otherwise(boolean(fields.get("warm")), True),
        limits=_limits(fields.get("limits")),
        container=_container(fields.get("process_isolation")),
    )


def _limits(node: Node | None) -> ProcessLimits:
    fields = mapping(node, known={"cpu", "memory", "open_files", "processes", "file_size"})
    return ProcessLimits(
        cpu=duration(fields.get("cpu"), minimum=timedelta(seconds=1)),
        memory_bytes=_size(fields.get("memory"), minimum=_LEAST_MEMORY_BYTES),
        open_files=integer(fields.get("open_files"), minimum=64, maximum=2**20),
        processes=integer(fields.get("processes"), minimum=16, maximum=2**22),
        file_size_bytes=_size(fields.get("file_size"), minimum=1024**2),
    )


def _size(node: Node | None, *, minimum: int) -> int | None:
    if node is None:
        return None
    match = _SIZE.fullmatch(str(node.raw.value)) if isinstance(node.raw.value, str) else None
    if match is None:
        node.report("expected a size like 512MiB or 2GB")
        return None
    size: int = int(match[1]) * _UNITS[match[2] or ""]
    if size < minimum:
        node.report(f"{node.raw.value} is too small; at least {minimum // 1024**2}MiB is needed")
    return size


def _container(node: Node | None) -> Container | None:
    if node is None:
        return None
    fields = mapping(node, known={"container_image", "executable", "options"}, required={"container_image"})
    return Container(
        image=text(fields.get("container_image")) or "",
        engine=otherwise(choice(fields.get("executable"), Engine), Engine.PODMAN),
        options=otherwise(string_list(fields.get("options")), ()),
    )


def read_credentials(
    node: Node | None, *, rules: Collection[str] | None, groups: Collection[str] | None, must_exist: bool
) -> tuple[Credential, ...]:
    """The credentials, for rules and groups that there are; None: it is not known which there are.

    Their files `must_exist` where playbooks are run.
    """
    found: dict[str, Credential] = {}
    for item in items(node):
        fields = mapping(item, known=_CREDENTIAL, required={"name"})
        name = text(fields.get("name")) or ""
        if name in found:
            fields["name"].report(f"the credential {name!r} was given already")
        if not fields.keys() & set(_SECRETS):
            item.report(f"give at least one of {', '.join(_SECRETS)}")
        found[name] = Credential(
            name=name,
            rules=_names(fields.get("rules"), rules, kind="rule"),
            groups=_names(fields.get("groups"), groups, kind="group in the inventory"),
            secrets=Secrets(**{secret: _secret_file(fields.get(secret), must_exist) for secret in _SECRETS}),
        )
    return tuple(found.values())


def _names(node: Node | None, known: Collection[str] | None, *, kind: str) -> frozenset[str]:
    names = [(item, text(item)) for item in items(node)]
    if node is not None and not names:
        node.report("name at least one, or remove it: without it, it is for all")
    for item, name in names:
        if name is not None and known is not None and name not in known:
            item.report(f"there is no {kind} {name!r}; {did_you_mean(name, known)}")
    return frozenset(name for _, name in names if name is not None)


def _secret_file(node: Node | None, must_exist: bool) -> str:
    named = relative_path(node)
    if named is not None and not must_exist and not named.exists():
        return os.path.abspath(named)
    file = existing_file(node)
    if node is None or file is None:
        return ""
    status = file.stat()
    mode = stat.S_IMODE(status.st_mode)
    # SSH refuses a key of ours that its group may read, and takes one that systemd or Kubernetes lends to our group.
    forbidden = 0o077 if node.name == "ssh_private_key_file" and status.st_uid == os.getuid() else 0o027
    if mode & forbidden:
        node.report(f"others may use {str(file)!r} (its mode is {mode:04o}); chmod 600")
    elif "password" in node.name and not (mode & 0o100) and not _is_one_line(file):
        node.report("the file must hold one line of text")
    return os.path.abspath(file)


def _is_one_line(file: os.PathLike[str]) -> bool:
    try:
        with open(file, encoding="utf-8") as opened:
            secret = opened.read(64 * 1024).strip()
    except (OSError, UnicodeDecodeError):
        return False
    return bool(secret) and secret.isprintable()
