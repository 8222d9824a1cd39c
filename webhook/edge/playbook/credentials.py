"""Secrets for a run: for its target alone, in its private folder or where they lie; never on a command line."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from webhook.core.confinement import Secrets
from webhook.core.redaction import literally
from webhook.world import PlaybookJob

#: Beside the inventory, as a second one. The names are Ansible's.
_VARIABLES: Final = {"connection_password_file": "ansible_password", "become_password_file": "ansible_become_password"}
#: Shorter secrets would make nonsense of what is printed.
_LEAST_REDACTED: Final = 4


def write_secrets(folder: Path, job: PlaybookJob) -> tuple[str, ...]:
    """Write down what Ansible has to be told; patterns for what must never be told again.

    Other hosts, to which a playbook delegates, do not get them: they are variables of the target.

    Raises:
        OSError: a file cannot be read.
    """
    secrets = job.secrets
    passwords = {name: _read(file) for name in _VARIABLES if (file := getattr(secrets, name))}
    # A template in a password is none.
    variables = [f"{_VARIABLES[name]}: !unsafe {json.dumps(value)}" for name, value in passwords.items()]
    if secrets.ssh_private_key_file:
        os.stat(secrets.ssh_private_key_file)
        variables.append(f"ansible_ssh_private_key_file: !unsafe {json.dumps(secrets.ssh_private_key_file)}")
    # In a container a second inventory is looked for in any case.
    if variables or job.confinement.container:
        (folder / "inventory").mkdir(mode=0o700)
        file = os.open(folder / "inventory/credentials.yml", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(file, "w", encoding="utf-8") as inventory:
            inventory.write(f"all: {{hosts: {{{json.dumps(job.target)}: {{{', '.join(variables)}}}}}}}\n")
    return tuple(_patterns([*passwords.values(), *_vault_password(secrets)]))


def environment_of(secrets: Secrets) -> Mapping[str, str]:
    """What stands in Ansible's environment: the place of a secret, and no secret."""
    return {"ANSIBLE_VAULT_PASSWORD_FILE": secrets.vault_password_file} if secrets.vault_password_file else {}


def _read(file: str) -> str:
    try:
        return Path(file).read_text(encoding="utf-8").strip()
    except UnicodeDecodeError:
        raise OSError(f"{file} holds no text") from None


def _vault_password(secrets: Secrets) -> list[str]:
    file = secrets.vault_password_file
    # A program that prints it is Ansible's to run.
    return [_read(file)] if file and not os.access(file, os.X_OK) else []


def _patterns(values: list[str]) -> Iterator[str]:
    for value in values:
        if len(value) >= _LEAST_REDACTED:
            yield from dict.fromkeys(literally(text) for text in (value, json.dumps(value)[1:-1]))
