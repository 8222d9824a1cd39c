"""How far a playbook is confined, and which secrets it is given. Neither touches anything."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, fields
from datetime import timedelta
from enum import StrEnum


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessLimits:
    """What each process of a run may use at most; None: as much as the worker may."""

    #: On a processor, not on the clock.
    cpu: timedelta | None = None
    #: Of address space.
    memory_bytes: int | None = None
    open_files: int | None = None
    #: Of the user that alertmend runs as, all together.
    processes: int | None = None
    #: The longest file that it may write.
    file_size_bytes: int | None = None


class Engine(StrEnum):
    """A program that starts containers."""

    PODMAN = "podman"
    DOCKER = "docker"


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """An execution environment: an image with Ansible in it."""

    image: str
    engine: Engine = Engine.PODMAN
    #: Given to `podman run` as they are.
    options: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Confinement:
    """How playbooks are run."""

    #: Ansible may be forked from a process that has imported it.
    warm: bool = True
    limits: ProcessLimits = ProcessLimits()
    #: None: on the worker itself.
    container: Container | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Secrets:
    """Files with what a playbook needs to get in, as absolute paths; empty: none."""

    vault_password_file: str = ""
    ssh_private_key_file: str = ""
    connection_password_file: str = ""
    become_password_file: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """Secrets, and whom they are for."""

    name: str
    #: Groups of the inventory that the target is in, and rules; without either, all runs.
    groups: frozenset[str] = frozenset()
    rules: frozenset[str] = frozenset()
    secrets: Secrets = field(default_factory=Secrets)

    def is_for(self, *, rule: str, groups: Collection[str]) -> bool:
        """Whether a run of this rule on a target in these groups gets them."""
        return (not self.rules or rule in self.rules) and (not self.groups or not self.groups.isdisjoint(groups))


def secrets_for(credentials: Sequence[Credential], *, rule: str, groups: Collection[str]) -> Secrets:
    """Each secret from the first credential, in file order, that has it and is for this run."""
    found = [credential.secrets for credential in credentials if credential.is_for(rule=rule, groups=groups)]
    names = [field.name for field in fields(Secrets)]
    return Secrets(**{name: next(filter(None, (getattr(each, name) for each in found)), "") for name in names})
