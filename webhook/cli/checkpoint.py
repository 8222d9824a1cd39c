"""Checkpoints that were kept elsewhere, read from files; and whether the right key has signed them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from webhook.core.chain import Kept
from webhook.core.checkpoint import Checkpoint, read_checkpoint
from webhook.errors import AuditBroken, ConfigError, Problem
from webhook.signing import KeyFileError, read_confirmer


def read_checkpoints(files: Sequence[Path]) -> list[Checkpoint]:
    """The checkpoints in files, one as JSON a line.

    Raises:
        ConfigError: a line is none.
    """
    found, problems = [], []
    for file in files:
        for number, line in enumerate(file.read_text(errors="replace").splitlines(), 1):
            try:
                found += [read_checkpoint(line)] if line.strip() else []
            except ValueError as error:
                problems.append(Problem(file=file, line=number, column=1, words=f"this is no checkpoint: {error}"))
    if problems:
        raise ConfigError(problems)
    return found


def confirmed(checkpoints: Sequence[Checkpoint], public_key: Path | None) -> Kept:
    """The hashes that the checkpoints say entries have; with a key, only such that it signed.

    Raises:
        AuditBroken: two of them differ; or they are not signed by the key, or there is none that is.
    """
    if public_key is not None:
        _confirm(checkpoints, public_key)
    kept: dict[int, str] = {}
    for checkpoint in checkpoints:
        if kept.setdefault(checkpoint.seq, checkpoint.hash) != checkpoint.hash:
            raise AuditBroken(checkpoint.seq, "two checkpoints say different things about it")
    return kept


def _confirm(checkpoints: Sequence[Checkpoint], public_key: Path) -> None:
    try:
        confirm = read_confirmer(public_key)
    except KeyFileError as error:
        raise click.BadParameter(str(error), param_hint="--public-key") from None
    for checkpoint in checkpoints:
        if not confirm(checkpoint.signed, checkpoint.signature or ""):
            raise AuditBroken(checkpoint.seq, "the checkpoint at it was not signed by that key")
    if not checkpoints:
        raise AuditBroken(1, "there is no checkpoint that the key could have signed")
